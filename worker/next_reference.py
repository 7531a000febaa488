"""Where another reference would help a shot most, by what the job itself has shown of how far references reach."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

FARTHEST = 1500
"""Frames from a reference that its reach is measured over, a minute of film."""
LOOKED_AT = 400
"""Frames of a shot, evenly spaced, that are weighed against each other."""
USUAL_LOSS = 0.003
"""Of confidence, per frame, where the job has no frame to measure it on: about what the default model loses."""
LEAST_GAIN = 0.5
"""Of the sum over a shot's frames; less is not worth a picture."""

Confidences = NDArray[np.float32]


def confidence_by_distance(shots: Iterable[tuple[Confidences, Sequence[int]]]) -> NDArray[np.float64]:
    """Mean confidence of frames so many frames away from the nearest reference, [FARTHEST + 1], never rising.

    `shots` are the confidences of a shot's frames, and which of them are references.
    """
    sums, counts = np.zeros(FARTHEST + 1), np.zeros(FARTHEST + 1)
    for confidences, anchors in shots:
        if not anchors or not len(confidences):
            continue
        places = np.arange(len(confidences))
        behind = np.searchsorted(np.asarray(anchors), places).clip(max=len(anchors) - 1)
        before = (behind - 1).clip(min=0)
        distances = np.minimum(abs(np.asarray(anchors)[behind] - places), abs(np.asarray(anchors)[before] - places))
        near = distances <= FARTHEST
        np.add.at(sums, distances[near], confidences[near])
        np.add.at(counts, distances[near], 1)
    usual = np.asarray(np.clip(1 - USUAL_LOSS * np.arange(FARTHEST + 1), 0, 1), np.float64)
    known = counts > 0
    if not known.any():
        return usual
    measured = np.where(known, sums / np.maximum(counts, 1), np.inf)
    # Between and beyond what was measured the usual loss goes on.
    reach = np.empty(FARTHEST + 1)
    level, offset = 1.0, 0.0
    for distance in range(FARTHEST + 1):
        if known[distance]:
            level, offset = min(level, float(measured[distance])), usual[distance]
        reach[distance] = max(0.0, level - (offset - usual[distance] if offset else 0.0))
    return np.asarray(np.minimum.accumulate(reach), np.float64)


def best_next_frame(confidences: Confidences, reach: NDArray[np.float64]) -> tuple[int, float] | None:
    """The frame whose color adds most to the confidence of all, and how much; None where no frame adds anything worth
    it."""
    count = len(confidences)
    if not count or np.isnan(confidences).any():
        return None
    places = np.unique(np.linspace(0, count - 1, min(LOOKED_AT, count)).round().astype(int))
    known = confidences[places].astype(np.float64)
    distances = np.abs(places[:, None] - places[None, :]).clip(max=FARTHEST)
    gains = np.maximum(reach[distances] - known[None, :], 0).sum(axis=1) * (count / len(places))
    best = int(gains.argmax())
    return (int(places[best]), round(float(gains[best]), 3)) if gains[best] >= LEAST_GAIN else None
