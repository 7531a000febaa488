"""`retint keyframes`: pictures to color out, and back in as references."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from cli.errors import CommandError
from cli.main import app
from jobs.errors import VideoTooLong, VideoUndecodable
from worker.media.stills import read_image, write_png


def retint(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def write_film(path: Path, *, scenes: int, frames: int = 12) -> Path:
    """A gray film of shapes that move, of `scenes` shots."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for scene in range(scenes):
            rng = np.random.default_rng(scene)
            ground = int(rng.integers(20, 230))
            boxes = rng.integers(0, (90, 70, 256), (12, 3))
            for index in range(frames):
                gray = np.full((96, 128), ground, np.uint8)
                for x, y, code in boxes.tolist():
                    cv2.rectangle(gray, (x + index, y), (x + index + 20, y + 16), code, -1)
                frame = av.VideoFrame.from_ndarray(gray, format="gray")
                container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_film(tmp_path / "old film.mp4", scenes=4)


def test_a_folder_of_pictures_is_written_with_what_to_do_next(film: Path) -> None:
    out = film.parent / "to color"
    done = retint("keyframes", film, "-o", out)
    assert done.exit_code == 0
    names = sorted(path.name for path in out.glob("*.png"))
    assert [name[:9] for name in names] == ["shot-0001", "shot-0002", "shot-0003", "shot-0004"]
    assert done.stdout.splitlines() == [str(out / name) for name in names]
    listed = json.loads((out / "keyframes.json").read_text())
    assert [one["name"] for one in listed["keyframes"]] == names
    references = " ".join(f"-r '{out / one['name']}'@{one['frame']}" for one in listed["keyframes"])
    assert f"keep their names, then:\n  retint colorize '{film}' {references} -o " in done.stderr
    assert {path.name for path in film.parent.iterdir()} == {film.name, out.name}


def test_of_more_than_twenty_pictures_the_rest_is_left_to_the_reader(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", scenes=1, frames=22)
    cuts = ",".join(str(frame) for frame in range(1, 22))
    done = retint("keyframes", film, "-o", tmp_path / "out", "--shots", cuts)
    assert len(done.stdout.splitlines()) == 22
    assert "keep their names, then (and one -r for every further picture that you color):" in done.stderr
    assert done.stderr.count(" -r ") - 1 == 20


def test_the_colored_pictures_color_the_film(film: Path) -> None:
    folder = film.parent
    outcome = json.loads(retint("keyframes", film, "-o", folder / "out", "--json").stdout)
    references: list[str] = []
    for one in outcome["keyframes"]:
        path = Path(outcome["folder"], one["name"])
        toned = read_image(path).astype(float) * [0.9, 0.8, 0.6] + [25, 8, 0]
        write_png(path, np.rint(toned).astype(np.uint8))
        references += ["-r", str(path)]
    colored = retint("colorize", film, *references, "-o", folder / "color.mkv", "--tuning", "off", "--json")
    placed = json.loads(colored.stdout)["references"]
    assert [(one["name"], one["frame"], one["shot"]) for one in placed] == [
        (one["name"], one["frame"], one["shot"]) for one in outcome["keyframes"]
    ]


def test_a_zip_holds_what_a_folder_would(film: Path) -> None:
    folder, archive = film.parent / "out", film.parent / "out.zip"
    retint("keyframes", film, "-o", folder)
    done = retint("keyframes", film, "-o", archive)
    assert done.stdout == f"{archive}\n"
    assert f"Unpack it into {folder}; then color them" in done.stderr
    with zipfile.ZipFile(archive) as packed:
        assert {name: packed.read(name) for name in packed.namelist()} == {
            path.name: path.read_bytes() for path in folder.iterdir()
        }
    with pytest.raises(CommandError, match="exists; choose another name, or overwrite it with --force"):
        retint("keyframes", film, "-o", archive)
    forced = retint("keyframes", film, "-o", archive, "--force", "--json")
    assert json.loads(forced.stdout)["archive"] == str(archive)


def test_single_takes_the_film_for_one_shot(film: Path) -> None:
    outcome = json.loads(retint("keyframes", film, "-o", film.parent / "out", "--shots", "single", "--json").stdout)
    assert [(one["first_frame"], one["last_frame"]) for one in outcome["keyframes"]] == [(0, 47)]


def test_shots_begin_where_it_is_said_and_so_they_do_in_what_to_do_next(film: Path) -> None:
    out = film.parent / "out"
    done = retint("keyframes", film, "-o", out, "--shots", "30,20")
    listed = json.loads((out / "keyframes.json").read_text())
    assert [(one["first_frame"], one["last_frame"]) for one in listed["keyframes"]] == [(0, 19), (20, 29), (30, 47)]
    assert " --shots 30,20 -o " in done.stderr


def test_a_frame_for_every_second_is_found(film: Path) -> None:
    command = ["keyframes", film, "-o", film.parent / "out", "--shots", "single", "--every", "1", "--json"]
    outcome = json.loads(retint(*command).stdout)
    assert [(one["first_frame"], one["last_frame"]) for one in outcome["keyframes"]] == [(0, 47)] * 2


def test_an_empty_folder_is_taken_and_one_with_files_only_by_force(film: Path) -> None:
    out = film.parent / "out"
    out.mkdir()
    assert retint("keyframes", film, "-o", out).exit_code == 0
    (out / "notes.txt").write_text("mine")
    (out / "keyframes.json").write_text("old")
    with pytest.raises(CommandError, match="is not empty; choose another one, or write into it with --force"):
        retint("keyframes", film, "-o", out)
    assert retint("keyframes", film, "-o", out, "--force").exit_code == 0
    assert (out / "notes.txt").read_text() == "mine"
    assert len(json.loads((out / "keyframes.json").read_text())["keyframes"]) == 4


def test_what_cannot_be_is_refused_before_the_work(film: Path) -> None:
    folder = film.parent
    for arguments, sentence in (
        ((folder / "none.mp4", "-o", folder / "out"), "There is no file"),
        ((folder, "-o", folder / "out"), r"is a folder; expected a video\. Of a sequence .* docs/films\.md"),
        ((film, "-o", film), "is a file; give the name of a folder"),
        ((film, "-o", folder / "none" / "out"), "There is no folder"),
        ((film, "-o", folder / "out", "--shots", "two"), "give auto, single, or the first frames"),
        ((film, "-o", folder / "out", "--every", "1e400"), "--every: expected a finite number, got inf"),
    ):
        with pytest.raises(CommandError, match=sentence):
            retint("keyframes", *arguments)
    assert list(folder.iterdir()) == [film]


def test_a_film_that_cannot_be_used_leaves_nothing(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = film.parent / "text.mp4"
    text.write_text("no video")
    with pytest.raises(VideoUndecodable):
        retint("keyframes", text, "-o", film.parent / "out")
    monkeypatch.setenv("RETINT_MAX_FRAMES", "5")
    with pytest.raises(VideoTooLong):
        retint("keyframes", film, "-o", film.parent / "out")
    assert sorted(film.parent.iterdir()) == [film, text]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_leave_nothing(tmp_path: Path, number: signal.Signals) -> None:
    film = write_film(tmp_path / "film.mp4", scenes=40, frames=50)
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "keyframes", str(film), "-o", str(tmp_path / "out")],
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".retint-*/scratch-*/signatures")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    said, told = process.communicate(timeout=60)
    assert (process.returncode, said) == (128 + number, "")
    assert told.splitlines()[-1] == "retint: Stopped. Nothing was written."
    assert list(tmp_path.iterdir()) == [film]
