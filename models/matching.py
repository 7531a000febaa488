"""Finds the reference's colors again by similarity of features, wherever they have moved to."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.features import CHANNELS

QUERY_CHUNK = 1024
"""Positions matched at once: bounds memory to this many rows of the similarity matrix."""
PROJECTION_SCALE = 0.1
"""Of what is added to the identity: a projection has thousands of weights, whose changes add up."""


@dataclass(frozen=True, slots=True)
class Keys:
    """A picture as matching looks it up: where its features are found, and the values found there."""

    features: Tensor
    """[N, D]: the scalar product with a query is the similarity before the softmax."""
    values: Tensor
    """[N, V]."""


@dataclass(frozen=True, slots=True)
class Match:
    values: Tensor
    """[V, h, w] at the grid of stride 8."""
    similarity: Tensor
    """[h, w] in -1..1: how alike the frame is to the nearest that was found, averaged over scales."""


class Matching(nn.Module):
    """Projection and sharpness per scale; as built, plain cosine similarity. Test-time tuning trains them."""

    SHARPNESS = (5.0, 8.0, 24.0)
    """Factors of the cosine similarities at strides 4, 8 and 16, chosen on training clips."""
    REACH = 0.5
    """Spread, as a share of the height, of a weak preference for the same place in the picture (+0.1 dB there)."""

    def __init__(self) -> None:
        super().__init__()
        # What a projection adds to the identity, and the logarithm of a sharpness, so that one learning rate fits all.
        self.projections = nn.ParameterList([nn.Parameter(torch.zeros(channels, channels)) for channels in CHANNELS])
        self.log_sharpness = nn.Parameter(torch.tensor(self.SHARPNESS).log())

    @property
    def sharpness(self) -> Tensor:
        """[3] factors of the cosine similarities."""
        return self.log_sharpness.exp()

    def describe(self, features: Sequence[Tensor]) -> Tensor:
        """[h, w, D] on the grid of stride 8, from features [1, C, ., .] of strides 4, 8 and 16.

        Each scale is centered over the picture and has unit length at each position, times the root of its sharpness.
        """
        grid = features[1].shape[-2:]
        parts = []
        for plane, projection, sharpness in zip(features, self.projections, self.sharpness, strict=True):
            if plane.shape[-2] > grid[0]:
                plane = F.adaptive_avg_pool2d(plane, (grid[0], grid[1]))
            elif plane.shape[-2] < grid[0]:
                plane = F.interpolate(plane, size=grid, mode="bilinear", align_corners=False)
            centered = plane - plane.mean((-2, -1), keepdim=True)
            projected = centered[0] + PROJECTION_SCALE * torch.einsum("dc,chw->dhw", projection, centered[0])
            projected = projected.permute(1, 2, 0)
            parts.append(F.normalize(projected, dim=-1) * sharpness.sqrt())
        return torch.cat(parts, dim=-1)

    def keys(self, description: Tensor, *, planes: Tensor) -> Keys:
        """Make a described picture [h, w, D] findable, with the means of `planes` [V, H, W] over its grid's cells."""
        height, width, _ = description.shape
        place, nearness = self._place(height, width, like=description)
        # -|p - q|^2 / 2 = p.q - |p|^2 / 2 - |q|^2 / 2, and what depends on the query alone does not change a softmax.
        features = torch.cat([description, place, nearness], dim=-1).flatten(0, 1)
        return Keys(features=features, values=F.adaptive_avg_pool2d(planes[None], (height, width))[0].flatten(1).T)

    def forward(self, description: Tensor, keys: Sequence[Keys]) -> Match:
        """Look up a described picture [h, w, D] in all `keys` at once."""
        height, width, _ = description.shape
        place, nearness = self._place(height, width, like=description)
        queries = torch.cat([description, place, torch.ones_like(nearness)], dim=-1).flatten(0, 1)
        farness = nearness.flatten()
        features = torch.cat([key.features for key in keys])
        values = torch.cat([key.values for key in keys])
        total = self.sharpness.sum()
        found, alike = [], []
        for start in range(0, len(queries), QUERY_CHUNK):
            chunk = slice(start, start + QUERY_CHUNK)
            similarity = queries[chunk] @ features.T
            found.append(similarity.softmax(-1) @ values)
            alike.append((similarity.amax(-1) + farness[chunk]) / total)
        return Match(
            values=torch.cat(found).T.reshape(-1, height, width),
            similarity=torch.cat(alike).reshape(height, width),
        )

    def _place(self, height: int, width: int, *, like: Tensor) -> tuple[Tensor, Tensor]:
        """Positions [h, w, 2] in units of the reach, from the middle, and minus half their squared length [h, w, 1]."""
        rows = (torch.arange(height, device=like.device, dtype=like.dtype) + 0.5) / height - 0.5
        columns = ((torch.arange(width, device=like.device, dtype=like.dtype) + 0.5) / width - 0.5) * (width / height)
        place = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1) / self.REACH
        return place, -0.5 * place.square().sum(-1, keepdim=True)
