"""Trains what pictures are matched by: that a later frame's colors are found in an earlier one."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.features import FeatureTrunk
from models.retint.matching import Description
from models.training.footage import Footages
from models.training.material import Material, changed, material_of
from models.training.objective import as_rgb, huber

LONGEST_GAP = 47
"""Frames between the two of a pair."""
SAME_COLOR = 0.03
"""Difference of chroma at which two cells still count as of one color."""
COLOR_WEIGHT, MASS_WEIGHT = 10.0, 0.05


def pair_loss(description: Description, pair: Material, *, device: torch.device) -> Tensor:
    """The error of the color that matching finds for the second frame of a pair in the first, and the share that went
    to cells of another color."""
    known, asked = 0, 1
    described = [description(pair.features_of(index, device), pair.luma_of(index, device)) for index in (asked, known)]
    grid = (described[0].shape[-2], described[0].shape[-1])
    truth, colors = (
        F.adaptive_avg_pool2d(pair.chroma_of(index, device), grid).flatten(2).transpose(1, 2)
        for index in (asked, known)
    )
    queries = description.placed(described[0]).flatten(2).transpose(1, 2)
    shares = torch.bmm(queries, description.as_keys(described[1])).softmax(-1)
    error = huber(as_rgb((torch.bmm(shares, colors) - truth).transpose(1, 2)[..., None]))
    alike = torch.exp(-torch.cdist(truth, colors).square() / (2 * SAME_COLOR**2))
    mass = -((shares * alike).sum(-1) + 1e-3).log().mean()
    return COLOR_WEIGHT * error + MASS_WEIGHT * mass


def draw_pair(count: int, *, random: np.random.Generator) -> tuple[int, int]:
    """Two different frames of `count`, near ones more often."""
    gap = min(count - 1, round(math.exp(random.uniform(0, math.log(LONGEST_GAP)))))
    first = int(random.integers(count - gap))
    return (first, first + gap) if random.random() < 0.5 else (first + gap, first)


def train_step(
    description: Description, footages: Footages, *, trunk: FeatureTrunk, pairs: int, random: np.random.Generator
) -> Tensor:
    """The mean loss of so many pairs, each drawn from a clip and changed as runs are; its gradients are added to the
    weights."""
    device = description.log_reach.device
    losses = []
    for _ in range(pairs):
        footage = footages.draw(random)
        pair = changed(footage.taken(draw_pair(len(footage.luma), random=random)), random=random)
        loss = pair_loss(description, material_of(pair, trunk=trunk), device=device) / pairs
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
    return torch.stack(losses).sum()
