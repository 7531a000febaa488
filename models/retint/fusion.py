"""Fuses what is offered: the weight of each offer at each pixel, and how far the result is to be trusted."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.retint.offers import FARTHEST_FLOW_ERROR, FLOWN, OFFERS, PLANES, Offers, smooth


@dataclass(frozen=True, slots=True)
class Fused:
    chroma: Tensor
    """[B, 2, h, w]."""
    trust: Tensor
    """[B, 1, h, w] in 0..1: how likely the network takes the color to be right; what the next frame is told of it."""
    confidence: Tensor
    """[B, 1, h, w] in 0..1: the trust, less where luma, flow or similarity speak against what was chosen, or no color
    was. Trained on films, the network knows nothing of pictures that show something else; these do."""


class Prior(nn.Module):
    """The weight of each offer before the network looks: a softmax of what is linear in the evidence against it."""

    EVIDENCE = 9

    def __init__(self) -> None:
        super().__init__()
        # One row an offer and the bias last. To start from, all evidence speaks against an offer but trust and share.
        against = torch.tensor([-0.4, -1.0, -0.2, -0.2, -0.1, 0.5, 0.0, -0.7, 0.0, 0.0])
        self.coefficients = nn.Parameter(against.repeat(len(OFFERS), 1))

    def forward(self, evidence: Tensor) -> Tensor:
        """Logits [B, N, h, w] from `evidence` [B, N, EVIDENCE, h, w]."""
        logits = torch.einsum("ne,bnehw->bnhw", self.coefficients[:, :-1], evidence)
        return logits + self.coefficients[None, :, -1, None, None]


def evidence(planes: Tensor) -> Tensor:
    """[B, N, EVIDENCE, h, w] of offers [B, N, PLANES, h, w]: what speaks for and against each.

    Residual of luma at the pixel, over 7x7 and over 21x21 pixels; flow error at the pixel and over 7x7; trust; share;
    how far the color is from the median of all offers; and likeness.
    """
    # Saturating scales: beyond a tenth of the luma range, or some pixels, wrong is wrong.
    residuals = planes[:, :, 2].abs()
    flow_errors = planes[:, :, 3] * (FARTHEST_FLOW_ERROR / 2.0)
    return torch.stack(
        [
            (residuals / 0.05).clamp(max=4.0),
            (smooth(residuals, size=7) / 0.05).clamp(max=4.0),
            (smooth(residuals, size=21) / 0.05).clamp(max=4.0),
            flow_errors,
            smooth(flow_errors, size=7),
            planes[:, :, 4],
            planes[:, :, 5],
            (oddity(planes[:, :, :2]) / 0.05).clamp(max=4.0),
            planes[:, :, 6],
        ],
        dim=2,
    )


def oddity(chromas: Tensor) -> Tensor:
    """[B, N, h, w]: how far each of N colors [B, N, 2, h, w] is from the median of all."""
    # Inside a root, zero has no gradient.
    return (chromas - _lower_median(chromas)[:, None]).square().sum(2).add(1e-8).sqrt()


def _lower_median(planes: Tensor) -> Tensor:
    """[B, ...] of planes [B, N, ...]: the median, of an even number the lower one of the two in the middle.

    Sorted by exchanging neighbors, plane by plane: a third of the time of `torch.median` on the CPU.
    """
    ordered = list(planes.unbind(1))
    for turn in range(len(ordered)):
        for first in range(turn % 2, len(ordered) - 1, 2):
            one, other = ordered[first : first + 2]
            ordered[first : first + 2] = torch.minimum(one, other), torch.maximum(one, other)
    return ordered[(len(ordered) - 1) // 2]


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


class Fusion(nn.Module):
    """Weighs the offers per pixel: a `Prior`, corrected by a U-Net.

    The U-Net works at half of chroma's resolution with all of chroma's detail (pixel unshuffle), which costs a third of
    the same network at full resolution. What it gives is a mean of what is offered and of no color at all, so that it
    cannot invent a color.
    """

    WIDTHS = (32, 48, 64)
    GRANULE = 8
    """Chroma is padded to multiples of this: two by unshuffling, four by the strides."""

    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse = self.WIDTHS
        count = len(OFFERS)
        self.prior = Prior()
        self.stem = nn.Conv2d(16 + 4 * 4 * count + (PLANES - 3) * count, fine, 1)
        self.fine = Residual(fine)
        self.down_middle = Block(fine, middle, stride=2)
        self.middle = nn.Sequential(Residual(middle), Residual(middle))
        self.down_coarse = Block(middle, coarse, stride=2)
        self.coarse = nn.Sequential(Residual(coarse), Residual(coarse), Residual(coarse))
        self.up_middle = Block(coarse + middle, middle)
        self.up_fine = Block(middle + fine, fine)
        # The weights, that of no color at all, and the trust, for each of four pixels.
        self.out = nn.Conv2d(fine, 4 * (count + 2), 3, 1, 1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)
        # To start from, next to nothing is left without color, and most of what flow carries is right.
        nn.init.constant_(self.out.bias[-8:-4], -4.0)
        nn.init.constant_(self.out.bias[-4:], 2.0)

    def forward(self, offers: Offers) -> Fused:
        height, width = offers.planes.shape[-2:]
        against = evidence(offers.planes)
        logits: Tensor = self.prior(against)
        fine = self.fine(F.silu(self.stem(self._inputs(offers, weights=logits.softmax(1)))))
        middle = self.middle(self.down_middle(fine))
        coarse = self.coarse(self.down_coarse(middle))
        middle = self.up_middle(torch.cat([_enlarge(coarse), middle], 1))
        fine = self.up_fine(torch.cat([_enlarge(middle), fine], 1))
        planes = F.pixel_shuffle(self.out(fine), 2)[..., :height, :width]
        logits = torch.cat([logits + planes[:, : len(OFFERS)], planes[:, len(OFFERS) : -1]], 1)
        # What no offer gets is left without color.
        weights = logits.softmax(1)[:, :-1]
        trust = planes[:, -1:].sigmoid()
        return Fused(
            chroma=(weights[:, :, None] * offers.chromas).sum(1),
            trust=trust,
            confidence=trust * (weights * _reliability(against, offers)).sum(1, keepdim=True),
        )

    def _inputs(self, offers: Offers, *, weights: Tensor) -> Tensor:
        # Colors are seen as they differ from what the prior makes of them: the network is to choose, not to know any.
        start = (weights[:, :, None] * offers.chromas).sum(1, keepdim=True)
        differences = ((offers.chromas - start) * 10.0).clamp(-3, 3)
        residuals = (offers.planes[:, :, 2] * 10.0).clamp(-3, 3)
        fine = torch.cat(
            [F.pixel_unshuffle(offers.luma - 0.5, 2), differences.flatten(1, 2), residuals, weights * 2.0], 1
        )
        coarse = offers.planes[:, :, 3:].flatten(1, 2)
        height, width = fine.shape[-2:]
        edges = (0, -width % self.GRANULE, 0, -height % self.GRANULE)
        if any(edges):
            fine, coarse = F.pad(fine, edges, mode="replicate"), F.pad(coarse, edges, mode="replicate")
        return torch.cat([F.pixel_unshuffle(fine, 2), F.avg_pool2d(coarse, 2)], 1)


def _reliability(against: Tensor, offers: Offers) -> Tensor:
    """[B, N, h, w] in 0..1 of every offer: a residual of a tenth of the range, or an error of five pixels, around a
    pixel nearly halves that of flow; that of matching is the similarity."""
    flown = torch.exp(-0.25 * against[:, :FLOWN, 1] - 0.25 * against[:, :FLOWN, 4])
    return torch.cat([flown, offers.planes[:, FLOWN:, 4]], 1)


def _enlarge(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
