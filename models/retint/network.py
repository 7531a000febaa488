"""The weights of the default model: what pictures are matched by, and what fuses the offered colors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from models.errors import WeightsInvalid, WeightsMissing
from models.features import CHANNELS

CELLS = 40.0
"""Grid cells that make one unit of place: the cells of stride 8 in a picture of 320 lines."""
FARTHEST_FLOW_ERROR = 8.0
"""Pixels of forward-backward error beyond which wrong is wrong."""
CHROMA_SCALE, RESIDUAL_SCALE = 5.0, 5.0
"""What brings chroma and luma residuals to about unit spread."""

QUERY_CHUNK = 1024
"""Cells matched at once: bounds memory to this many rows of similarities."""
CARRIED = 5
"""Planes of a candidate that flow carried: chroma, luma residual, flow error, trust."""
MATCHED = 6
"""Planes of a candidate that matching found: chroma, luma residual, trust, similarity, share of the nearest."""


class Block(nn.Sequential):
    """Convolution, group norm, SiLU."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.GroupNorm(8, outputs), nn.SiLU())


class Residual(nn.Module):
    """Two convolutions beside the identity, which they are at the start of training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = Block(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1)
        nn.init.zeros_(self.second.weight)
        assert self.second.bias is not None
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = x + self.second(self.first(x))
        return changed


class Description(nn.Module):
    """Describes every cell of a picture by a vector, so that cells of one color come to lie close together.

    As built it is plain cosine similarity of the features at three scales, which training refines.
    """

    SIZE = sum(CHANNELS)
    SHARPNESS = (5.0, 8.0, 24.0)
    """Factors of the cosine similarities at strides 4, 8 and 16 to start from, chosen on training clips."""
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

    def forward(self, features: list[Tensor]) -> Tensor:
        """[B, SIZE, h, w] on the grid of stride 8, from features of strides 4, 8 and 16.

        Each scale is centered over the picture and has unit length at each cell, times the root of its sharpness.
        """
        grid = (features[1].shape[-2], features[1].shape[-1])
        parts = []
        for plane, projection, sharpness in zip(features, self.projections, self.log_sharpness.exp(), strict=True):
            if plane.shape[-2] > grid[0]:
                plane = F.adaptive_avg_pool2d(plane, grid)
            elif plane.shape[-2] < grid[0]:
                plane = F.interpolate(plane, size=grid, mode="bilinear", align_corners=False)
            centered = plane - plane.mean((-2, -1), keepdim=True)
            projected = centered + self.PROJECTION_SCALE * torch.einsum("dc,bchw->bdhw", projection, centered)
            parts.append(F.normalize(projected, dim=1) * sharpness.sqrt())
        return torch.cat(parts, 1)

    def look_up(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """What a softmax over the similarities finds: [B, V + 2, h, w], the values, the highest similarity (-1..1) and
        the nearest key's share.

        `queries` [B, D, h, w] and `keys` [B, D, N] are descriptions with their place, see `placed` and `as_keys`;
        `values` [B, V, N].
        """
        batch, _, height, width = queries.shape
        rows = queries.flatten(2).transpose(1, 2)
        values = values.transpose(1, 2)
        sharpness = self.log_sharpness.exp().sum()
        parts = []
        for start in range(0, rows.shape[1], QUERY_CHUNK):
            scores = torch.bmm(rows[:, start : start + QUERY_CHUNK], keys)
            share = scores.softmax(-1)
            highest = scores.amax(-1, keepdim=True) / sharpness
            parts.append(torch.cat([torch.bmm(share, values), highest, share.amax(-1, keepdim=True)], -1))
        return torch.cat(parts, 1).transpose(1, 2).reshape(batch, -1, height, width)

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


@dataclass(frozen=True, slots=True)
class Offers:
    """Everything that a frame's color is fused from; h, w are chroma's."""

    luma: Tensor
    """[B, 1, H, W] in 0..1, H = 2 h."""
    previous: Tensor | None
    """[B, CARRIED, h, w]: the color of the frame before, moved by flow; None where there is none."""
    direct: Tensor
    """[B, CARRIED, h, w]: the reference's, moved by flow."""
    matched: Tensor
    """[B, MATCHED, gh, gw] on the matching grid: found in the references."""
    remembered: Tensor | None = None
    """[B, MATCHED, gh, gw]: found in an earlier frame, as it was colored; refinement looks at it."""


