"""What the network is trained to."""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.retint.fusion import Fused

TRUST_SCALE = 0.05
"""Chroma error at which a color counts as 1/e right."""
HUBER_WEIGHT, TRUST_WEIGHT = 10.0, 0.1
SMALL_ERROR = 0.02
"""Of R'G'B', below which errors are squared and above which they are not (Huber)."""
SMALLEST_SQUARE = 3e-5
"""Of R'G'B', 45 dB: frames that are better are good enough."""


def frame_loss(fused: Fused, truth: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of one frame, and its mean squared error of R'G'B'; `truth` [1, 2, h, w].

    Mostly half the logarithm of the squared error, as clips are compared by decibels: a hard clip weighs like an easy
    one.
    """
    error = as_rgb(fused.chroma - truth)
    square = error.square().mean()
    distance = (fused.chroma.detach() - truth).square().sum(1, keepdim=True).sqrt()
    right = F.binary_cross_entropy(fused.trust, torch.exp(-distance / TRUST_SCALE))
    loss = 0.5 * (square + SMALLEST_SQUARE).log() + HUBER_WEIGHT * huber(error) + TRUST_WEIGHT * right
    return loss, square.detach()


def as_rgb(difference: Tensor) -> Tensor:
    """[B, 3, h, w]: the change of R'G'B' that a change of chroma [B, 2, h, w] makes at the same luma (BT.601)."""
    blue, red = difference[:, :1], difference[:, 1:]
    return torch.cat([1.402 * red, -0.344136 * blue - 0.714136 * red, 1.772 * blue], 1)


def huber(error: Tensor) -> Tensor:
    return F.smooth_l1_loss(error, torch.zeros_like(error), beta=SMALL_ERROR)
