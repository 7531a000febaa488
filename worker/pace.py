"""How fast a job goes and how long it still takes, from its last half minute."""

from collections import deque
from dataclasses import dataclass

from jobs.pace import (
    FIRST_FRACTION,
    LEAST_GAIN,
    LONG_ENOUGH_SECONDS,
    MARK_SECONDS,
    SHORTEST_SECONDS,
    WINDOW_SECONDS,
)
from jobs.record import Progress


@dataclass(frozen=True, slots=True)
class _Mark:
    at: float
    fraction: float
    frames: int


class Pace:
    """Fed with what was done and when; times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._marks: deque[_Mark] = deque()

    def restart(self) -> None:
        """Forget the pace so far: the work changes, and an ended tuning may have skipped steps that nobody took."""
        self._marks.clear()

    def mark(self, at: float, *, fraction: float, frames_done: int, frames_total: int) -> Progress:
        """Note where the job stands at a time, and tell its progress."""
        marks = self._marks
        if marks and marks[-1].frames > frames_done:
            marks.clear()
        # No mark where nothing was done.
        if not marks or (at - marks[-1].at >= MARK_SECONDS and fraction - marks[-1].fraction >= LEAST_GAIN):
            marks.append(_Mark(at, fraction, frames_done))
        # Some steps take minutes and say nothing in between: the longer it stands still, the farther back is looked.
        window = WINDOW_SECONDS + 2 * (at - marks[-1].at)
        while at - marks[0].at > window and len(marks) > 2:
            marks.popleft()
        elapsed = at - marks[0].at
        if elapsed < SHORTEST_SECONDS:
            return Progress(fraction=fraction, frames_done=frames_done, frames_total=frames_total)
        frames = frames_done - marks[0].frames
        gained = fraction - marks[0].fraction
        foreseeable = gained >= LEAST_GAIN and (fraction >= FIRST_FRACTION or elapsed >= LONG_ENOUGH_SECONDS)
        return Progress(
            fraction=fraction,
            frames_done=frames_done,
            frames_total=frames_total,
            fps=round(frames / elapsed, 3) if frames else None,
            eta_seconds=round((1 - fraction) * elapsed / gained, 1) if foreseeable else None,
        )
