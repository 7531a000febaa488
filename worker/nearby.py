"""Which frames of a shot tuning looks at beside a reference."""

FARTHEST = 35
"""Frames from the reference: far enough for errors to add up as they do in a film."""


def nearby_frames(frame: int, *, first: int, last: int) -> tuple[int, ...]:
    """Frames of the shot `first` to `last` near its frame `frame`, nearest first; fewer in a short shot.

    They lie after the reference, or before it where the shot has more frames there.
    """
    if last - frame >= frame - first:
        return tuple(range(frame + 1, min(last, frame + FARTHEST) + 1))
    return tuple(range(frame - 1, max(first, frame - FARTHEST) - 1, -1))