@dataclass(frozen=True, slots=True)
class Fused:
    chroma: Tensor
    """[B, 2, h, w]."""
    confidence: Tensor
    """[B, 1, h, w] in 0..1: how likely the color is right."""


class Prior(nn.Module):
    """The weight of each offer before the network looks: a softmax of what is linear in the evidence against it."""

    def __init__(self) -> None:
        super().__init__()
        # Fitted by gradient to the error of chroma on training clips, where it gains 0.4 dB over the best single offer.
        # One row an offer, in the order of `evidence`, and the bias. What is remembered starts out as almost ignored.
        matched = [-0.32, -0.36, 0.07, 0.0, 0.0, -1.14, -0.72]
        self.coefficients = nn.Parameter(
            torch.tensor(
                [
                    [-0.12, -0.98, -0.16, -0.14, 0.16, 0.49, -0.86, -0.21],
                    [-0.64, -1.20, -0.35, -0.35, 0.08, 0.78, -0.45, 1.78],
                    [*matched, 0.38],
                    [*matched, -2.0],
                ]
            )
        )

    def forward(self, evidence: Tensor, *, rows: Sequence[int]) -> Tensor:
        """Logits [B, N, h, w] from `evidence` [B, N, 7, h, w]; `rows` says which offers these are."""
        coefficients = self.coefficients[list(rows)]
        logits = torch.einsum("ne,bnehw->bnhw", coefficients[:, :-1], evidence)
        return logits + coefficients[None, :, -1, None, None]


def evidence(chromas: Tensor, *, residuals: Tensor, flow_errors: Tensor, trusts: Tensor) -> Tensor:
    """[B, N, 7, h, w]: what speaks against each of N offers, and the trust in its source.

    Residual of luma at the pixel, over 7x7 and over 21x21 pixels; flow error at the pixel and over 7x7; trust; and how
    far the color [B, N, 2, h, w] is from the nearest other offer's. All else is [B, N, h, w], flow errors in pixels.
    """
    # Saturating scales: beyond a tenth of the luma range, or some pixels, wrong is wrong.
    residuals = residuals.abs()
    return torch.stack(
        [
            (residuals / 0.05).clamp(max=4.0),
            (smooth(residuals, size=7) / 0.05).clamp(max=4.0),
            (smooth(residuals, size=21) / 0.05).clamp(max=4.0),
            flow_errors / 2.0,
            smooth(flow_errors, size=7) / 2.0,
            trusts,
            (oddity(chromas) / 0.1).clamp(max=4.0),
        ],
        dim=2,
    )


def oddity(chromas: Tensor) -> Tensor:
    """[B, N, h, w]: how far each of N colors [B, N, 2, h, w] is from the nearest of the others."""
    # Inside a root, zero has no gradient.
    distances = (chromas[:, :, None] - chromas[:, None]).square().sum(3).add(1e-8).sqrt()
    itself = torch.eye(chromas.shape[1], device=chromas.device, dtype=chromas.dtype)[None, :, :, None, None]
    return (distances + itself).amin(2)


def smooth(planes: Tensor, *, size: int) -> Tensor:
    """Means of planes [B, N, h, w] over `size` x `size` pixels (odd), fewer at the edges."""
    half = size // 2
    rows = F.avg_pool2d(planes, (1, size), stride=1, padding=(0, half), count_include_pad=False)
    return F.avg_pool2d(rows, (size, 1), stride=1, padding=(half, 0), count_include_pad=False)


