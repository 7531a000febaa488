"""Frames near a reference, colored before tuning begins, so that it learns from them, too."""

from collections.abc import Callable, Sequence

import torch

from models.base import Colorizer, Matrix, Prediction, Reference
from models.rehearsal import DISTANCES, colored

COLORED_REFERENCES, COLORED_FRAMES = 4, 12
"""References whose frames nearby are colored, the first ones, and how many of those frames: each takes time and
memory."""
LOOKED_AT = frozenset({*range(1, COLORED_FRAMES + 1), *DISTANCES})
"""Frames from the reference, of those nearby that tuning looks at at all."""
LEAST_ITERATIONS = 10
"""Steps below which no frames are colored, which would take longer than those steps."""


def frames_to_learn_from(nearby: Sequence[int], *, iterations: int) -> Sequence[int]:
    """How many frames next to each of the first references tuning learns from, of so many `nearby` each reference."""
    if iterations < LEAST_ITERATIONS:
        return []
    # References take turns, and none is given more frames than there are steps to learn from them.
    turns = [-(-(iterations - place) // len(nearby)) for place in range(len(nearby))]
    of_first = list(zip(nearby, turns, strict=True))[:COLORED_REFERENCES]
    return [max(0, min(COLORED_FRAMES, there, steps)) for there, steps in of_first]


@torch.no_grad()
def color_nearby(
    colorizer: Colorizer,
    reference: Reference,
    *,
    frames: int,
    matrix: Matrix,
    on_frame: Callable[[], None] = lambda: None,
) -> Sequence[Prediction]:
    """So many frames next to a reference, colored from it one after the other.

    `on_frame` is called ahead of every frame.
    """
    if not frames:
        return ()
    lumas = [reference.luma, *reference.nearby[:frames]]
    return colored(colorizer, lumas, reference, matrix=matrix, on_frame=on_frame)[1:]
