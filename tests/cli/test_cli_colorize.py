"""`retint colorize`: what it refuses before the work, and one small film end to end."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from cli.colorize import build_options, parse_reference
from cli.errors import CommandError
from cli.main import app
from worker.media.stills import write_png


def retint(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["colorize", *map(str, arguments)], catch_exceptions=False)


def moving_square(index: int) -> "np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]":
    """[96, 128, 3]: a red square that moves over stripes of green."""
    picture = np.zeros((96, 128, 3), np.uint8)
    picture[..., 1] = 60 + 60 * (np.arange(128) // 8 % 2)
    picture[30:70, 10 + 4 * index : 50 + 4 * index] = (200, 40, 40)
    return picture


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Six frames, gray."""
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for index in range(6):
            gray = av.VideoFrame.from_ndarray(moving_square(index), format="rgb24").reformat(format="gray")
            container.mux(stream.encode(gray.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    write_png(tmp_path / "frame.png", moving_square(0))
    return path


def test_a_film_is_colorized_without_a_server(film: Path) -> None:
    folder = film.parent
    out, report = folder / "color.mkv", folder / "report.json"
    done = retint(
        film,
        "-r",
        f"{folder}/frame.png@0",
        "-o",
        out,
        "--tuning",
        "off",
        "--report",
        report,
        "--device",
        "cpu",
        "--json",
    )
    assert done.exit_code == 0
    outcome = json.loads(done.stdout)
    assert outcome["files"] == {"video": str(out), "report_json": str(report)}
    assert outcome["video"]["frames"] == 6
    assert outcome["references"][0]["frame"] == 0
    assert json.loads(report.read_text())
    assert sorted(path.name for path in folder.iterdir()) == ["color.mkv", "film.mp4", "frame.png", "report.json"]
    with av.open(str(out)) as container:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    assert len(frames) == 6
    red, green, _ = frames[5][45:55, 40:60].reshape(-1, 3).mean(0)
    assert red > green + 40


def test_a_failure_leaves_nothing_behind(film: Path) -> None:
    from jobs.errors import ReferenceNotColor

    folder = film.parent
    write_png(folder / "gray.png", np.full((96, 128, 3), 90, np.uint8))
    with pytest.raises(ReferenceNotColor):
        retint(film, "-r", f"{folder}/gray.png", "-o", folder / "color.mp4", "--tuning", "off", "--device", "cpu")
    assert sorted(path.name for path in folder.iterdir()) == ["film.mp4", "frame.png", "gray.png"]


def test_nothing_is_overwritten_unless_told(film: Path) -> None:
    folder = film.parent
    (folder / "color.mp4").write_bytes(b"mine")
    with pytest.raises(CommandError, match=r"color\.mp4 exists"):
        retint(film, "-r", folder / "frame.png", "-o", folder / "color.mp4")
    with pytest.raises(CommandError, match="is one of the inputs"):
        retint(film, "-r", folder / "frame.png", "-o", film, "--force")
    assert (folder / "color.mp4").read_bytes() == b"mine"


def test_files_that_are_not_there_are_named(film: Path) -> None:
    folder = film.parent
    with pytest.raises(CommandError, match=r"There is no file none\.png"):
        retint(film, "-r", "none.png", "-o", folder / "color.mp4")
    with pytest.raises(CommandError, match="There is no folder"):
        retint(film, "-r", folder / "frame.png", "-o", folder / "none" / "color.mp4")


def test_a_reference_may_name_its_frame(tmp_path: Path) -> None:
    assert parse_reference("a.png") == (Path("a.png"), None)
    assert parse_reference("a@b.png@12") == (Path("a@b.png"), 12)
    (tmp_path / "a@3").touch()
    assert parse_reference(f"{tmp_path}/a@3") == (tmp_path / "a@3", None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"out": Path("a.avi")}, "--out: Input should be 'mp4', 'mkv' or 'mov'"),
        ({"codec": "prores"}, "--codec: mp4 carries h264, not prores"),
        ({"tuning": "best"}, "--tuning: "),
        ({"tuning": "999"}, "--tuning: "),
        ({"quality": 60}, "--quality: "),
        ({"model": "none"}, "--model: "),
        ({"working_size": 3}, "--working-size: "),
    ],
)
def test_an_option_that_does_not_fit_is_named_as_on_the_command_line(change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {
        "model": "retint",
        "tuning": "off",
        "out": Path("a.mp4"),
        "quality": 18,
        "codec": None,
        "working_size": None,
        "references": [],
    }
    with pytest.raises(CommandError) as caught:
        build_options(**{**arguments, **change})  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)
