"""What is seen of a film while it is made: small pictures of some frames, and what tuning has learned so far."""

from collections.abc import Sequence

import numpy as np

from worker.coloring import FinishedFrame
from worker.media.frames import VideoInfo
from worker.media.stills import still_of, to_rgb
from worker.plan import ShotPlan

EVENLY = 48
"""Pictures over the film, at equal distances: as many as a screen shows at once."""
MOST_SHOTS = 152
"""Shots that have a picture of their own besides; 200 pictures make 4 MB."""


def frames_to_picture(plans: Sequence[ShotPlan], *, frames: int) -> frozenset[int]:
    """Frames at equal distances over the film, and the middle of every shot, of so many at most."""
    evenly = {round(place) for place in np.linspace(0, frames - 1, min(EVENLY, frames))}
    numbers = sorted({round(place) for place in np.linspace(0, len(plans) - 1, min(MOST_SHOTS, len(plans)))})
    shots = [plans[number].shot for number in numbers]
    return frozenset(evenly | {(shot.first + shot.last) // 2 for shot in shots})


def picture_of(finished: FinishedFrame, *, info: VideoInfo) -> bytes:
    """A frame as it will be shown, a small JPEG."""
    return still_of(to_rgb(finished.result.luma, finished.chroma, info=info), info=info)
