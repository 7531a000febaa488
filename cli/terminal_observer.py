"""Watches a job that runs in this process."""

import time
from collections.abc import Callable, Sequence

from cli.progress_bar import ProgressBar
from jobs.record import ConfidencePoint, Phase, PlacedReference, Progress, Shot, TuningUnderWay, VideoFacts
from worker.pace import Pace

REFRESH_SECONDS = 0.1
"""The pipeline tells far more often than a terminal needs to be drawn."""


class TerminalObserver:
    """An `Observer` (worker/observer.py) that draws a bar and keeps the facts for `--json`."""

    def __init__(self, bar: ProgressBar, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._bar = bar
        self._clock = clock
        self._phase: Phase = "probing"
        self._pace = Pace()
        self._progress = Progress()
        self._drawn = float("-inf")
        self.video: VideoFacts | None = None
        self.references: tuple[PlacedReference, ...] = ()
        self.shots: tuple[Shot, ...] = ()
        self.warnings: tuple[str, ...] = ()

    def entered(self, phase: Phase) -> None:
        self._phase = phase
        self._pace.restart()
        self._draw()

    def advanced(self, *, fraction: float, frames_done: int, frames_total: int) -> None:
        now = self._clock()
        self._progress = self._pace.mark(now, fraction=fraction, frames_done=frames_done, frames_total=frames_total)
        # The last word always: what is drawn then stays.
        if now - self._drawn >= REFRESH_SECONDS or fraction >= 1.0:
            self._draw()

    def learned(
        self,
        *,
        video: VideoFacts | None = None,
        references: Sequence[PlacedReference] | None = None,
        shots: Sequence[Shot] | None = None,
        warnings: Sequence[str] | None = None,
        tuning: TuningUnderWay | None = None,  # noqa: ARG002 — a terminal draws no curve
        confidence: Sequence[ConfidencePoint] | None = None,  # noqa: ARG002 — nor this one
    ) -> None:
        if video is not None:
            self.video = video
        if references is not None:
            self.references = tuple(references)
        if shots is not None:
            self.shots = tuple(shots)
        if warnings is not None:
            self.warnings = tuple(warnings)

    def showed(self, frame: int, picture: bytes) -> None:
        """A terminal shows no pictures."""

    def check(self) -> None:
        """Ctrl-C raises by itself."""

    def _draw(self) -> None:
        self._drawn = self._clock()
        progress = self._progress
        self._bar.update(
            self._phase,
            fraction=progress.fraction,
            frames=(progress.frames_done, progress.frames_total),
            fps=progress.fps,
            seconds_left=progress.eta_seconds,
        )
