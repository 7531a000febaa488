"""The colors that are offered to every pixel of a frame, and what is known of each offer."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.retint.matching import Description, Found

FARTHEST_FLOW_ERROR = 8.0
"""Pixels of forward-backward error beyond which wrong is wrong."""
PLANES = 7
"""Of an offer: chroma (2), luma residual, flow error (0..1), trust, share of the nearest match (1 for flow), likeness,
the similarity (1 at most) of what is described here and where the color is from, of a match less by their distance."""
OFFERS = ("previous", "near previous", "direct", "near direct", "earlier", "matched", "near match", "remembered")
"""The order in which offers are stacked."""
FLOWN = 5
"""Of these, the first so many are moved by flow; the others are matched."""


@dataclass(frozen=True, slots=True)
class Near:
    """How far `look_nearby` looks, in pixels."""

    reach: int
    spread: float
    """Standard deviation of how much a place counts by its distance."""


NEAR_FLOW = Near(reach=2, spread=1.0)
NEAR_MATCH = Near(reach=3, spread=1.5)
"""A match is a cell of some pixels, and flow is more precise."""
LUMA_NOISE = 0.02
"""Of full scale: luma that differs by this much may still be the same thing, see `look_nearby`."""


@dataclass(frozen=True, slots=True)
class Offers:
    """Everything that a frame's color is fused from; h, w are chroma's."""

    luma: Tensor
    """[B, 1, H, W] in 0..1, H = 2 h."""
    planes: Tensor
    """[B, N, PLANES, h, w] for the N of `OFFERS`."""

    @property
    def chromas(self) -> Tensor:
        """[B, N, 2, h, w]."""
        return self.planes[:, :, :2]


@dataclass(frozen=True, slots=True)
class Source:
    """A colored picture as matching looks it up."""

    keys: Tensor
    """[B, D, N]."""
    values: Tensor
    """[B, 4, N]: chroma, trust, luma."""
    grid: tuple[int, int]
    """Rows and columns of the N cells."""

    @property
    def description(self) -> Tensor:
        """[B, SIZE, *grid]: what the keys were made of."""
        return self.keys[:, : Description.SIZE].reshape(len(self.keys), Description.SIZE, *self.grid)


def source_of(describe: Description, description: Tensor, *, picture: Tensor) -> Source:
    """From the description of a frame and its `picture` [B, 4, h, w]: chroma, trust, luma."""
    grid = (description.shape[-2], description.shape[-1])
    values = F.adaptive_avg_pool2d(picture, grid).flatten(2)
    return Source(keys=describe.as_keys(description), values=values, grid=grid)


@dataclass(frozen=True, slots=True)
class Flown:
    """How another picture moves into this one, as measured."""

    flow: Tensor
    """[B, 2, h, w] in pixels."""
    residual: Tensor
    """[B, 1, h, w]: luma that differs."""
    error: Tensor
    """[B, 1, h, w] in 0..1: the flow's forward-backward error, by `FARTHEST_FLOW_ERROR`."""
    likeness: Tensor
    """[B, 1, h, w] in -1..1, see `likeness_along`."""


def likeness_along(flow: Tensor, description: Tensor, source: Tensor) -> Tensor:
    """[B, 1, h, w]: the cosine similarity of `description` [B, SIZE, gh, gw] with that of another picture, `source`,
    where `flow` [B, 2, h, w] in pixels leads.

    Luma may fit by chance where flow has lost what it followed; what surrounds it fits less often.
    """
    size, grid = (flow.shape[-2], flow.shape[-1]), (description.shape[-2], description.shape[-1])
    cells = flow.new_tensor([grid[1] / size[1], grid[0] / size[0]])[:, None, None]
    moved = warp_planes(source, F.adaptive_avg_pool2d(flow, grid) * cells)
    alike = F.cosine_similarity(description, moved, dim=1)[:, None]
    return F.interpolate(alike, size=size, mode="bilinear", align_corners=False)


