"""Decides which frames of a shot are worth coloring: sharp, like the rest of the shot, near all of its frames."""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.analysis import ShotRange, unit_luma
from worker.media.frames import LumaFrame, VideoInfo
from worker.signatures import SignatureFile, similarities

_MEASURED_WIDTH = 480
"""Sharpness is measured at this width: focus and motion blur still show, while most of a film's grain, which is no
detail, is averaged away."""
_BEST_PERCENTILE = 90
"""Of the frames of a shot: the best by number are those with dust and scratches, not the ones with most detail."""
_GOOD_ENOUGH = 0.9
"""Of that: frames that reach it count alike, so that the earliest is taken. Encoders alone make every other frame a few
percent sharper than its neighbors."""
_EXPOSURE_WEIGHT = 2.0
"""Per unit of mean luma, 0 to 1, away from the shot's median: a flash of a tenth costs as much as a fifth of the
sharpness."""
_FAR_WEIGHT = 1.0
"""What a frame costs that is endlessly far from those that get its colors: these are carried both ways, and get worse
with every frame. Over 37 clips for training, 60 frames of each, a frame in the middle colors 1.9 dB better than the
first; weights of 0.5 to 1.5 choose alike, 2.2 dB better than the first."""
_HALF_FAR = 72
"""Frames, three seconds of film, at which half of that is reached."""
_SAMPLES = 512
"""Frames of a shot, evenly spaced, that its usual look is taken from: 300 KB of signatures at most."""
_CHUNK = 4096
"""Signatures read at once."""


@dataclass(slots=True)
class FrameMeasures:
    """What was measured of each frame seen so far: 8 bytes a frame."""

    sharpness: "array[float]" = field(default_factory=lambda: array("f"))
    brightness: "array[float]" = field(default_factory=lambda: array("f"))

    def watch(self, frames: Iterable[LumaFrame], *, info: VideoInfo) -> Iterator[LumaFrame]:
        """Yield the frames as they come, and measure each."""
        width = min(_MEASURED_WIDTH, info.width)
        size = (max(1, round(info.height * width / info.width)), width)
        for frame in frames:
            luma = unit_luma(frame, info=info, size=size)
            self.sharpness.append(sharpness_of(luma))
            self.brightness.append(float(luma.mean()))
            yield frame


@dataclass(frozen=True, slots=True)
class Choice:
    """The frame of a part of a shot that is worth coloring."""

    part: ShotRange
    """The whole shot, or one of the equal parts that it is taken in."""
    frame: int
    blank: bool
    """Whether the part has nothing to color: even there the picture is black, white or otherwise empty."""


def sharpness_of(luma: NDArray[np.float32]) -> float:
    """Mean of the absolute Laplacian of luma [H, W]: unlike its variance, it is not made by a few specks of dust."""
    # Without the rim, where a letterbox or the film's gate makes an edge that is no detail.
    inner = cv2.Laplacian(luma, cv2.CV_32F)[1:-1, 1:-1]
    return float(np.abs(inner).mean()) if inner.size else 0.0


def choose(shot: ShotRange, *, count: int, measures: FrameMeasures, signatures: SignatureFile) -> list[Choice]:
    """The frames of `shot` to color, in order: one of each of `count` parts of equal length, or every frame where
    there are no more.
    """
    count = min(count, len(shot))
    ends = [shot.first + len(shot) * part // count for part in range(count + 1)]
    parts = [ShotRange(first, end - 1) for first, end in pairwise(ends)]
    return [_choose_one(part, measures, signatures) for part in parts]


def _choose_one(part: ShotRange, measures: FrameMeasures, signatures: SignatureFile) -> Choice:
    """Fades and frames blended over a cut lose: they have less detail, or look unlike the rest."""
    sharpness = np.asarray(measures.sharpness[part.first : part.last + 1], np.float32)
    brightness = np.asarray(measures.brightness[part.first : part.last + 1], np.float32)
    scores = _up_to_good(sharpness) + _up_to_good(_typicality(part, signatures))
    scores -= _EXPOSURE_WEIGHT * np.abs(brightness - np.median(brightness))
    scores -= _FAR_WEIGHT * _remoteness(len(part))
    best = part.first + int(scores.argmax())
    return Choice(part=part, frame=best, blank=not signatures.read(best, best).any())


def _remoteness(count: int) -> NDArray[np.float32]:
    """[count] in 0..1: how far each of so many frames is from the others, on the mean."""
    distance = np.arange(count, dtype=np.float64)
    # From a frame to those before it, or after it, up to a distance.
    within = np.cumsum(distance / (distance + _HALF_FAR))
    return np.asarray((within + within[::-1]) / count, np.float32)


def _up_to_good(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """`values` [N] as shares of what is good in this shot, at most 1."""
    good = _GOOD_ENOUGH * float(np.percentile(values, _BEST_PERCENTILE))
    shares = np.minimum(1.0, values / good) if good > 0 else np.zeros_like(values)
    return np.asarray(shares, np.float32)


def _typicality(shot: ShotRange, signatures: SignatureFile) -> NDArray[np.float32]:
    """Correlation [N] of every frame of the shot with its median look."""
    places = np.unique(np.linspace(shot.first, shot.last, min(_SAMPLES, len(shot))).round().astype(int))
    sample = np.concatenate([signatures.read(int(place), int(place)) for place in places])
    usual = np.median(sample, axis=0).astype(np.int8)
    firsts = range(shot.first, shot.last + 1, _CHUNK)
    return np.concatenate(
        [similarities(signatures.read(first, min(first + _CHUNK - 1, shot.last)), usual) for first in firsts]
    )
