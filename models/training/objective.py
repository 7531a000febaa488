"""What the network is trained to: the colors of a few frames in a row, each from what the one before became."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.features import FeatureTrunk
from models.retint.network import Offers, RetintNetwork, absent, matched_planes, warp_planes
from models.training.samples import Sample

CONFIDENCE_SCALE = 0.05
"""Chroma error at which a color counts as 1/e right."""
MATCHED_WEIGHT, REMEMBERED_WEIGHT, CONFIDENCE_WEIGHT = 0.2, 0.1, 0.02
SMALL_ERROR = 0.02
"""Of R'G'B', below which errors are squared and above which they are not (Huber)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    loss: Tensor
    squares: Tensor
    """[5] mean squared error of R'G'B': fused, previous, direct, matched, remembered."""


def roll_out(network: RetintNetwork, trunk: FeatureTrunk, batch: Sample, *, feature_side: int) -> Outcome:
    """Color the frames of a batch (every field with a leading dimension B)."""
    described = [
        _described(network, trunk, luma, side=feature_side)
        for luma in (batch.reference_luma, batch.memory_luma, *batch.luma.unbind(1))
    ]
    sure = torch.ones_like(batch.reference_chroma[:, :1])
    sources = [
        _source(network, described[0], batch.reference_luma, torch.cat([batch.reference_chroma, sure], 1)),
        _source(network, described[1], batch.memory_luma, batch.memory_chroma),
    ]
    loss = torch.zeros((), device=batch.luma.device)
    squares = []
    state = batch.start
    for step, luma in enumerate(batch.luma.unbind(1)):
        truth = batch.chroma[:, step]
        moved = warp_planes(state, batch.flow[:, step])
        previous = torch.cat([moved[:, :2], batch.evidence[:, step], moved[:, 2:]], 1)
        if step == 0:
            previous = torch.where(batch.has_previous > 0, previous, absent(previous))
        queries = network.description.placed(described[2 + step])
        matched, remembered = (
            matched_planes(network.description.look_up(queries, keys, values), luma) for keys, values in sources
        )
        direct = batch.direct[:, step]
        fused = network.fusion(
            Offers(luma=luma, previous=previous, direct=direct, matched=matched, remembered=remembered)
        )
        coarse_truth = F.adaptive_avg_pool2d(truth, (matched.shape[-2], matched.shape[-1]))
        error = (fused.chroma.detach() - truth).square().sum(1, keepdim=True).sqrt()
        right = F.binary_cross_entropy(fused.confidence, torch.exp(-error / CONFIDENCE_SCALE))
        loss = (
            loss
            + _huber(fused.chroma, truth)
            + MATCHED_WEIGHT * _huber(matched[:, :2], coarse_truth)
            + REMEMBERED_WEIGHT * _huber(remembered[:, :2], coarse_truth)
            + CONFIDENCE_WEIGHT * right
        )
        with torch.no_grad():
            size = truth.shape[-2:]
            offered = [fused.chroma, previous[:, :2], direct[:, :2]]
            offered += [F.interpolate(planes[:, :2], size=size, mode="bilinear") for planes in (matched, remembered)]
            squares.append(torch.stack([as_rgb(chroma - truth).square().mean() for chroma in offered]))
        state = torch.cat([fused.chroma, fused.confidence.detach()], 1)
    return Outcome(loss=loss / batch.luma.shape[1], squares=torch.stack(squares).mean(0))


def as_rgb(difference: Tensor) -> Tensor:
    """[B, 3, h, w]: the change of R'G'B' that a change of chroma [B, 2, h, w] makes at the same luma (BT.601)."""
    blue, red = difference[:, :1], difference[:, 1:]
    return torch.cat([1.402 * red, -0.344136 * blue - 0.714136 * red, 1.772 * blue], 1)


def _huber(predicted: Tensor, truth: Tensor) -> Tensor:
    error = as_rgb(predicted - truth)
    return F.smooth_l1_loss(error, torch.zeros_like(error), beta=SMALL_ERROR)


def _described(network: RetintNetwork, trunk: FeatureTrunk, luma: Tensor, *, side: int) -> Tensor:
    with torch.no_grad():
        small = F.interpolate(luma, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
        features = trunk(small.contiguous(memory_format=torch.channels_last))
    described: Tensor = network.description(features)
    return described


def _source(network: RetintNetwork, described: Tensor, luma: Tensor, chroma: Tensor) -> tuple[Tensor, Tensor]:
    """Keys, and the values [B, 4, N] found by them: chroma, luma, trust."""
    grid = (described.shape[-2], described.shape[-1])
    planes = torch.cat([chroma[:, :2], F.avg_pool2d(luma, 2), chroma[:, 2:]], 1)
    return network.description.as_keys(described), F.adaptive_avg_pool2d(planes, grid).flatten(2)
