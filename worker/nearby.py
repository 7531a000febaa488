"""Which frames of a shot tuning looks at beside a reference."""

DISTANCES = (1, 2, 4, 8, 16)
"""Frames from the reference: the next ones, and some in which things have moved, in few enough steps to be colored."""


def nearby_frames(frame: int, *, first: int, last: int) -> tuple[int, ...]:
    """Frames of the shot `first` to `last` near its frame `frame`, nearest first; fewer in a short shot.

    They lie after the reference, or before it where the shot has more frames there.
    """
    direction = 1 if last - frame >= frame - first else -1
    indices = (frame + direction * distance for distance in DISTANCES)
    return tuple(index for index in indices if first <= index <= last)
