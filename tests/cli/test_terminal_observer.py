"""What the terminal is told of a job that runs in this process."""

from typing import Any

from cli.progress_bar import ProgressBar
from cli.terminal_observer import TerminalObserver


class Drawn(ProgressBar):
    """Remembers what was drawn last."""

    def __init__(self) -> None:
        super().__init__(enabled=False)
        self.last: dict[str, Any] = {}

    def update(self, phase: str, **facts: Any) -> None:
        self.last = {"phase": phase, **facts}


class Watched:
    """A job of 100 frames at a pace that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.frames = 0
        self.bar = Drawn()
        self.observer = TerminalObserver(self.bar, clock=lambda: self.now)
        self.observer.entered("colorizing")

    def color(self, frames: int, *, seconds_each: float) -> None:
        for _ in range(frames):
            self.now += seconds_each
            self.frames += 1
            self.observer.advanced(fraction=self.frames / 100, frames_done=self.frames, frames_total=100)


def test_speed_and_time_left_are_those_of_the_last_half_minute() -> None:
    job = Watched()
    job.color(20, seconds_each=10.0)
    job.color(60, seconds_each=1.0)
    assert 0.9 < job.bar.last["fps"] < 1.2
    assert 15 < job.bar.last["seconds_left"] < 25
    assert job.bar.last["frames"] == (80, 100)


def test_the_end_is_drawn_however_soon_it_comes() -> None:
    job = Watched()
    job.color(100, seconds_each=0.0001)
    assert (job.bar.last["fraction"], job.bar.last["frames"]) == (1.0, (100, 100))


def test_a_new_phase_starts_without_the_pace_of_the_one_before() -> None:
    job = Watched()
    job.color(50, seconds_each=0.1)
    job.observer.entered("encoding")
    job.now += 0.2
    job.color(1, seconds_each=0.1)
    assert job.bar.last["phase"] == "encoding"
    assert job.bar.last["seconds_left"] is None