class Fusion(nn.Module):
    """Weighs the offers per pixel: by a `Prior`, and a `Refinement` of it where there is a trained one."""

    def __init__(self, *, refined: bool) -> None:
        super().__init__()
        self.prior = Prior()
        self.refinement = Refinement() if refined else None

    def forward(self, offers: Offers) -> Fused:
        size = (offers.direct.shape[-2], offers.direct.shape[-1])
        previous = offers.previous
        if previous is None and self.refinement is not None:
            previous = absent(offers.direct)
        carried = [planes for planes in (previous, offers.direct) if planes is not None]
        found = [
            F.interpolate(planes, size=size, mode="bilinear", align_corners=False)
            for planes in (offers.matched, offers.remembered)
            if planes is not None
        ]
        rows = range(0 if previous is not None else 1, 2 + len(found))
        chromas = torch.stack([planes[:, :2] for planes in (*carried, *found)], 1)
        trusts = torch.cat(
            # What is remembered is trusted as far as it was when it was colored; references are sure.
            [planes[:, 4:5] for planes in carried] + [planes[:, 3:4] * planes[:, 4:5] for planes in found],
            1,
        ).clamp(0, 1)
        against = evidence(
            chromas,
            residuals=torch.cat([planes[:, 2:3] for planes in (*carried, *found)], 1),
            flow_errors=torch.cat(
                [FARTHEST_FLOW_ERROR * planes[:, 3:4] for planes in carried]
                + [torch.zeros_like(planes[:, :1]) for planes in found],
                1,
            ),
            trusts=trusts,
        )
        logits: Tensor = self.prior(against, rows=rows)
        if self.refinement is not None:
            refined: Fused = self.refinement(offers.luma, carried=carried, found=found, logits=logits, chromas=chromas)
            return refined
        weights = logits.softmax(1)
        # A residual of a tenth of the range, or an error of five pixels, around a pixel nearly halves the trust.
        flown = len(carried)
        kept = torch.exp(-0.25 * against[:, :flown, 1] - 0.25 * against[:, :flown, 4])
        reliable = torch.cat([trusts[:, :flown] * kept, trusts[:, flown:]], 1)
        return Fused(
            chroma=(weights[:, :, None] * chromas).sum(1), confidence=(weights * reliable).sum(1, keepdim=True)
        )


class Refinement(nn.Module):
    """A U-Net that corrects the weights of four offers and adds what they lack.

    It works at half of chroma's resolution with all of chroma's detail (pixel unshuffle), which costs a third of the
    same network at full resolution.
    """

    WIDTHS = (48, 64, 96)
    GRANULE = 8
    """Chroma is padded to multiples of this: two by unshuffling, four by the strides."""
    OFFERS = 4

    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse = self.WIDTHS
        self.stem = Block(4 * (4 + 2 * CARRIED + self.OFFERS) + 2 * MATCHED, fine)
        self.fine = Residual(fine)
        self.down_middle = Block(fine, middle, stride=2)
        self.middle = nn.Sequential(Residual(middle), Residual(middle))
        self.down_coarse = Block(middle, coarse, stride=2)
        self.coarse = nn.Sequential(Residual(coarse), Residual(coarse), Residual(coarse))
        self.up_middle = Block(coarse + middle, middle)
        self.up_fine = Block(middle + fine, fine)
        # Four weights, two residuals and the confidence, for each of four pixels.
        self.out = nn.Conv2d(fine, 4 * (self.OFFERS + 3), 3, 1, 1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)
        # Most of what flow carries is right.
        nn.init.constant_(self.out.bias[-4:], 2.0)

    def forward(
        self, luma: Tensor, *, carried: Sequence[Tensor], found: Sequence[Tensor], logits: Tensor, chromas: Tensor
    ) -> Fused:
        """From luma [B, 1, 2 h, 2 w], the planes of the two offers that flow carried and of the two that were found,
        all at h, w, the prior's `logits` [B, 4, h, w], and the offered `chromas` [B, 4, 2, h, w]."""
        height, width = logits.shape[-2:]
        fine = self.fine(self.stem(self._inputs(luma, carried=carried, found=found, logits=logits)))
        middle = self.middle(self.down_middle(fine))
        coarse = self.coarse(self.down_coarse(middle))
        middle = self.up_middle(torch.cat([_enlarge(coarse), middle], 1))
        fine = self.up_fine(torch.cat([_enlarge(middle), fine], 1))
        planes = F.pixel_shuffle(self.out(fine), 2)[..., :height, :width]
        weights = (logits + planes[:, : self.OFFERS]).softmax(1)
        residual = planes[:, self.OFFERS : self.OFFERS + 2] / CHROMA_SCALE
        return Fused(
            chroma=(weights[:, :, None] * chromas).sum(1) + residual,
            confidence=planes[:, self.OFFERS + 2 :].sigmoid(),
        )

    def _inputs(self, luma: Tensor, *, carried: Sequence[Tensor], found: Sequence[Tensor], logits: Tensor) -> Tensor:
        unshuffled = F.pixel_unshuffle(luma - 0.5, 2)
        fine = torch.cat([unshuffled, *(_scaled(planes) for planes in carried), logits.softmax(1)], 1)
        coarse = torch.cat([_scaled(planes) for planes in found], 1)
        height, width = fine.shape[-2:]
        edges = (0, -width % self.GRANULE, 0, -height % self.GRANULE)
        if any(edges):
            fine, coarse = F.pad(fine, edges, mode="replicate"), F.pad(coarse, edges, mode="replicate")
        return torch.cat([F.pixel_unshuffle(fine, 2), F.avg_pool2d(coarse, 2)], 1)


