"""The two convolution blocks that both networks are made of, with the attribute names of the published checkpoint."""

from typing import Self

import torch.nn.functional as F
from torch import Tensor, nn

Triple = tuple[int, int, int]

INPUT_MEAN = 0.4462414
"""Subtracted from monochrome input before the first layer (METHOD: the published networks' own constant)."""
HALVE: Triple = (1, 2, 2)
"""The stride that halves height and width and leaves time alone."""


class StoredBatchNorm(nn.BatchNorm3d):
    """Batch norm that always runs on its stored statistics, while tuning too: one frame is no batch to learn from."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.train()

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002 (whatever is asked for)
        return super().train(False)


class TempConv(nn.Module):
    """Conv3d, batch norm, ELU. [B, C, T, H, W] in and out; by default a 3x3 convolution within each frame."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: Triple = (1, 3, 3),
        stride: Triple = (1, 1, 1),
        padding: Triple = (0, 1, 1),
    ) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, padding)
        self.bn = StoredBatchNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.elu(self.bn(self.conv3d(x)))


def temporal_conv(inputs: int, outputs: int, *, stride: Triple = (1, 1, 1)) -> TempConv:
    """A TempConv that also looks one frame back and one ahead: kernel 3x3x3, padding 1."""
    return TempConv(inputs, outputs, kernel=(3, 3, 3), stride=stride, padding=(1, 1, 1))


def double_size(x: Tensor) -> Tensor:
    """[B, C, T, H, W] -> [B, C, T, 2H, 2W], linear."""
    doubled: Tensor = F.interpolate(x, scale_factor=(1.0, 2.0, 2.0), mode="trilinear", align_corners=False)
    return doubled


class Upsample(nn.Module):
    """Twice the height and width, then Conv3d 3x3x3, batch norm, ELU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, outputs, 3, padding=1)
        self.bn = StoredBatchNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.elu(self.bn(self.conv3d(double_size(x))))
