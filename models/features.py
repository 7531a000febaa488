"""The trunk of EfficientNet-lite0 (Tan & Le 2019, the lite variant of 2020) up to stride 16, on luma.

Batch norms are folded into the convolutions before them, so that the trunk is convolutions, ReLU6 and sums alone.
"""

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from models.errors import WeightsInvalid, WeightsMissing

STRIDE = 16
"""Sides of the pictures fed are multiples of this."""
CHANNELS = (24, 40, 112)
"""Of the features at strides 4, 8 and 16."""


class Stage(NamedTuple):
    """One row of the architecture's table: `blocks` inverted bottlenecks, the first of them with `stride`."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STEM_CHANNELS = 32
STAGES = (
    Stage(blocks=1, kernel=3, stride=1, expansion=1, channels=16),
    Stage(blocks=2, kernel=3, stride=2, expansion=6, channels=24),
    Stage(blocks=2, kernel=5, stride=2, expansion=6, channels=40),
    Stage(blocks=3, kernel=3, stride=2, expansion=6, channels=80),
    Stage(blocks=3, kernel=5, stride=1, expansion=6, channels=112),
)
TAPPED = (1, 2, 4)
"""Stages whose output is a feature: strides 4, 8 and 16."""


class SameConv(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding on even sides: at stride 2 one more row is added below and right."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            inputs, outputs, kernel, stride=stride, groups=groups, padding=0 if stride == 2 else kernel // 2
        )
        before, after = (kernel - 2) // 2, (kernel - 1) // 2
        self._outside = (before, after, before, after) if stride == 2 else None

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if self._outside is None else F.pad(x, self._outside))


class Bottleneck(nn.Module):
    """Inverted bottleneck: widen, filter each channel, narrow; added to its input where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = SameConv(inputs, wide, kernel=1) if expansion > 1 else None
        self.depthwise = SameConv(wide, wide, kernel=kernel, stride=stride, groups=wide)
        self.project = SameConv(wide, outputs, kernel=1)
        self.skips = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        wide = x if self.expand is None else F.relu6(self.expand(x))
        narrow: Tensor = self.project(F.relu6(self.depthwise(wide)))
        return x + narrow if self.skips else narrow


class FeatureTrunk(nn.Module):
    """Luma in, features of strides 4, 8 and 16 out. Never trained here."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, STEM_CHANNELS, kernel=3, stride=2)
        self.stages = nn.ModuleList()
        inputs = STEM_CHANNELS
        for stage in STAGES:
            blocks = nn.Sequential()
            for index in range(stage.blocks):
                blocks.append(
                    Bottleneck(
                        inputs,
                        stage.channels,
                        kernel=stage.kernel,
                        stride=stage.stride if index == 0 else 1,
                        expansion=stage.expansion,
                    )
                )
                inputs = stage.channels
            self.stages.append(blocks)

    def forward(self, luma: Tensor) -> list[Tensor]:
        """Features [B, C, H/s, W/s] for C, s of `CHANNELS` and 4, 8, 16, from luma [B, 1, H, W] in 0..1.

        Raises:
            ValueError: H or W is no multiple of 16.
        """
        if luma.shape[-2] % STRIDE or luma.shape[-1] % STRIDE:
            raise ValueError(f"The sides must be multiples of {STRIDE}; these are {tuple(luma.shape[-2:])}.")
        # The network's own scaling of 8-bit codes: (code - 127) / 128.
        centered = (luma * 255.0 - 127.0) / 128.0
        x = F.relu6(self.stem(centered.expand(-1, 3, -1, -1)))
        features = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in TAPPED:
                features.append(x)
        return features


def load_trunk(path: Path) -> FeatureTrunk:
    """The trunk with the weights of a safetensors file, frozen.

    Raises:
        WeightsMissing: there is no such file.
        WeightsInvalid: the file is damaged or of another network.
    """
    if not path.is_file():
        raise WeightsMissing(f"The features' weights {path.name} are not installed; install retint again.")
    trunk = FeatureTrunk()
    try:
        trunk.load_state_dict(load_file(path))
    except Exception as error:  # safetensors and torch raise their own, of no common kind
        raise WeightsInvalid(f"{path.name} does not hold the features' weights; install retint again.") from error
    # A fifth faster on a CPU.
    for parameter in trunk.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return trunk.eval().requires_grad_(False)