class RetintNetwork(nn.Module):
    """All weights but those of the features' trunk."""

    def __init__(self, *, refined: bool) -> None:
        super().__init__()
        self.description = Description()
        self.fusion = Fusion(refined=refined)


def load_network(path: Path) -> RetintNetwork:
    """A trained network from a safetensors file.

    Raises:
        WeightsMissing: there is no such file.
        WeightsInvalid: the file is damaged or of another network.
    """
    if not path.is_file():
        raise WeightsMissing(f"There is no file {path} with the network's weights.")
    network = RetintNetwork(refined=True)
    try:
        network.load_state_dict(load_file(path))
    except Exception as error:  # safetensors and torch raise their own, of no common kind
        raise WeightsInvalid(f"{path.name} does not hold this network's weights.") from error
    return network.eval()


def absent(like: Tensor) -> Tensor:
    """[..., CARRIED, h, w]: an offer of flow that is not there, as a refinement is trained to know it."""
    planes = torch.zeros_like(like)
    planes[..., 3, :, :] = 1.0
    return planes


def matched_planes(found: Tensor, luma: Tensor) -> Tensor:
    """[B, MATCHED, h, w] from what `Description.look_up` found for the values chroma, luma, trust, and the luma
    [B, 1, H, W] of the frame: luma found becomes a residual, as coarse as the grid."""
    residual = F.adaptive_avg_pool2d(luma, (found.shape[-2], found.shape[-1])) - found[:, 2:3]
    return torch.cat([found[:, :2], residual, found[:, 3:]], 1)


def warp_planes(planes: Tensor, flow: Tensor) -> Tensor:
    """Sample planes [B, C, h, w] at every pixel's position plus `flow` [B, 2, h, w] in pixels; edges repeat outward."""
    height, width = flow.shape[-2:]
    rows = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None]
    columns = torch.arange(width, device=flow.device, dtype=flow.dtype)
    x = (flow[:, 0] + columns + 0.5) * (2 / width) - 1
    y = (flow[:, 1] + rows + 0.5) * (2 / height) - 1
    grid = torch.stack([x, y], dim=-1)
    return F.grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _scaled(planes: Tensor) -> Tensor:
    return torch.cat([planes[:, :2] * CHROMA_SCALE, planes[:, 2:3] * RESIDUAL_SCALE, planes[:, 3:]], 1)


def _enlarge(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
