"""Which frames of a shot tuning looks at beside a reference."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

from torch import Tensor

from models.rehearsal import DISTANCES
from models.self_training import LOOKED_AT
from worker.on_demand import OnDemand

FARTHEST = DISTANCES[-1]
"""Frames from the reference."""


def nearby_frames(frame: int, *, first: int, last: int) -> tuple[int, ...]:
    """Frames of the shot `first` to `last` near its frame `frame`, nearest first; fewer in a short shot.

    They lie after the reference, or before it where the shot has more frames there.
    """
    if last - frame >= frame - first:
        return tuple(range(frame + 1, min(last, frame + FARTHEST) + 1))
    return tuple(range(frame - 1, max(first, frame - FARTHEST) - 1, -1))


def read_together(frames: Sequence[int], *, read: Callable[[int, int], Iterable[Tensor]]) -> Sequence[Tensor]:
    """What `read` gives for `frames`, which follow each other in either direction; it is given the first and the last.

    They are nearest first. All are read when one is first asked for, and those that tuning looks at are kept: in a film
    with few key frames one takes as long as all of them.
    """
    kept = {frame for distance, frame in enumerate(frames, start=1) if distance in LOOKED_AT}

    @cache
    def planes() -> Mapping[int, Tensor]:
        first, last = min(frames), max(frames)
        read_in_order = zip(range(first, last + 1), read(first, last), strict=True)
        return {frame: luma for frame, luma in read_in_order if frame in kept}

    return OnDemand(frames, lambda frame: planes()[frame])