def flow_offers(picture: Tensor, luma: Tensor, *, by: Flown) -> Tensor:
    """[B, 2, PLANES, h, w]: `picture` [B, 4, h, w] (chroma, trust, luma) moved, and what of it is near there;
    `luma` [B, 1, h, w] is that of the frame."""
    offer = flow_offer(picture, by=by)
    around = look_nearby(picture, luma, flow=by.flow, near=NEAR_FLOW)
    return torch.cat([offer, _beside(around, luma, like=offer[:, 0])[:, None]], 1)


def flow_offer(picture: Tensor, *, by: Flown) -> Tensor:
    """[B, 1, PLANES, h, w]: `picture` [B, 4, h, w] (chroma, trust, luma) moved."""
    moved = warp_planes(picture[:, :3], by.flow)
    planes = [moved[:, :2], by.residual, by.error, moved[:, 2:], torch.ones_like(by.residual), by.likeness]
    return torch.cat(planes, 1)[:, None]


def reference_offers(
    describe: Description, queries: Tensor, luma: Tensor, *, references: Sequence[Source], pictures: Sequence[Tensor]
) -> Tensor:
    """[B, 2, PLANES, h, w]: what matching finds in the references, and what is near the best match, in `pictures`
    [B, 4, h, w] of the references, all with grids of one size."""
    found = _looked_up(describe, queries, references)
    offer = _matched(found, luma)
    size, grid = (luma.shape[-2], luma.shape[-1]), references[0].grid
    cells = grid[0] * grid[1]
    chosen, cell = found.nearest // cells, found.nearest % cells
    flow = match_flow(cell, keys=grid, size=size)
    around = look_nearby(pictures[0], luma, flow=flow, near=NEAR_MATCH)
    chosen = F.interpolate(chosen[:, None].float(), size=size, mode="nearest")
    for number, picture in enumerate(pictures[1:], start=1):
        if (chosen == number).any():
            around = torch.where(chosen == number, look_nearby(picture, luma, flow=flow, near=NEAR_MATCH), around)
    return torch.stack([offer, _beside(around, luma, like=offer)], 1)


def memory_offer(describe: Description, queries: Tensor, luma: Tensor, *, memory: Sequence[Source]) -> Tensor:
    """[B, 1, PLANES, h, w]: what matching finds in earlier frames, as they were colored."""
    return _matched(_looked_up(describe, queries, memory), luma)[:, None]


def _looked_up(describe: Description, queries: Tensor, sources: Sequence[Source]) -> Found:
    return describe.look_up(
        queries,
        torch.cat([source.keys for source in sources], -1),
        torch.cat([source.values for source in sources], -1),
    )


def look_nearby(picture: Tensor, luma: Tensor, *, flow: Tensor, near: Near) -> Tensor:
    """[B, 4, h, w]: chroma, trust and luma of `picture` [B, 4, h, w] around where `flow` [B, 2, h, w] leads.

    Flow is right to a pixel or two, and edges of color are sharper. So among the places up to `near.reach`
    pixels off, those whose 3x3 luma is like that of `luma` [B, 1, h, w] count, and the nearer ones more.
    """
    height, width = luma.shape[-2:]
    reach = near.reach
    places = [(y, x) for y in range(2 * reach + 1) for x in range(2 * reach + 1)]
    moved = F.pad(warp_planes(picture, flow), (reach,) * 4, mode="replicate")

    def at(y: int, x: int) -> Tensor:
        return moved[..., y : y + height, x : x + width]

    # In place and place by place: half the time of one sum over all of them.
    unlike = torch.cat([at(y, x)[:, 3:] - luma for y, x in places], 1).square_()
    logits = smooth(unlike, size=3).mul_(-0.5 / LUMA_NOISE**2)
    for number, (y, x) in enumerate(places):
        logits[:, number] -= 0.5 * ((y - reach) ** 2 + (x - reach) ** 2) / near.spread**2
    shares = logits.softmax(1)
    found = torch.zeros_like(picture)
    for number, (y, x) in enumerate(places):
        found.addcmul_(at(y, x), shares[:, number : number + 1])
    return found


