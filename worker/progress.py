"""Turns the work done into a fraction of the whole job, and keeps the time of every phase."""

import time
from collections.abc import Callable

from jobs.record import Phase
from worker.observer import Observer

ANALYSIS_COST = 1.0
"""Of one frame; the unit of the costs below."""
COLORING_COST = 40.0
"""Of one frame fed to the model. Measured at 854x480: 300 ms of CPU time beside the 7 ms of decoding and looking."""
TUNING_COST = 80.0
"""Of one step, which predicts two samples and learns from one."""


class Progress:
    """What an observer is told of one job. The fraction never falls."""

    def __init__(self, observer: Observer, *, tuning_steps: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`tuning_steps` are those of one tuning at most; how many tunings there are is planned later."""
        self._observer = observer
        self._clock = clock
        self._frames_total = 0
        self._analyzed = 0
        self._fed = 0
        self._feeds_total = 0
        self._colored = 0
        self._steps_done = 0.0
        self._steps_total = float(tuning_steps)
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
        """Stop here if the job is to stop."""
        self._observer.check()

    def enter(self, phase: Phase) -> None:
        self._observer.check()
        if phase == self._phase:
            return
        self._seconds = self.phase_seconds
        self._phase, self._phase_since = phase, self._clock()
        self._observer.entered(phase)

    def found(self, frames: int) -> None:
        """So many frames of the video were found so far, or fewer, where they are counted a second time. The job stops
        here if it is to stop."""
        self._observer.check()
        if frames > self._frames_total:
            self._frames_total = frames
            self._observer.advanced(fraction=0.0, frames_done=0, frames_total=frames)

    def expect_frames(self, count: int) -> None:
        self._frames_total = self._feeds_total = count

    def expect_tunings(self, steps: int) -> None:
        self._steps_total = float(steps)

    def expect_feeds(self, count: int) -> None:
        """How many frames the model will be fed: more than the video has, where some are colored both ways."""
        self._feeds_total = count

    def analyzed(self, count: int) -> None:
        self._analyzed = count
        self._tell()

    def tuned_step(self) -> None:
        self._steps_done = min(self._steps_done + 1, self._steps_total)
        self._tell()

    def tuned(self, steps_done: int) -> None:
        """A tuning ended; steps that it did not take count as done."""
        self._steps_done = float(steps_done)
        self._tell()

    def fed(self) -> None:
        """Another frame goes to the model. The job stops here if it is to stop."""
        self._fed = min(self._fed + 1, self._feeds_total)
        self._tell()

    def colored(self) -> None:
        """Another frame's color is final."""
        self._colored += 1
        self._tell()

    def _tell(self) -> None:
        total = self._frames_total * ANALYSIS_COST + self._feeds_total * COLORING_COST + self._steps_total * TUNING_COST
        done = self._analyzed * ANALYSIS_COST + self._fed * COLORING_COST + self._steps_done * TUNING_COST
        # The last frame is fed before it is encoded: whole only where all are final.
        highest = 1.0 if 0 < self._frames_total == self._colored else 0.999
        self._fraction = max(self._fraction, min(highest, done / total if total else 0.0))
        self._observer.check()
        self._observer.advanced(fraction=self._fraction, frames_done=self._colored, frames_total=self._frames_total)
