"""What the network is trained to: the colors of the frames of a run, each from what those before became."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from models.features import FeatureTrunk
from models.retint.colorizer import REMEMBERED, REMEMBERED_EVERY
from models.retint.network import Offers, RetintNetwork, absent, matched_planes, warp_planes
from models.training.runs import Chunk

CONFIDENCE_SCALE = 0.05
"""Chroma error at which a color counts as 1/e right."""
MATCHED_WEIGHT, REMEMBERED_WEIGHT, CONFIDENCE_WEIGHT = 0.2, 0.1, 0.02
SMALL_ERROR = 0.02
"""Of R'G'B', below which errors are squared and above which they are not (Huber)."""


@dataclass(frozen=True, slots=True)
class Known:
    """Pictures of a batch that matching looks up, without what the weights make of them."""

    features: tuple[Tensor, ...]
    """Of the trunk, at three strides."""
    values: Tensor
    """[B, 4, N]: chroma, luma, trust."""


@dataclass(frozen=True, slots=True)
class RunState:
    """What passes from chunk to chunk; no gradient does."""

    age: Tensor
    """[B] frames colored since the run began."""
    color: Tensor
    """[B, 3, h, w]: chroma and trust of the last frame."""
    reference: Known
    memory: tuple[Known, ...]
    """Frames as they were colored, the latest last; the reference as long as there are none."""


@dataclass(frozen=True, slots=True)
class Outcome:
    loss: Tensor
    squares: Tensor
    """[5] mean squared error of R'G'B': fused, previous, direct, matched, remembered."""
    state: RunState


def roll_out(
    network: RetintNetwork, trunk: FeatureTrunk, batch: Chunk, *, state: RunState | None, feature_side: int
) -> Outcome:
    """Color the frames of a batch of chunks (every field with a leading dimension B), going on from `state`."""
    state = _begun(trunk, batch, state=state, side=feature_side)
    loss = torch.zeros((), device=batch.luma.device)
    squares = []
    for step, luma in enumerate(batch.luma.unbind(1)):
        truth, direct = batch.chroma[:, step], batch.direct[:, step]
        moved = warp_planes(state.color, batch.flow[:, step])
        previous = torch.cat([moved[:, :2], batch.evidence[:, step], moved[:, 2:]], 1)
        nothing_before = (state.age[:, None, None, None] == 0) & (batch.reference_in_shot == 0)
        previous = torch.where(nothing_before, absent(previous), previous)
        features = _features(trunk, luma, side=feature_side)
        queries = network.description.placed(network.description(list(features)))
        matched, remembered = (
            matched_planes(_found(network, queries, known), luma) for known in ((state.reference,), state.memory)
        )
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
        state = _after(state, features, luma, color=torch.cat([fused.chroma, fused.confidence.detach()], 1))
    return Outcome(
        loss=loss / batch.luma.shape[1],
        squares=torch.stack(squares).mean(0),
        state=replace(state, color=state.color.detach()),
    )


@torch.no_grad()
def _begun(trunk: FeatureTrunk, batch: Chunk, *, state: RunState | None, side: int) -> RunState:
    """The state with those runs of the batch at their beginning that begin."""
    if state is not None and not batch.begins.any():
        return state
    color = torch.cat([batch.reference_chroma, torch.ones_like(batch.reference_chroma[:, :1])], 1)
    reference = _known(_features(trunk, batch.reference_luma, side=side), batch.reference_luma, color)
    age = torch.zeros(len(color), device=color.device)
    fresh = RunState(age=age, color=color, reference=reference, memory=(reference,) * REMEMBERED)
    if state is None:
        return fresh
    begins = batch.begins[:, 0, 0, 0] > 0
    return RunState(
        age=torch.where(begins, fresh.age, state.age),
        color=torch.where(begins[:, None, None, None], color, state.color),
        reference=_chosen(begins, reference, state.reference),
        memory=tuple(_chosen(begins, reference, known) for known in state.memory),
    )


def _after(state: RunState, features: tuple[Tensor, ...], luma: Tensor, *, color: Tensor) -> RunState:
    """The state after a frame: every few frames it is remembered."""
    age = state.age + 1
    due = age % REMEMBERED_EVERY == 0
    memory = state.memory
    if due.any():
        with torch.no_grad():
            latest = _known(features, luma, color)
            later = (*memory[1:], latest)
            memory = tuple(_chosen(due, new, old) for new, old in zip(later, memory, strict=True))
    return replace(state, age=age, color=color, memory=memory)


def _chosen(which: Tensor, one: Known, other: Known) -> Known:
    """`one` for the runs where `which` [B] says so."""
    return Known(
        features=tuple(
            torch.where(which[:, None, None, None], new, old)
            for new, old in zip(one.features, other.features, strict=True)
        ),
        values=torch.where(which[:, None, None], one.values, other.values),
    )


def _known(features: tuple[Tensor, ...], luma: Tensor, color: Tensor) -> Known:
    """From luma [B, 1, 2 h, 2 w] and chroma and trust [B, 3, h, w]; the grid is that of stride 8."""
    planes = torch.cat([color[:, :2], F.avg_pool2d(luma, 2), color[:, 2:]], 1)
    grid = (features[1].shape[-2], features[1].shape[-1])
    return Known(features=features, values=F.adaptive_avg_pool2d(planes, grid).flatten(2))


def _found(network: RetintNetwork, queries: Tensor, known: tuple[Known, ...]) -> Tensor:
    keys = [network.description.as_keys(network.description(list(one.features))) for one in known]
    return network.description.look_up(queries, torch.cat(keys, -1), torch.cat([one.values for one in known], -1))


@torch.no_grad()
def _features(trunk: FeatureTrunk, luma: Tensor, *, side: int) -> tuple[Tensor, ...]:
    small = F.interpolate(luma, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
    return tuple(trunk(small.contiguous(memory_format=torch.channels_last)))


def as_rgb(difference: Tensor) -> Tensor:
    """[B, 3, h, w]: the change of R'G'B' that a change of chroma [B, 2, h, w] makes at the same luma (BT.601)."""
    blue, red = difference[:, :1], difference[:, 1:]
    return torch.cat([1.402 * red, -0.344136 * blue - 0.714136 * red, 1.772 * blue], 1)


def _huber(predicted: Tensor, truth: Tensor) -> Tensor:
    error = as_rgb(predicted - truth)
    return F.smooth_l1_loss(error, torch.zeros_like(error), beta=SMALL_ERROR)
