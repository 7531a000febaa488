"""Network R: restores the luma of a block of monochrome frames."""

import torch
from torch import Tensor, nn

from models.deepremaster.blocks import HALVE, INPUT_MEAN, TempConv, Upsample, temporal_conv
from models.width import scaled


class RestorationNetwork(nn.Module):
    """R of Iizuka and Simo-Serra 2019 (METHOD, section 3); the layers' names are the published checkpoint's."""

    def __init__(self, *, width: float = 1.0) -> None:
        """`width` scales every hidden channel count; 1 is the published network."""
        super().__init__()
        c16, c64, c128, c256 = (scaled(count, width=width) for count in (16, 64, 128, 256))
        self.layers = nn.Sequential(
            nn.ReplicationPad3d(1),
            TempConv(1, c64, kernel=(3, 3, 3), stride=HALVE, padding=(0, 0, 0)),
            temporal_conv(c64, c128),
            temporal_conv(c128, c128),
            temporal_conv(c128, c256, stride=HALVE),
            temporal_conv(c256, c256),
            temporal_conv(c256, c256),
            temporal_conv(c256, c256),
            temporal_conv(c256, c256),
            Upsample(c256, c128),
            temporal_conv(c128, c64),
            temporal_conv(c64, c64),
            Upsample(c64, c16),
            nn.Conv3d(c16, 1, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, 1, T, H, W] in 0..1 to the same shape and range; H and W multiples of 4, any T.

        Raises:
            ValueError: the size is no multiple of 4, which two halvings and two doublings do not give back.
        """
        if x.shape[-2] % 4 or x.shape[-1] % 4:
            raise ValueError(f"Frames of {x.shape[-1]}x{x.shape[-2]} do not fit network R; feed multiples of 4.")
        return (x + torch.tanh(self.layers(x - INPUT_MEAN))).clamp(0.0, 1.0)
