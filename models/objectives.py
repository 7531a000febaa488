"""The objectives of test-time tuning, and the PSNR that judges it."""

import math
from typing import Literal

import torch
from torch import Tensor

from models.color import lab_to_rgb

Objective = Literal["lab", "rgb", "l", "ab"]
"""`lab` is the paper's L_l + L_ab (METHOD, section 2); the others are the ablations of its Table 4."""

AB_PEAK = 255.0
"""Peak of the PSNR of ab: the span of a and b as they are stored in 8 bits."""
HIGHEST_PSNR_DB = 100.0
"""What a perfect match is given, so that gains stay finite."""


def objective_error(predicted: Tensor, truth: Tensor, *, objective: Objective, mask: Tensor) -> Tensor:
    """The objective over the pixels of `mask` [h, w]: a scalar, differentiable in `predicted`.

    `predicted` and `truth` are Lab [3, h, w], L in 0..100. Errors are squared, summed over the channels and averaged
    over the pixels, in units of Lab as they are (so L and ab weigh as a viewer sees them), or of R'G'B' in 0..1 for
    `rgb`. Adam does not feel the scale of a whole objective, only the balance between its parts.
    """
    if objective == "rgb":
        squares = (lab_to_rgb(predicted) - lab_to_rgb(truth)) ** 2
    else:
        channels = {"lab": slice(0, 3), "l": slice(0, 1), "ab": slice(1, 3)}[objective]
        squares = (predicted[channels] - truth[channels]) ** 2
    return squares.sum(dim=0)[mask].mean()


def ab_psnr_db(predicted: Tensor, truth: Tensor, *, mask: Tensor) -> float:
    """PSNR in dB of a and b over the pixels of `mask` [h, w]; Lab [3, h, w]."""
    return _psnr_db(predicted[1:], truth[1:], mask=mask, peak=AB_PEAK)


def lightness_psnr_db(predicted: Tensor, truth: Tensor, *, mask: Tensor) -> float:
    """PSNR in dB of L over the pixels of `mask` [h, w]; Lab [3, h, w]."""
    return _psnr_db(predicted[:1], truth[:1], mask=mask, peak=100.0)


def _psnr_db(predicted: Tensor, truth: Tensor, *, mask: Tensor, peak: float) -> float:
    error = torch.mean((predicted - truth)[:, mask].double() ** 2).item()
    if not math.isfinite(error):
        return -math.inf
    return min(HIGHEST_PSNR_DB, 10.0 * math.log10(peak**2 / max(error, 1e-12)))
