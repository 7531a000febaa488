"""Progress where there is no terminal."""

import pytest

from cli.console import format_bytes, format_seconds
from cli.progress_bar import ProgressBar


def test_without_a_terminal_a_line_comes_when_the_phase_changes(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar(title="tuned") as bar:
        bar.update("detecting_shots", fraction=0.0)
        bar.update("colorizing", fraction=0.25, frames=(5, 20), fps=2.5, seconds_left=6)
        bar.update("colorizing", fraction=0.3, frames=(6, 20), fps=2.5, seconds_left=5.6)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == ["tuned detecting shots 0%", "tuned colorizing 25% 5/20 frames, 2.5 fps, 0:06 left"]


def test_without_a_terminal_the_end_is_told_too(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar() as bar:
        for done in (10, 20, 50, 100, 100):
            bar.transferred("uploading", done=done, total=100)
        bar.transferred("downloading", done=7, total=7)
    assert capsys.readouterr().err.splitlines() == [
        "uploading 10% 10 B of 100 B",
        "uploading 100% 100 B of 100 B",
        "downloading 100% 7 B of 7 B",
    ]


def test_what_has_no_known_size_is_told_by_its_bytes_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar() as bar:
        bar.transferred("downloading", done=7, total=None)
    assert capsys.readouterr().err.splitlines() == ["downloading 7 B"]


def test_a_disabled_bar_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar(enabled=False) as bar:
        bar.update("colorizing", fraction=0.5)
        bar.transferred("uploading", done=1, total=2)
    assert capsys.readouterr() == ("", "")


def test_sizes_and_times_read_well() -> None:
    assert [format_bytes(count) for count in (0, 999, 1500, 2.5e6, 3e9, 4e12)] == [
        "0 B",
        "999 B",
        "1.5 KB",
        "2.5 MB",
        "3.0 GB",
        "4.0 TB",
    ]
    assert [format_seconds(seconds) for seconds in (0, 65, 3599.7, 7387)] == ["0:00", "1:05", "1:00:00", "2:03:07"]
