"""`retint colorize`: what it refuses before the work, and one small film end to end."""

import json
import re
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from cli.arguments import GivenReference, build_options, parse_reference, parse_shots
from cli.errors import CommandError
from cli.main import app
from jobs.errors import ReferenceNotColor, VideoTooLong
from worker.media.stills import write_png

FORMATS = ".mp4 (h264), .mkv (h264 or ffv1) or .mov (prores)"


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
        "--shots",
        "4",
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
    assert [(one["first_frame"], one["last_frame"]) for one in outcome["shots"]] == [(0, 3), (4, 5)]
    assert json.loads(report.read_text())
    assert sorted(path.name for path in folder.iterdir()) == ["color.mkv", "film.mp4", "frame.png", "report.json"]
    with av.open(str(out)) as container:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    assert len(frames) == 6
    red, green, _ = frames[5][45:55, 40:60].reshape(-1, 3).mean(0)
    assert red > green + 40


def test_what_is_wrong_with_a_reference_is_said_once(film: Path) -> None:
    folder = film.parent
    stranger = np.random.default_rng(1).integers(0, 255, (6, 8, 3)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
    write_png(folder / "other.png", stranger)
    done = retint(film, "-r", f"{folder}/other.png@0", "-o", folder / "color.mkv", "--tuning", "off", "--device", "cpu")
    [note] = [line for line in done.stderr.splitlines() if "other.png" in line]
    assert note.startswith("Note: The reference other.png was placed at frame 0, but does not look like it")


def test_a_picture_that_is_no_frame_gives_its_colors(film: Path) -> None:
    folder = film.parent
    stranger = np.random.default_rng(1).integers(0, 255, (6, 8, 3)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
    write_png(folder / "postcard.png", stranger)
    out = folder / "color.mkv"
    done = retint(film, "-r", f"{folder}/postcard.png@none", "-o", out, "--tuning", "off", "--device", "cpu", "--json")
    [reference] = json.loads(done.stdout)["references"]
    assert (reference["frame"], reference["placed_by"]) == (None, "user")
    assert out.is_file()


def test_settings_limit_the_work_and_its_threads(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads(), cv2.getNumThreads()
    monkeypatch.setenv("RETINT_MAX_FRAMES", "5")
    monkeypatch.setenv("RETINT_THREADS", "1")
    try:
        with pytest.raises(VideoTooLong):
            retint(film, "-r", f"{film.parent}/frame.png", "-o", film.parent / "color.mp4", "--device", "cpu")
        assert (torch.get_num_threads(), cv2.getNumThreads()) == (1, 1)
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def test_a_failure_leaves_nothing_behind(film: Path) -> None:
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
    with pytest.raises(CommandError, match=r"is a folder; expected a file\.$"):
        retint(film, "-r", folder, "-o", folder / "color.mp4")
    with pytest.raises(
        CommandError, match=r"expected a file\. Of a sequence of pictures make a video first: docs/films\.md"
    ):
        retint(folder, "-r", folder / "frame.png", "-o", folder / "color.mp4")
    with pytest.raises(CommandError, match="is a folder; give the name of a file"):
        retint(film, "-r", folder / "frame.png", "-o", folder)
    with pytest.raises(CommandError, match="There is no folder"):
        retint(film, "-r", folder / "frame.png", "-o", folder / "none" / "color.mp4")


@pytest.mark.parametrize(
    ("option", "name", "message"),
    [
        ("--comparison", "c.mkv", r"--comparison: \S*c\.mkv must end in \.mp4"),
        ("--report", "r.txt", r"--report: \S*r\.txt must end in \.html or \.json"),
        ("--comparison", "color.mp4", "Two outputs are named"),
    ],
)
def test_outputs_that_promise_another_format_or_overwrite_each_other_are_refused(
    film: Path, option: str, name: str, message: str
) -> None:
    folder = film.parent
    with pytest.raises(CommandError, match=message):
        retint(film, "-r", folder / "frame.png", "-o", folder / "color.mp4", option, folder / name)


def test_a_folder_without_a_name_is_named_as_it_was_given(film: Path) -> None:
    with pytest.raises(CommandError, match=r"^--report: \. must end in \.html or \.json"):
        retint(film, "-r", film.parent / "frame.png", "-o", film.parent / "color.mp4", "--report", ".")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="a folder that takes no files")
def test_a_folder_that_takes_no_files_is_named_before_the_work(film: Path) -> None:
    with pytest.raises(CommandError, match="Nothing can be written into /proc: "):
        retint(film, "-r", film.parent / "frame.png", "-o", "/proc/color.mp4")


def test_a_reference_may_name_its_place(tmp_path: Path) -> None:
    assert parse_reference("a.png") == GivenReference(Path("a.png"), None)
    assert parse_reference("a@b.png@12") == GivenReference(Path("a@b.png"), {"frame": 12})
    assert parse_reference("a@b.png@12-30") == GivenReference(Path("a@b.png"), {"within": [12, 30]})
    assert parse_reference("a@b.png@none") == GivenReference(Path("a@b.png"), {"is_frame": False})
    assert parse_reference("a@b.png@any") == GivenReference(Path("a@b.png"), {})
    for name in ("a@3", "a@3-4", "a@none", "a@any"):
        (tmp_path / name).touch()
        assert parse_reference(f"{tmp_path}/{name}") == GivenReference(tmp_path / name, None)
    with pytest.raises(CommandError, match=r"^a\.png@30-12: the frames after @ run backward; write a\.png@12-30\.$"):
        parse_reference("a.png@30-12")


def test_shots_are_found_or_begin_where_it_is_said() -> None:
    assert [parse_shots(text) for text in ("auto", "single", "270", "90,270")] == ["auto", "single", [270], [90, 270]]


@pytest.mark.parametrize("text", ["two", "", "-3", "90,", "90-270", "90, 270", "1.5", "9" * 5000])
def test_what_names_no_shots_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match=f"^--shots: there is no choice `{text}`; give auto, single, or the first "):
        parse_shots(text)


def test_shots_are_named_without_the_first() -> None:
    with pytest.raises(CommandError, match=r"^--shots: the first shot begins at frame 0 in any case, got 0,90; leave "):
        parse_shots("0,90")


@pytest.mark.parametrize("frame", ["x", "-1", "1-", "1-2-3", "1.5", "", "b.png"])
@pytest.mark.parametrize("name", ["ref.png", "a@b.png"])
def test_what_follows_a_reference_must_be_a_frame_number(name: str, frame: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.touch()
    wrong = f"{re.escape(f'{file}@{frame}')}: what follows @ must be a frame number, counted from 0, as in "
    with pytest.raises(CommandError, match=f"^{wrong}{re.escape(str(file))}@240"):
        parse_reference(f"{file}@{frame}")


@pytest.mark.parametrize("text", ["none.png@x", "none@home.png", "@7", "@none"])
def test_where_there_is_no_reference_at_all_that_is_said_first(text: str) -> None:
    with pytest.raises(CommandError, match=rf"There is no file {text}\. A frame number, counted from 0, may follow @"):
        parse_reference(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"out": Path("c4.avi")}, f"--out: c4.avi names no format that is written here; let it end in {FORMATS}."),
        ({"out": Path("c4")}, f"--out: c4 names no format that is written here; let it end in {FORMATS}."),
        ({"codec": "prores"}, f"--codec: prores does not go into .mp4; let --out end in {FORMATS}."),
        ({"codec": "vp9"}, "--codec: there is no codec `vp9` here; give h264, ffv1 or prores."),
        ({"tuning": "of"}, "--tuning: there is no tuning `of`; give off, fast, quality or a number of iterations."),
        ({"tuning": "-3"}, "--tuning: there is no tuning `-3`; give "),
        ({"tuning": "999"}, "--tuning: expected 200 or less, got 999; give off, fast, "),
        ({"quality": 60}, "--quality: expected 51 or less, got 60."),
        ({"model": "none"}, "--model: expected 'retint', 'deepremaster' or 'exemplar', got none."),
        (
            {"quality": 18, "out": Path("a.mov")},
            "--quality is for H.264: ffv1 is lossless, and prores has one quality.",
        ),
        ({"quality": 0, "out": Path("a.mkv"), "codec": "ffv1"}, "--quality is for H.264: ffv1 is lossless, and "),
        ({"working_size": 3}, "--working-size: expected 64 or more, got 3."),
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


def test_a_codec_without_an_output_chooses_its_container() -> None:
    options = build_options(model="retint", tuning="off", out=None, codec="ffv1", working_size=None, references=[])
    assert options.output.container == "mkv"


def test_what_was_done_to_a_reference_is_said(film: Path) -> None:
    small = film.parent / "small.png"
    write_png(small, cv2.resize(moving_square(0), (64, 64)))
    done = retint(film, "-r", f"{small}@0", "-o", film.parent / "color.mp4", "--tuning", "off", "--device", "cpu")
    assert done.exit_code == 0
    assert "Note: small.png: fitted from 64x64 to 128x96" in done.stderr
