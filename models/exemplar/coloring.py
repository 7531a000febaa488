"""The color net: from what matching brought and the frame before to the colors of a frame."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.width import scaled

INPUTS = 7
"""l of the frame, matched ab, similarity, Lab of the frame before."""


def _conv(inputs: int, outputs: int, *, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation)


def _halving(channels: int) -> nn.Conv2d:
    """Every second sample, each channel scaled."""
    return nn.Conv2d(channels, channels, 1, stride=2, groups=channels, bias=False)


def _doubling(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), _conv(inputs, outputs))


class ColorNetwork(nn.Module):
    """The colorization network of Zhang et al. 2019 (METHOD, section 3), with the published file's names."""

    def __init__(self, *, width: float = 1.0) -> None:
        """`width` scales every hidden channel count; 1 is the published network."""
        super().__init__()
        c32, c64, c128, c256, c512 = (scaled(count, width=width) for count in (32, 64, 128, 256, 512))
        self.conv1_1 = nn.Sequential(_conv(INPUTS, c32), nn.ReLU(), _conv(c32, c64))
        self.conv1_2 = _conv(c64, c64)
        self.conv1_2norm_ss = _halving(c64)
        self.conv2_1, self.conv2_2 = _conv(c64, c128), _conv(c128, c128)
        self.conv2_2norm_ss = _halving(c128)
        self.conv3_1, self.conv3_2, self.conv3_3 = _conv(c128, c256), _conv(c256, c256), _conv(c256, c256)
        self.conv3_3norm_ss = _halving(c256)
        self.conv4_1, self.conv4_2, self.conv4_3 = _conv(c256, c512), _conv(c512, c512), _conv(c512, c512)
        self.conv5_1, self.conv5_2, self.conv5_3 = (_conv(c512, c512, dilation=2) for _ in range(3))
        self.conv6_1, self.conv6_2, self.conv6_3 = (_conv(c512, c512, dilation=2) for _ in range(3))
        self.conv7_1, self.conv7_2, self.conv7_3 = (_conv(c512, c512) for _ in range(3))
        self.conv8_1 = _doubling(c512, c256)
        self.conv3_3_short = _conv(c256, c256)
        self.conv8_2, self.conv8_3 = _conv(c256, c256), _conv(c256, c256)
        self.conv9_1 = _doubling(c256, c128)
        self.conv2_2_short = _conv(c128, c128)
        self.conv9_2 = _conv(c128, c128)
        self.conv10_1 = _doubling(c128, c128)
        self.conv1_2_short = _conv(c64, c128)
        self.conv10_2 = _conv(c128, c128)
        self.conv10_ab = nn.Conv2d(c128, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """ab [B, 2, H, W] in -128..128 of `x` [B, 7, H, W]; H and W multiples of 8."""
        first = F.instance_norm(F.relu(self.conv1_2(F.relu(self.conv1_1(x)))))
        second = F.instance_norm(self._block(self.conv1_2norm_ss(first), self.conv2_1, self.conv2_2))
        third = F.instance_norm(self._block(self.conv2_2norm_ss(second), self.conv3_1, self.conv3_2, self.conv3_3))
        y = F.instance_norm(self._block(self.conv3_3norm_ss(third), self.conv4_1, self.conv4_2, self.conv4_3))
        y = F.instance_norm(self._block(y, self.conv5_1, self.conv5_2, self.conv5_3))
        y = F.instance_norm(self._block(y, self.conv6_1, self.conv6_2, self.conv6_3))
        y = F.instance_norm(self._block(y, self.conv7_1, self.conv7_2, self.conv7_3))
        y = F.relu(self.conv8_1(y) + self.conv3_3_short(third))
        y = F.instance_norm(self._block(y, self.conv8_2, self.conv8_3))
        y = F.relu(self.conv9_1(y) + self.conv2_2_short(second))
        y = F.instance_norm(self._block(y, self.conv9_2))
        y = F.relu(self.conv10_1(y) + self.conv1_2_short(first))
        y = F.leaky_relu(self.conv10_2(y), 0.2)
        return torch.tanh(self.conv10_ab(y)) * 128.0

    @staticmethod
    def _block(x: Tensor, *convolutions: nn.Conv2d) -> Tensor:
        for convolution in convolutions:
            x = F.relu(convolution(x))
        return x
