"""Judges a colorizer as it will be used: a run through the film, and back to where the colors are known."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from models.base import Colorizer, Matrix, Prediction, Reference
from models.color import chroma_to_lab, rgb_to_ycbcr, ycbcr_to_rgb
from models.objectives import ab_psnr_db

DISTANCES = (1, 3, 8, 14, 20, 27, 35)
"""Frames from the reference, of those that a rehearsal colors: far enough for errors to add up as in a film, in few
enough steps. Over 1, 2, 4, 8 and 16, weights passed that lost 0.3 dB on a film held out."""
LEAST_NEARBY = DISTANCES[1]
"""Frames nearby that it takes to have two that lie apart."""


def spread(nearby: Sequence[Tensor]) -> Sequence[Tensor]:
    """A few of the frames near a reference, ever farther apart."""
    return [nearby[distance - 1] for distance in _reached(len(nearby))]


def frames_rehearsed(nearby: int) -> int:
    """How many frames `rehearse` colors of a reference with so many frames near it, the reference itself twice."""
    return 2 * (1 + len(_reached(nearby)))


def _reached(nearby: int) -> Sequence[int]:
    return [distance for distance in DISTANCES if distance <= nearby]


@torch.no_grad()
def rehearse(
    colorizer: Colorizer, reference: Reference, *, matrix: Matrix, on_frame: Callable[[], None] = lambda: None
) -> float:
    """PSNR in dB of ab on the reference, colored by way of a few of the frames `nearby` it.

    They are colored from the reference, one after the other. The last of them, as it was colored, is the reference from
    which the way back is colored, which ends on the reference itself. So errors add up as they do in a film, and what
    tuning only learned of the reference by heart is of no use in between. `on_frame` is called ahead of every frame.
    """
    run = partial(colored, colorizer, matrix=matrix, on_frame=on_frame)
    lumas = [reference.luma, *spread(reference.nearby)]
    there = run(lumas, reference)[-1].chroma
    enlarged = F.interpolate(there[None], size=reference.luma.shape, mode="nearest")[0].to(reference.luma)
    rgb = ycbcr_to_rgb(torch.cat([lumas[-1][None], enlarged]), matrix=matrix).clamp(0, 1)
    back = run(lumas[::-1], Reference(rgb=rgb, luma=lumas[-1], is_frame=True))[-1].chroma
    size = (back.shape[-2], back.shape[-1])
    luma = F.adaptive_avg_pool2d(reference.luma[None].to(back), size)[0]
    truth = F.adaptive_avg_pool2d(rgb_to_ycbcr(reference.rgb.to(back), matrix=matrix)[None, 1:], size)[0]
    predicted, known = (chroma_to_lab(luma, chroma, matrix=matrix) for chroma in (back, truth))
    # The whole of it: of a quarter, chance would decide.
    return ab_psnr_db(predicted, known, mask=torch.ones(size, dtype=torch.bool, device=back.device))


def colored(
    colorizer: Colorizer,
    lumas: Sequence[Tensor],
    reference: Reference,
    *,
    matrix: Matrix,
    on_frame: Callable[[], None],
) -> Sequence[Prediction]:
    """All of `lumas`, the first of which is the reference's own, as they are colored one after the other.

    `on_frame` is called ahead of every frame.
    """

    def fed() -> Iterator[Tensor]:
        for luma in lumas:
            on_frame()
            yield luma

    return list(colorizer.colorize(fed(), [reference], matrix=matrix))
