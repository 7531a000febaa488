"""The feature net: convolutions of VGG-19, whose outputs are matched."""

import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.width import scaled

_CHANNELS = (64, 128, 256, 512, 512)
_CONVOLUTIONS = (2, 2, 4, 4, 4)
_MEAN_BGR = (0.40760392, 0.45795686, 0.48501961)
"""METHOD: subtracted from B, G and R in 0..1 (the means of ImageNet as Caffe had them)."""


class FeatureNetwork(nn.Module):
    """VGG-19 of Simonyan and Zisserman 2014 (METHOD, section 3), with the published file's names."""

    def __init__(self, *, width: float = 1.0) -> None:
        """`width` scales every channel count but the input's; 1 is the published network."""
        super().__init__()
        inputs = 3
        for block, (channels, count) in enumerate(zip(_CHANNELS, _CONVOLUTIONS, strict=True), start=1):
            outputs = scaled(channels, width=width)
            for index in range(1, count + 1):
                self.add_module(f"conv{block}_{index}", nn.Conv2d(inputs, outputs, 3, padding=1))
                inputs = outputs

    def forward(self, rgb: Tensor) -> list[Tensor]:
        """The second convolution's output of blocks 2 to 5 for `rgb` [B, 3, H, W] in 0..1, positions at unit length.

        [B, C, h, w] each, at 1/2, 1/4, 1/8 and 1/16 of the size, rounded down. (The published code also takes that of
        block 1, for a loss of its training.)
        """
        x = (rgb.flip(1) - torch.tensor(_MEAN_BGR).to(rgb).view(1, 3, 1, 1)) * 255.0
        taken = []
        for block, count in enumerate(_CONVOLUTIONS, start=1):
            if block > 1:
                x = F.max_pool2d(x, 2)
            # What comes after the last output taken is never computed.
            for index in range(1, (2 if block == len(_CONVOLUTIONS) else count) + 1):
                x = F.relu(self.get_submodule(f"conv{block}_{index}")(x))
                if index == 2 and block > 1:
                    taken.append(unit_length(x))
        return taken


def unit_length(features: Tensor) -> Tensor:
    """Features [B, C, ...] divided by their length over the channels; nothing stays nothing."""
    length: Tensor = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    return features / (length + sys.float_info.epsilon)
