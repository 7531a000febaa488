"""The fraction never falls, ends at one, and the time of every phase is kept."""

from typing import Any

import pytest

from jobs.errors import JobCanceled
from worker.progress import COLORING_COST, TUNING_COST, Progress


class Listener:
    def __init__(self) -> None:
        self.fractions: list[float] = []
        self.phases: list[str] = []
        self.frames = self.frames_total = 0
        self.stop = False

    def entered(self, phase: str) -> None:
        self.phases.append(phase)

    def advanced(self, *, fraction: float, frames_done: int, frames_total: int) -> None:
        self.fractions.append(fraction)
        self.frames, self.frames_total = frames_done, frames_total

    def learned(self, **_: Any) -> None: ...

    def showed(self, frame: int, picture: bytes) -> None: ...

    def check(self) -> None:
        if self.stop:
            raise JobCanceled("stop")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_fraction_rises_though_the_plan_grows() -> None:
    listener = Listener()
    progress = Progress(listener)
    progress.expect_frames(10)
    for count in range(1, 11):
        progress.analyzed(count)
    progress.expect_work(2 * 5 * TUNING_COST + 14 * COLORING_COST)
    for _ in range(2):
        progress.restart()
        for _ in range(3):
            progress.tuned_step()
        progress.through(cost=5 * TUNING_COST, frames=0)
    progress.restart()
    for _ in range(14):
        progress.fed()
    assert listener.fractions[-1] < 1
    for frame in range(10):
        progress.colored(frame, confidence=0.5)
    assert listener.fractions[-1] == 1.0
    assert listener.fractions[-2] < 1
    progress.through(cost=14 * COLORING_COST, frames=10)
    assert listener.fractions == sorted(listener.fractions)
    assert listener.fractions[-1] == 1.0


def test_a_piece_that_begins_again_counts_once() -> None:
    listener = Listener()
    progress = Progress(listener)
    progress.expect_frames(4)
    progress.expect_work(4 * COLORING_COST)
    progress.analyzed(4)
    for _ in range(2):
        progress.restart()
        for frame in range(3):
            progress.fed()
            progress.colored(frame, confidence=0.5)
    assert listener.fractions[-1] == pytest.approx((4 + 3 * COLORING_COST) / (4 + 4 * COLORING_COST))
    assert listener.frames == 3


def test_a_video_being_probed_is_told_and_can_be_stopped() -> None:
    listener = Listener()
    progress = Progress(listener)
    for count in (0, 1, 1, 2):
        progress.found(count)
    assert listener.fractions == [0.0, 0.0]
    listener.stop = True
    with pytest.raises(JobCanceled):
        progress.found(2)


def test_how_many_frames_there_are_is_told_once_it_is_known() -> None:
    listener = Listener()
    progress = Progress(listener)
    progress.found(11)
    progress.expect_frames(12)
    assert (listener.fractions[-1], listener.frames_total) == (0.0, 12)


def test_phases_that_come_again_add_up() -> None:
    clock = Clock()
    progress = Progress(Listener(), clock=clock)
    for phase, seconds in (("tuning", 1.0), ("colorizing", 4.0), ("tuning", 2.0), ("colorizing", 8.0)):
        progress.enter(phase)  # type: ignore[arg-type]
        clock.now += seconds
    assert progress.phase_seconds == {"tuning": 3.0, "colorizing": 12.0}


def test_a_phase_entered_twice_in_a_row_is_told_once() -> None:
    listener = Listener()
    progress = Progress(listener)
    progress.enter("colorizing")
    progress.enter("colorizing")
    assert listener.phases == ["colorizing"]


def test_a_job_to_be_stopped_stops_at_the_next_frame() -> None:
    listener = Listener()
    progress = Progress(listener)
    progress.expect_frames(2)
    progress.fed()
    listener.stop = True
    with pytest.raises(JobCanceled):
        progress.fed()
