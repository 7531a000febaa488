"""Turns the work done into a fraction of the whole job, and keeps the time of every phase."""

import time
from collections.abc import Callable
from typing import Protocol

from jobs.record import Phase, TuningUnderWay
from worker.observer import Observer

ANALYSIS_COST = 1.0
"""Of one frame; the unit of the costs below."""
COLORING_COST = 40.0
"""Of one frame fed to the model. Measured at 854x480: 300 ms of CPU time beside the 7 ms of decoding and looking."""
TUNING_COST = 80.0
"""Of one step, which predicts two samples and learns from up to four."""


class Meter(Protocol):
    """What a piece is told by and tells while it is done."""

    def check(self) -> None:
        """Stop here, by what it raises, if the work is to stop."""

    def restart(self) -> None:
        """The piece begins, for the first time or again."""

    def enter(self, phase: Phase) -> None: ...

    def fed(self) -> None:
        """Another frame goes to the model. The work stops here if it is to stop."""

    def tuned_step(self) -> None: ...

    def learned(self, tuning: TuningUnderWay) -> None:
        """What tuning has come to, after every step."""

    def colored(self, frame: int, *, confidence: float) -> None:
        """The color of a frame is final, the next one's of its piece."""

    def showed(self, frame: int, picture: bytes) -> None:
        """A frame as it will look, a small JPEG."""


class Progress:
    """What an observer is told of one job that is done in this process. The fraction never falls."""

    def __init__(self, observer: Observer, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.observer = observer
        self._clock = clock
        self._frames_total = 0
        self._work_total: float | None = None
        self._analyzed = 0
        self._colored = 0
        """Frames of the pieces that are through."""
        self._through = 0.0
        """Work of the pieces that are through."""
        self._piece = 0.0
        """Work done of the piece at hand."""
        self._piece_colored = 0
        self._fraction = 0.0
        self._phase: Phase | None = None
        self._phase_since = 0.0
        self._seconds: dict[Phase, float] = {}

    @property
    def phase_seconds(self) -> dict[Phase, float]:
        """Seconds spent in each phase so far."""
        seconds = dict(self._seconds)
        if self._phase is not None:
            seconds[self._phase] = seconds.get(self._phase, 0.0) + self._clock() - self._phase_since
        return seconds

    def check(self) -> None:
        self.observer.check()

    def enter(self, phase: Phase) -> None:
        self.observer.check()
        if phase == self._phase:
            return
        self._seconds = self.phase_seconds
        self._phase, self._phase_since = phase, self._clock()
        self.observer.entered(phase)

    def found(self, frames: int) -> None:
        """So many frames of the video were found so far, or fewer, where they are counted a second time. The job stops
        here if it is to stop."""
        self.observer.check()
        if frames > self._frames_total:
            self._frames_total = frames
            self.observer.advanced(fraction=0.0, frames_done=0, frames_total=frames)

    def expect_frames(self, count: int) -> None:
        """How many there are; those found before are one fewer, or more where not every packet was a frame."""
        self._frames_total = count
        self._tell()

    def expect_work(self, cost: float) -> None:
        """How much all pieces are."""
        self._work_total = cost

    def analyzed(self, count: int) -> None:
        self._analyzed = count
        self._tell()

    def restart(self) -> None:
        self._piece, self._piece_colored = 0.0, 0

    def tuned_step(self) -> None:
        self._advance(TUNING_COST)

    def learned(self, tuning: TuningUnderWay) -> None:
        self.observer.learned(tuning=tuning)

    def showed(self, frame: int, picture: bytes) -> None:
        self.observer.showed(frame, picture)

    def fed(self) -> None:
        self._advance(COLORING_COST)

    def colored(self, frame: int, *, confidence: float) -> None:  # noqa: ARG002 (one process keeps the curve itself)
        self._piece_colored += 1
        self._tell()

    def through(self, *, cost: float, frames: int) -> None:
        """A piece is through, done now or before; steps that it did not take count as done."""
        self.restart()
        self._through += cost
        self._colored += frames
        self._tell()

    def _advance(self, work: float) -> None:
        self._piece += work
        self._tell()

    def _tell(self) -> None:
        # Before the plan is made: what all frames take once. Tuning and what is colored both ways is not known yet.
        expected = self._work_total if self._work_total is not None else self._frames_total * COLORING_COST
        total = self._frames_total * ANALYSIS_COST + expected
        done = self._analyzed * ANALYSIS_COST + self._through + self._piece
        # The last frame is fed before it is encoded: whole only where all are final.
        colored = self._colored + self._piece_colored
        highest = 1.0 if 0 < self._frames_total == colored else 0.999
        self._fraction = max(self._fraction, min(highest, done / total if total else 0.0))
        self.observer.check()
        self.observer.advanced(fraction=self._fraction, frames_done=colored, frames_total=self._frames_total)
