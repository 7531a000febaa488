"""How the pipeline tells what it does, and is told to stop."""

from collections.abc import Sequence
from typing import Protocol

from jobs.record import ConfidencePoint, Phase, PlacedReference, Shot, TuningUnderWay, VideoFacts


class Observer(Protocol):
    """Watches one job. Calls are cheap and may come hundreds of times a second; an observer throttles by itself."""

    def entered(self, phase: Phase) -> None:
        """A phase begins; phases may come again for the next shot."""
        ...

    def advanced(self, *, fraction: float, frames_done: int, frames_total: int) -> None:
        """Work went on: `fraction` of the whole job, and the frames whose color is final."""
        ...

    def learned(
        self,
        *,
        video: VideoFacts | None = None,
        references: Sequence[PlacedReference] | None = None,
        shots: Sequence[Shot] | None = None,
        warnings: Sequence[str] | None = None,
        tuning: TuningUnderWay | None = None,
        confidence: Sequence[ConfidencePoint] | None = None,
    ) -> None:
        """Facts became known; each argument given replaces what was known before."""
        ...

    def showed(self, frame: int, picture: bytes) -> None:
        """A frame as it will look, a small JPEG, to be seen while the rest is made."""
        ...

    def check(self) -> None:
        """Called at least once per frame and per tuning step.

        Raises:
            JobCanceled: the job is canceled or belongs to another execution.
            TimedOut: the job's deadline has passed.
        """
        ...
