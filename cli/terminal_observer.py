"""Watches a job that runs in this process."""

import time
from collections.abc import Sequence

from cli.progress_bar import ProgressBar
from jobs.record import Phase, PlacedReference, Shot, VideoFacts

REFRESH_SECONDS = 0.1
"""The pipeline tells far more often than a terminal needs to be drawn."""


class TerminalObserver:
    """An `Observer` (worker/observer.py) that draws a bar and keeps the facts for `--json`."""

    def __init__(self, bar: ProgressBar) -> None:
        self._bar = bar
        self._phase: Phase = "probing"
        self._started = time.monotonic()
        self._coloring_since: float | None = None
        self._drawn = float("-inf")
        self._fraction = 0.0
        self._frames: tuple[int, int | None] = (0, None)
        self.video: VideoFacts | None = None
        self.references: tuple[PlacedReference, ...] = ()
        self.shots: tuple[Shot, ...] = ()
        self.warnings: tuple[str, ...] = ()

    def entered(self, phase: Phase) -> None:
        self._phase = phase
        if phase == "colorizing" and self._coloring_since is None:
            self._coloring_since = time.monotonic()
        self._draw()

    def advanced(self, *, fraction: float, frames_done: int, frames_total: int) -> None:
        self._fraction = fraction
        self._frames = (frames_done, frames_total)
        if time.monotonic() - self._drawn >= REFRESH_SECONDS:
            self._draw()

    def learned(
        self,
        *,
        video: VideoFacts | None = None,
        references: Sequence[PlacedReference] | None = None,
        shots: Sequence[Shot] | None = None,
        warnings: Sequence[str] | None = None,
    ) -> None:
        if video is not None:
            self.video = video
        if references is not None:
            self.references = tuple(references)
        if shots is not None:
            self.shots = tuple(shots)
        if warnings is not None:
            self.warnings = tuple(warnings)

    def check(self) -> None:
        """Ctrl-C raises by itself."""

    def _draw(self) -> None:
        now = self._drawn = time.monotonic()
        done = self._frames[0]
        fps = done / (now - self._coloring_since) if self._coloring_since is not None and done else None
        elapsed = now - self._started
        left = elapsed / self._fraction * (1 - self._fraction) if self._fraction > 0.02 else None
        self._bar.update(self._phase, fraction=self._fraction, frames=self._frames, fps=fps, seconds_left=left)
