"""Cuts a shot into stretches: frames in a row that are colored in one go, and what their color comes from."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from worker.analysis import ShotRange

LONGEST_STRETCH = 600
"""Frames, 24 seconds of film: less than five minutes of one slow core at 854x480, colored both ways."""
SHORTEST_STRETCH = 48
STRETCH_PIXELS = 250_000_000
"""Pixels of all frames of a stretch together: a large frame takes as much longer as it is larger."""
SLOWER = {"deepremaster": 10, "exemplar": 20}
"""How many times as long as the default a model takes for a frame."""

LONGEST_BACKWARD = 1500
"""Frames at most that are colored backward alone from the first reference of a shot, a minute of film. Those farther
ahead of it are colored forward from the shot's start, with the reference as an example."""

ForwardStart = Literal["reference", "before", "examples"]
BackwardStart = Literal["reference", "behind"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Frames `first` to `last`, both included. Without a way, nothing colors it in that direction."""

    first: int
    last: int
    forward: ForwardStart | None
    """Where forward color starts: on the reference at `first`, on the color of the frame before, or on pictures that
    are no frames of the shot."""
    backward: BackwardStart | None = None
    """Where backward color starts: on the reference at the frame behind, or on the color of that frame."""

    def __len__(self) -> int:
        return self.last - self.first + 1

    @property
    def first_backward(self) -> int:
        """The frame at which backward color ends: a reference needs none."""
        return self.first + (self.forward == "reference")

    @property
    def feeds(self) -> int:
        """How many frames the model is fed for it: a way starts on a frame that is colored already."""
        forward = 0 if self.forward is None else len(self) + (self.forward == "before")
        backward = 0 if self.backward is None else self.last - self.first_backward + 2
        return forward + backward


def longest_stretch(pixels: int, *, model: str) -> int:
    """Frames of a stretch at most, for frames of `pixels`. It is the same whoever does the work, so that the result is,
    too."""
    frames = STRETCH_PIXELS // (pixels * SLOWER.get(model, 1))
    return max(SHORTEST_STRETCH, min(LONGEST_STRETCH, frames))


def stretches_of(
    shot: ShotRange,
    anchors: Sequence[int],
    *,
    propagates: bool,
    longest: int = LONGEST_STRETCH,
    longest_backward: int = LONGEST_BACKWARD,
) -> tuple[Stretch, ...]:
    """The stretches of a shot with references at the frames `anchors`, in order.

    Frames between two references are colored from both; where they are more than `longest`, both ways only those before
    the second. For a model that does not propagate every stretch stands by itself.
    """
    if not propagates:
        return tuple(Stretch(first, last, "examples") for first, last in _parts(shot.first, shot.last, longest))
    if not anchors:
        return _forward(shot.first, shot.last, "examples", longest)
    found = _ahead(shot.first, anchors[0], longest, longest_backward)
    for anchor, following in pairwise(anchors):
        start = max(anchor, following - longest)
        found += _forward(anchor, start - 1, "reference", longest)
        both = Stretch(start, following - 1, "reference" if start == anchor else "before", "reference")
        alone = both.first_backward > both.last
        found += (Stretch(start, start, "reference"),) if alone else (both,)
    return found + _forward(anchors[-1], shot.last, "reference", longest)


def _ahead(first: int, anchor: int, longest: int, longest_backward: int) -> tuple[Stretch, ...]:
    """Frames ahead of the first reference."""
    if first == anchor:
        return ()
    start = max(first, anchor - longest_backward)
    found = _forward(first, start - 1, "examples", longest)
    for begin, end in _parts(start, anchor - 1, longest):
        # Where forward color arrives, it passes over into backward color without a jump.
        forward: ForwardStart | None = "before" if found and begin == start else None
        found += (Stretch(begin, end, forward, "reference" if end == anchor - 1 else "behind"),)
    return found


def _forward(first: int, last: int, start: ForwardStart, longest: int) -> tuple[Stretch, ...]:
    return tuple(
        Stretch(begin, end, start if begin == first else "before") for begin, end in _parts(first, last, longest)
    )


def _parts(first: int, last: int, longest: int) -> list[tuple[int, int]]:
    """`first` to `last` in as few parts as possible, all about as long."""
    total = last - first + 1
    count = -(-total // longest)
    bounds = [first + total * part // count for part in range(count + 1)] if count > 0 else []
    return [(begin, stop - 1) for begin, stop in pairwise(bounds)]
