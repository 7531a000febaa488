"""Labelled samples from a reference alone: the reference moved at random, so that its true color is known."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.held_out import split_picture
from models.motion import Flow, Luma8, Plane, pixel_grid, warp

TURN = 0.03
"""Spread of the entries by which the whole picture is scaled, sheared and turned."""
SHIFT = 0.035
"""Spread of the shift of the whole picture, as a share of its short side."""
SWAY = 0.02
"""Spread of the motion that varies over the picture, as a share of its short side."""
NEWCOMER = (0.1, 0.25)
"""Half axes of what newly appears, as a share of the short side."""
NOISE = 1.5
"""Spread of the noise on moved luma, in codes of 255: no two frames of a film are alike."""


@dataclass(frozen=True, slots=True)
class MovedReference:
    luma: Luma8
    """[2 h, 2 w]."""
    chroma: Plane
    """[h, w, 2]."""
    held_out: NDArray[np.bool_]
    """[h, w]: where the color comes from a part that is held out, see `held_out.split_picture`."""


def move_reference(luma: Luma8, chroma: Plane, *, variation: int) -> MovedReference:
    """Move `luma` [2 h, 2 w] and `chroma` [h, w, 2] by a random smooth motion, the same for the same `variation`.

    A part of the mirrored picture lies over the rest, as something that newly appears.

    Raises:
        ValueError: h or w is less than 21, see `held_out.split_picture`.
    """
    random = np.random.default_rng(variation)
    height, width = chroma.shape[:2]
    motion = smooth_motion(height, width, random=random)
    newcomer = _newcomer(height, width, random=random)
    shape = (luma.shape[1], luma.shape[0])
    covered = cv2.resize(newcomer, shape, interpolation=cv2.INTER_LINEAR)
    held_out = split_picture(height, width, device=torch.device("cpu")).held_out.numpy()
    planes = np.concatenate([chroma, held_out[..., None]], axis=2, dtype=np.float32)
    moved_luma, moved = warp(luma.astype(np.float32), _enlarged(motion)), warp(planes, motion)
    moved_luma += covered * (luma[:, ::-1] - moved_luma)
    moved += newcomer[..., None] * (planes[:, ::-1] - moved)
    # Half a code of 255: less of a color than that does not tell it.
    return MovedReference(_noisy(moved_luma, random=random), moved[..., :2], moved[..., 2] > 1 / 512)


def _enlarged(motion: Flow) -> Flow:
    """The same motion for planes of twice the size."""
    size = (2 * motion.shape[1], 2 * motion.shape[0])
    return np.asarray(cv2.resize(motion, size, interpolation=cv2.INTER_LINEAR) * 2, np.float32)


def smooth_motion(height: int, width: int, *, random: np.random.Generator) -> Flow:
    """[h, w, 2] in pixels: an affine motion about the middle, plus a slow sway over the picture."""
    side = min(height, width)
    centered = pixel_grid(height, width) - np.array([width / 2, height / 2], np.float32)
    turn = random.normal(0.0, TURN, (2, 2)).astype(np.float32)
    shift = random.normal(0.0, SHIFT * side, 2).astype(np.float32)
    knots = random.normal(0.0, SWAY * side, (5, 7, 2)).astype(np.float32)
    sway = cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(centered @ turn.T + shift + sway, np.float32)


def _newcomer(height: int, width: int, *, random: np.random.Generator) -> Plane:
    """[h, w] in 0..1: an ellipse somewhere in the picture, with an edge some pixels wide."""
    side = min(height, width)
    middle = random.uniform((0.0, 0.0), (width, height)).astype(np.float32)
    axes = (random.uniform(*NEWCOMER, 2) * side).astype(np.float32)
    distance = np.linalg.norm((pixel_grid(height, width) - middle) / axes, axis=-1)
    return np.asarray(np.clip((1.0 - distance) * axes.min() / 2.0, 0.0, 1.0), np.float32)


def _noisy(luma: Plane, *, random: np.random.Generator) -> Luma8:
    return np.asarray(np.clip(np.rint(luma + random.normal(0.0, NOISE, luma.shape)), 0, 255), np.uint8)
