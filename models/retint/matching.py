"""Matching: pictures described so that cells of one color lie close together, and looked up by that."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.features import CHANNELS

CELLS = 40.0
"""Grid cells that make one unit of place: the cells of stride 8 in a picture of 320 lines."""
CPU_QUERIES, GPU_QUERIES = 128, 1024
"""Cells matched at once, which bounds memory. What stays in a CPU's cache takes half the time there."""


@dataclass(frozen=True, slots=True)
class Found:
    """What matching found for every cell."""

    values: Tensor
    """[B, V, h, w]: the mean of the values, by similarity."""
    similarity: Tensor
    """[B, 1, h, w], the highest: -1..1."""
    share: Tensor
    """[B, 1, h, w]: how much of the mean is the nearest key's."""
    nearest: Tensor
    """[B, h, w] int64: the nearest key."""


class Description(nn.Module):
    """Describes every cell of a picture by a vector, so that cells of one color come to lie close together.

    As built it is plain cosine similarity of the features at three scales, which training refines by projections and
    by an embedding that sees a cell's surroundings.
    """

    EMBEDDED = 48
    WIDTH = 96
    SIZE = sum(CHANNELS) + EMBEDDED
    SHARPNESS = (5.0, 8.0, 24.0, 4.0)
    """Factors of the cosine similarities at strides 4, 8 and 16 to start from, chosen on training clips, and of the
    embedding's."""
    REACH = 0.5
    """In units of place, to start from: how weak the preference for the same place is (+0.1 dB there)."""
    PROJECTION_SCALE = 0.1
    """Of what is added to the identity: a projection has thousands of weights, whose changes add up."""

    def __init__(self) -> None:
        super().__init__()
        # What a projection adds to the identity, and logarithms of what must stay positive, so that one rate fits all.
        self.projections = nn.ParameterList([nn.Parameter(torch.zeros(channels, channels)) for channels in CHANNELS])
        self.log_sharpness = nn.Parameter(torch.tensor(self.SHARPNESS).log())
        self.log_reach = nn.Parameter(torch.tensor(self.REACH).log())
        self.enter = nn.Conv2d(sum(CHANNELS) + 1, self.WIDTH, 1)
        self.near = nn.Conv2d(self.WIDTH, self.WIDTH, 3, padding=1, groups=self.WIDTH)
        self.mix = nn.Conv2d(self.WIDTH, self.WIDTH, 1)
        self.around = nn.Conv2d(self.WIDTH, self.WIDTH, 5, padding=2, groups=self.WIDTH)
        self.leave = nn.Conv2d(self.WIDTH, self.EMBEDDED, 1)

    def forward(self, features: Sequence[Tensor], luma: Tensor) -> Tensor:
        """[B, SIZE, h, w] on the grid of stride 8, from features of strides 4, 8 and 16 and luma [B, 1, H, W].

        Each part is centered over the picture and has unit length at each cell, times the root of its sharpness.
        """
        grid = (features[1].shape[-2], features[1].shape[-1])
        centered = [_centered(_on_grid(plane, grid)) for plane in features]
        projected = [
            plane + self.PROJECTION_SCALE * torch.einsum("dc,bchw->bdhw", projection, plane)
            for plane, projection in zip(centered, self.projections, strict=True)
        ]
        seen = [3.0 * F.normalize(plane, dim=1) for plane in centered]
        seen.append(4.0 * _centered(F.adaptive_avg_pool2d(luma, grid)))
        hidden = F.silu(self.enter(torch.cat(seen, 1)))
        hidden = hidden + F.silu(self.mix(F.silu(self.near(hidden))))
        hidden = hidden + F.silu(self.around(hidden))
        parts = [*projected, _centered(self.leave(hidden))]
        sharpnesses = self.log_sharpness.exp().sqrt()
        return torch.cat(
            [F.normalize(part, dim=1) * sharpness for part, sharpness in zip(parts, sharpnesses, strict=True)], 1
        )

    def look_up(self, queries: Tensor, keys: Tensor, values: Tensor, *, hidden: Tensor | None = None) -> Found:
        """A softmax over the similarities.

        `queries` [B, D, h, w] and `keys` [B, D, N] are descriptions with their place, see `placed` and `as_keys`;
        `values` [B, V, N]. `hidden` [h * w, N] bool are the keys that a query does not see.
        """
        batch, _, height, width = queries.shape
        rows = queries.flatten(2).transpose(1, 2)
        values = values.transpose(1, 2)
        parts, nearest = [], []
        chunk = CPU_QUERIES if queries.device.type == "cpu" else GPU_QUERIES
        with _fast_products():
            for start in range(0, rows.shape[1], chunk):
                scores = torch.bmm(rows[:, start : start + chunk], keys)
                if hidden is not None:
                    scores = scores.masked_fill(hidden[start : start + chunk], -torch.inf)
                # Both at once: `argmax` alone takes three times as long on the CPU.
                highest, best = scores.max(-1, keepdim=True)
                nearest.append(best)
                share = scores.softmax(-1)
                parts.append(torch.cat([torch.bmm(share, values), highest, share.gather(-1, best)], -1))
        planes = torch.cat(parts, 1).transpose(1, 2).reshape(batch, -1, height, width)
        return Found(
            values=planes[:, :-2],
            similarity=planes[:, -2:-1] / self.log_sharpness.exp().sum(),
            share=planes[:, -1:],
            nearest=torch.cat(nearest, 1).reshape(batch, height, width),
        )

    def placed(self, description: Tensor) -> Tensor:
        """Queries [B, SIZE + 4, h, w]: the description and the place."""
        place, nearness = self._place(description)
        # -|p - q|^2 / 2 = p.q - |p|^2 / 2 - |q|^2 / 2: a weak preference for the same place in the picture.
        return torch.cat([description, place, torch.ones_like(nearness), nearness], 1)

    def as_keys(self, description: Tensor) -> Tensor:
        """Keys [B, SIZE + 4, h * w] that `placed` queries are compared with by their scalar product."""
        place, nearness = self._place(description)
        return torch.cat([description, place, nearness, torch.ones_like(nearness)], 1).flatten(2)

    def _place(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Positions [B, 2, h, w] in units of the reach, and minus half their squared length [B, 1, h, w]."""
        batch, _, height, width = like.shape
        rows = (torch.arange(height, device=like.device, dtype=like.dtype) - (height - 1) / 2) / CELLS
        columns = (torch.arange(width, device=like.device, dtype=like.dtype) - (width - 1) / 2) / CELLS
        place = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))[None] / self.log_reach.exp()
        place = place.expand(batch, -1, -1, -1)
        return place, -0.5 * place.square().sum(1, keepdim=True)


@contextmanager
def _fast_products() -> Iterator[None]:
    """Products of float32 matrices may be taken of bfloat16 or TF32, where a device is faster so.

    Scores, up to some 40, may then differ by hundredths between machines; their sums are of float32 as before. Most
    CPUs have no such products: there another library does the same in float32, on AMD's in half the time.

    It holds for the whole process, so that what other threads multiply meanwhile may be less exact too, and where two
    of them look up at once, afterwards.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _on_grid(plane: Tensor, grid: tuple[int, int]) -> Tensor:
    if plane.shape[-2] > grid[0]:
        return F.adaptive_avg_pool2d(plane, grid)
    if plane.shape[-2] < grid[0]:
        return F.interpolate(plane, size=grid, mode="bilinear", align_corners=False)
    return plane


def _centered(plane: Tensor) -> Tensor:
    return plane - plane.mean((-2, -1), keepdim=True)
