"""Pictures as the default model sees them: luma at its sizes, and features that no tuning changes."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.base import Matrix, Reference
from models.color import rgb_to_ycbcr
from models.features import STRIDE, FeatureTrunk
from models.motion import Luma8

Size = tuple[int, int]
"""Height and width."""
FEATURE_SIDE = 320
"""Short side at which features are taken: 480 would give 0.2 dB to matching for three times the time."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame and its features, which no weight that is tuned changes."""

    luma: Tensor
    """[1, 1, H, W]."""
    codes: Luma8
    """[H, W] in 0..255: the same, for the flow from the reference."""
    half: Luma8
    """[h, w]: at chroma's resolution, for the other flows."""
    features: list[Tensor]

    @property
    def low(self) -> Tensor:
        """[1, 1, h, w]: luma at chroma's resolution."""
        return F.avg_pool2d(self.luma, 2)


@dataclass(frozen=True, slots=True)
class ColoredFrame:
    frame: Frame
    chroma: Tensor
    """[1, 2, h, w]."""
    trust: Tensor
    """[1, 1, h, w] in 0..1."""

    @property
    def planes(self) -> Tensor:
        """[1, 4, h, w]: chroma, trust, luma."""
        return torch.cat([self.chroma, self.trust, self.frame.low], 1)

    @property
    def size(self) -> Size:
        """Of chroma."""
        return (self.chroma.shape[-2], self.chroma.shape[-1])

    @property
    def grid(self) -> Size:
        """Rows and columns of the cells that are matched."""
        cells = self.frame.features[1]
        return (cells.shape[-2], cells.shape[-1])


class FrameMaker:
    """Takes the features of pictures."""

    def __init__(self, trunk: FeatureTrunk, *, device: torch.device) -> None:
        self._trunk = trunk
        self._device = device

    def frame(self, luma: Tensor) -> Frame:
        """The frame of luma [H, W], with its features."""
        planes = luma.to(self._device)[None, None]
        return Frame(planes, codes=eight_bit(luma), half=half_luma(luma), features=self.features(planes))

    def picture(self, reference: Reference, *, matrix: Matrix) -> ColoredFrame:
        """A reference, which is trusted everywhere."""
        chroma = F.avg_pool2d(rgb_to_ycbcr(reference.rgb.to(self._device), matrix=matrix)[None, 1:], 2)
        return ColoredFrame(self.frame(reference.luma), chroma, trust=torch.ones_like(chroma[:, :1]))

    @torch.no_grad()
    def features(self, luma: Tensor) -> list[Tensor]:
        """Of luma [1, 1, H, W], at strides 4, 8 and 16 of `feature_size`."""
        height, width = feature_size(luma.shape[-2], luma.shape[-1])
        resized = F.interpolate(luma, size=(height, width), mode="bilinear", antialias=True, align_corners=False)
        features: list[Tensor] = self._trunk(resized.contiguous(memory_format=torch.channels_last))
        return features


def feature_size(height: int, width: int) -> tuple[int, int]:
    """The size at which features are taken: multiples of their stride, and no more than `FEATURE_SIDE` lines."""
    scale = min(1.0, FEATURE_SIDE / min(height, width))
    rows, columns = (max(2, round(side * scale / STRIDE)) * STRIDE for side in (height, width))
    return rows, columns


def half_luma(luma: Tensor) -> Luma8:
    """[H, W] in 0..1 to [H/2, W/2] uint8: chroma's resolution."""
    return eight_bit(F.avg_pool2d(luma[None], 2)[0])


def eight_bit(luma: Tensor) -> Luma8:
    """[h, w] in 0..1 to uint8."""
    return np.asarray((luma * 255.0).round().clamp(0, 255).to(torch.uint8).cpu().numpy(), np.uint8)


def unit_luma(codes: Luma8) -> Tensor:
    """[h, w] uint8 to float32 in 0..1."""
    return torch.from_numpy(codes).to(torch.float32) / 255.0