def _beside(found: Tensor, luma: Tensor, *, like: Tensor) -> Tensor:
    """[B, PLANES, h, w] of what `look_nearby` found, with the flow error, share and likeness of the offer `like`
    [B, PLANES, h, w]."""
    return torch.cat([found[:, :2], luma - found[:, 3:], like[:, 3:4], found[:, 2:3], like[:, 5:]], 1)


def _matched(found: Found, luma: Tensor) -> Tensor:
    """[B, PLANES, h, w] at the size of `luma` [B, 1, h, w].

    Luma found becomes a residual, as coarse as the grid; trust is that in the source, times the similarity.
    """
    chroma, trust, luma_found = found.values[:, :2], found.values[:, 2:3], found.values[:, 3:]
    residual = F.adaptive_avg_pool2d(luma, (trust.shape[-2], trust.shape[-1])) - luma_found
    trust = (trust * found.similarity).clamp(0, 1)
    planes = torch.cat([chroma, residual, torch.zeros_like(residual), trust, found.share, found.similarity], 1)
    return F.interpolate(planes, size=(luma.shape[-2], luma.shape[-1]), mode="bilinear", align_corners=False)


def match_flow(nearest: Tensor, *, keys: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """[B, 2, *size] in pixels: from every pixel to the cell of its nearest key; `nearest` [B, h, w] counts the cells of
    a grid of `keys` rows and columns."""
    height, width = nearest.shape[-2:]
    rows, columns = nearest // keys[1], nearest % keys[1]
    y = (rows + 0.5) * (size[0] / keys[0])
    x = (columns + 0.5) * (size[1] / keys[1])
    own_y = (torch.arange(height, device=nearest.device) + 0.5) * (size[0] / height)
    own_x = (torch.arange(width, device=nearest.device) + 0.5) * (size[1] / width)
    flow = torch.stack([x - own_x, y - own_y[:, None]], 1).float()
    return F.interpolate(flow, size=size, mode="bilinear", align_corners=False)


def warp_planes(planes: Tensor, flow: Tensor) -> Tensor:
    """Sample planes [B, C, h, w] at every pixel's position plus `flow` [B, 2, h, w] in pixels; edges repeat outward."""
    height, width = flow.shape[-2:]
    rows = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None]
    columns = torch.arange(width, device=flow.device, dtype=flow.dtype)
    x = (flow[:, 0] + columns + 0.5) * (2 / width) - 1
    y = (flow[:, 1] + rows + 0.5) * (2 / height) - 1
    grid = torch.stack([x, y], dim=-1)
    return F.grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=False)


def smooth(planes: Tensor, *, size: int) -> Tensor:
    """Means of planes [B, N, h, w] over `size` x `size` pixels (odd), fewer at the edges."""
    return _smooth_along(_smooth_along(planes, size=size, dim=-1), size=size, dim=-2)


def _smooth_along(planes: Tensor, *, size: int, dim: int) -> Tensor:
    # Shifted and added: a tenth of the time of average pooling on the CPU.
    half, length = size // 2, planes.shape[dim]
    total = planes.clone()
    for shift in range(1, min(half, length - 1) + 1):
        total.narrow(dim, 0, length - shift).add_(planes.narrow(dim, shift, length - shift))
        total.narrow(dim, shift, length - shift).add_(planes.narrow(dim, 0, length - shift))
    place = torch.arange(length, device=planes.device)
    counts = (place + half + 1).clamp(max=length) - (place - half).clamp(min=0)
    return total.div_(counts.view([-1 if axis == dim else 1 for axis in (-2, -1)]))
