"""Judges a colorizer as it will be used: a run through the film, and back to where the colors are known."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from models.base import Colorizer, Matrix, Reference
from models.color import chroma_to_lab, rgb_to_ycbcr, ycbcr_to_rgb
from models.objectives import ab_psnr_db


@torch.no_grad()
def rehearse(colorizer: Colorizer, reference: Reference, *, matrix: Matrix) -> float:
    """PSNR in dB of ab on the reference, colored by way of the frames `nearby` it.

    They are colored from the reference, one after the other. The last of them, as it was colored, is the reference from
    which the way back is colored, which ends on the reference itself. So errors add up as they do in a film, and what
    tuning only learned of the reference by heart is of no use in between.
    """
    lumas = [reference.luma, *reference.nearby]
    there = _last(colorizer, lumas, reference, matrix=matrix)
    enlarged = F.interpolate(there[None], size=reference.luma.shape, mode="nearest")[0].to(reference.luma)
    rgb = ycbcr_to_rgb(torch.cat([lumas[-1][None], enlarged]), matrix=matrix).clamp(0, 1)
    back = _last(colorizer, lumas[::-1], Reference(rgb=rgb, luma=lumas[-1], is_frame=True), matrix=matrix)
    size = (back.shape[-2], back.shape[-1])
    luma = F.adaptive_avg_pool2d(reference.luma[None].to(back), size)[0]
    truth = F.adaptive_avg_pool2d(rgb_to_ycbcr(reference.rgb.to(back), matrix=matrix)[None, 1:], size)[0]
    predicted, known = (chroma_to_lab(luma, chroma, matrix=matrix) for chroma in (back, truth))
    # The whole of it: of a quarter, chance would decide.
    return ab_psnr_db(predicted, known, mask=torch.ones(size, dtype=torch.bool, device=back.device))


def _last(colorizer: Colorizer, lumas: Sequence[Tensor], reference: Reference, *, matrix: Matrix) -> Tensor:
    """[2, h, w]: chroma of the last frame."""
    *_, last = colorizer.colorize(iter(lumas), [reference], matrix=matrix)
    return last.chroma
