"""How much a reference and a frame of the video look alike, by luma alone."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.base import Matrix
from models.color import rgb_to_ycbcr
from worker.media.frames import Rgb

FRAME_SCORE = 0.6
"""Likeness from which a reference is the frame. Measured on ten clips of DAVIS: a frame compressed and with another
gamma has 0.98 with itself, one cut off at the edges by 2% 0.77 to 0.93, its neighbor 0.47 to 0.99."""
SCENE_SCORE = 0.4
"""Likeness from which a reference shows the frame's scene, so that it serves as an example. On the same clips, frames
of different ones stay below 0.34, 99 of 100 below 0.25."""
FINE_WIDTH = 160
"""Width at which frames are compared."""
_BACKGROUND = 10.0
"""Standard deviation, in pixels at that width, of the brightness taken off before details are compared."""

Fine = NDArray[np.float32]
"""Luma [H, W] float32, in 0..1."""


def luma_of(picture: Rgb, *, matrix: Matrix) -> NDArray[np.float32]:
    """Luma [H, W] float32, in 0..1, of a picture under the video's matrix."""
    rgb = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1).to(torch.float32) / 255
    luma: NDArray[np.float32] = luma_tensor(rgb, matrix=matrix).numpy()
    return luma


def luma_tensor(rgb: Tensor, *, matrix: Matrix) -> Tensor:
    """Luma [H, W] of R'G'B' [3, H, W], both float32 in 0..1."""
    return rgb_to_ycbcr(rgb, matrix=matrix)[0]


def likeness(one: Fine, other: Fine) -> float:
    """How much two lumas [H, W] of one size are of one frame, -1..1.

    The mean of two correlations: of the pictures, and of their details, with the brightness of the surroundings taken
    off. Any two outdoor scenes, light above and dark below, correlate in the first; in the second, only the same one.
    """
    return (_correlation(one, other) + _correlation(_details(one), _details(other))) / 2


def _details(luma: Fine) -> Fine:
    # A slight blur first: a reference scaled up and down, or compressed, has lost the finest grain.
    soft = cv2.GaussianBlur(luma, (0, 0), 1.0)
    details: Fine = (soft - cv2.GaussianBlur(luma, (0, 0), _BACKGROUND)).astype(np.float32)
    return details


def _correlation(one: Fine, other: Fine) -> float:
    a, b = one - one.mean(), other - other.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 1e-6 else 0.0
