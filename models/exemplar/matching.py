"""The matching net: finds every place of a frame again in the reference, and brings its color."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.exemplar.features import unit_length
from models.width import scaled

TEMPERATURE = 1e-10
"""METHOD: as published; so cold that the nearest match alone counts."""
SCORES_AT_ONCE = 2**22
"""Pairs of positions that exist at one time, 16 MiB in float32. The whole matrix has (H W / 16)^2 of them: 27 million
at 216x384, 17 thousand million (67 GB) at 1080x1920."""
_STRIDE = 4
"""Positions are matched at a fourth of the size."""


@dataclass(frozen=True, slots=True)
class Match:
    """What a frame's places look like in the references."""

    lab: Tensor
    """[B, 3, H, W]: Lab of the places that match, L centered."""
    similarity: Tensor
    """[B, 1, H, W]: cosine of the best match, -1..1."""


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3)
        self.conv2 = nn.Conv2d(channels, channels, 3)
        self.prelu = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.prelu(F.instance_norm(self.conv1(_mirrored(x))))
        activated: Tensor = self.prelu(x + F.instance_norm(self.conv2(_mirrored(y))))
        return activated


def _mirrored(x: Tensor) -> Tensor:
    return F.pad(x, (1, 1, 1, 1), mode="reflect")


def _stage(inputs: int, outputs: int, *, stride: int = 1) -> list[nn.Module]:
    return [nn.ReflectionPad2d(1), nn.Conv2d(inputs, outputs, 3, stride), nn.InstanceNorm2d(outputs), nn.PReLU()]


class MatchingNetwork(nn.Module):
    """The correspondence network of Zhang et al. 2019 (METHOD, section 3), with the published file's names."""

    def __init__(self, *, width: float = 1.0) -> None:
        """`width` scales every channel count; 1 is the published network."""
        super().__init__()
        c64, c128, c256, c512 = (scaled(count, width=width) for count in (64, 128, 256, 512))
        double = nn.Upsample(scale_factor=2, mode="nearest")
        self.layer2_1 = nn.Sequential(*_stage(c128, c128), *_stage(c128, c64, stride=2))
        self.layer3_1 = nn.Sequential(*_stage(c256, c128), *_stage(c128, c64))
        self.layer4_1 = nn.Sequential(*_stage(c512, c256), *_stage(c256, c64), double)
        self.layer5_1 = nn.Sequential(*_stage(c512, c256), double, *_stage(c256, c64), double)
        mixed = 4 * c64
        self.layer = nn.Sequential(*(_Residual(mixed) for _ in range(3)))
        self.theta = nn.Conv2d(mixed, mixed, 1)
        self.phi = nn.Conv2d(mixed, mixed, 1)

    def describe(self, features: Sequence[Tensor]) -> Tensor:
        """[B, C, H/4, W/4] of the feature net's four outputs for a picture [B, 3, H, W]; multiples of 8."""
        second, third, fourth, fifth = features
        parts = [self.layer2_1(second), self.layer3_1(third), self.layer4_1(fourth)]
        height, width = parts[0].shape[-2:]
        coarse = self.layer5_1(fifth)
        # METHOD says this of heights that are no multiple of 16; widths are treated alike.
        rows, columns = (height - coarse.shape[-2]) // 2, (width - coarse.shape[-1]) // 2
        if rows or columns:
            coarse = F.pad(coarse, (columns, columns, rows, rows), mode="replicate")
        mixed: Tensor = self.layer(torch.cat([*parts, coarse], dim=1))
        return mixed

    def queries(self, description: Tensor) -> Tensor:
        """[B, C, positions] of a frame's description, at unit length."""
        return _directions(self.theta(description))

    def keys(self, description: Tensor) -> Tensor:
        """[B, C, positions] of a reference's description, at unit length."""
        return _directions(self.phi(description))


def _directions(projected: Tensor) -> Tensor:
    flat = projected.flatten(2)
    return unit_length(flat - flat.mean(dim=-1, keepdim=True))


def color_positions(lab: Tensor) -> Tensor:
    """Lab [B, 3, H, W] of a reference, averaged over each position: [B, positions, 3]."""
    return F.avg_pool2d(lab, _STRIDE).flatten(2).transpose(1, 2)


def look_up(
    queries: Tensor,
    keys: Tensor,
    colors: Tensor,
    *,
    size: tuple[int, int],
    temperature: float = TEMPERATURE,
    scores_at_once: int = SCORES_AT_ONCE,
) -> Match:
    """Bring `colors` [B, K, 3] from the `keys` [B, C, K] that are like the `queries` [B, C, Q] of a frame of `size`.

    A softmax over all keys, by chunks of queries, so that memory grows with Q + K and not with Q K.
    """
    batch, _, count = keys.shape
    rows = max(1, scores_at_once // (batch * count))
    found, best = [], []
    for part in torch.split(queries.transpose(1, 2), rows, dim=1):
        scores = part @ keys
        best.append(scores.amax(dim=-1))
        found.append(torch.softmax(scores / temperature, dim=-1) @ colors)
    height, width = size[0] // _STRIDE, size[1] // _STRIDE
    lab = torch.cat(found, dim=1).transpose(1, 2).reshape(batch, colors.shape[-1], height, width)
    similarity = torch.cat(best, dim=1).reshape(batch, 1, height, width)
    return Match(lab=_enlarged(lab), similarity=_enlarged(similarity))


def _enlarged(planes: Tensor) -> Tensor:
    return F.interpolate(planes, scale_factor=float(_STRIDE), mode="nearest")
