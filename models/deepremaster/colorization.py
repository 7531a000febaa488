"""Network C: colors a block of monochrome frames by looking at references."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.deepremaster.attention import SourceReferenceAttention
from models.deepremaster.blocks import HALVE, INPUT_MEAN, TempConv, Upsample, double_size, temporal_conv
from models.width import scaled

REFERENCE_MEAN = 0.48
"""Subtracted from references before the first layer (METHOD: the published network's own constant)."""


@dataclass(frozen=True, slots=True)
class ReferenceFeatures:
    """What C sees in the references; computed once, good for every block of a shot."""

    fine: Tensor
    """[B, C, N, h, w] at 1/8 of the references' size, rounded up."""
    coarse: Tensor
    """[B, C, N, h, w] at 1/16."""


@dataclass(frozen=True, slots=True)
class Colored:
    """A block as C colors it."""

    ab: Tensor
    """[B, 2, T, H, W] in 0..1: (ab + 128) / 255."""
    focus: Tensor | None
    """[B, T, H/8, W/8] in 0..1, where asked for: how narrowly each position looked at the references."""


class UpsampleConcat(nn.Module):
    """Twice the height and width, finer features beside it, then one TempConv over both."""

    def __init__(self, inputs: int, beside: int, outputs: int) -> None:
        super().__init__()
        self.conv3d = temporal_conv(inputs + beside, outputs)

    def forward(self, x: Tensor, fine: Tensor) -> Tensor:
        mixed: Tensor = self.conv3d(torch.cat([double_size(x), fine], dim=1))
        return mixed


class ColorizationNetwork(nn.Module):
    """C of Iizuka and Simo-Serra 2019 (METHOD, section 3); the layers' names are the published checkpoint's."""

    def __init__(self, *, width: float = 1.0) -> None:
        """`width` scales every hidden channel count; 1 is the published network."""
        super().__init__()
        c8, c16, c32, c64, c128, c256, c512 = (scaled(count, width=width) for count in (8, 16, 32, 64, 128, 256, 512))
        self.down1 = nn.Sequential(
            nn.ReplicationPad3d((1, 1, 1, 1, 0, 0)),
            TempConv(1, c64, stride=HALVE, padding=(0, 0, 0)),
            TempConv(c64, c128),
            TempConv(c128, c128),
            TempConv(c128, c256, stride=HALVE),
            TempConv(c256, c256),
            TempConv(c256, c256),
            TempConv(c256, c512, stride=HALVE),
            TempConv(c512, c512),
            TempConv(c512, c512),
        )
        self.flat = nn.Sequential(TempConv(c512, c512), TempConv(c512, c512))
        self.down2 = nn.Sequential(TempConv(c512, c512, stride=HALVE), TempConv(c512, c512))
        self.stattn1 = SourceReferenceAttention(c512)
        self.stattn2 = SourceReferenceAttention(c512)
        self.selfattn1 = SourceReferenceAttention(c512)
        self.conv1 = TempConv(c512, c512)
        self.up1 = UpsampleConcat(c512, c512, c512)
        self.selfattn2 = SourceReferenceAttention(c512)
        self.conv2 = temporal_conv(c512, c256)
        self.up2 = nn.Sequential(Upsample(c256, c128), temporal_conv(c128, c64))
        self.up3 = nn.Sequential(Upsample(c64, c32), temporal_conv(c32, c16))
        self.up4 = nn.Sequential(Upsample(c16, c8), nn.Conv3d(c8, 2, 3, padding=1))
        self.reffeatnet1 = nn.Sequential(
            TempConv(3, c64, stride=HALVE),
            TempConv(c64, c128),
            TempConv(c128, c128),
            TempConv(c128, c256, stride=HALVE),
            TempConv(c256, c256),
            TempConv(c256, c256),
            TempConv(c256, c512, stride=HALVE),
            TempConv(c512, c512),
            TempConv(c512, c512),
        )
        self.reffeatnet2 = nn.Sequential(TempConv(c512, c512, stride=HALVE), TempConv(c512, c512), TempConv(c512, c512))

    def look_at(self, references: Tensor) -> ReferenceFeatures:
        """Features of `references` [B, N, 3, H', W'], R'G'B' in 0..1, of any size."""
        fine = self.reffeatnet1(references.transpose(1, 2) - REFERENCE_MEAN)
        return ReferenceFeatures(fine=fine, coarse=self.reffeatnet2(fine))

    def color(self, x: Tensor, features: ReferenceFeatures | None, *, measure_focus: bool = False) -> Colored:
        """Color `x` [B, 1, T, H, W], R's output in 0..1; H and W multiples of 16, any T.

        Without features the attentions to references are skipped.

        Raises:
            ValueError: the size is no multiple of 16, which four halvings and four doublings do not give back.
        """
        if x.shape[-2] % 16 or x.shape[-1] % 16:
            raise ValueError(f"Frames of {x.shape[-1]}x{x.shape[-2]} do not fit network C; feed multiples of 16.")
        eighth = self.down1(x - INPUT_MEAN)
        focus = None
        if features is not None:
            if measure_focus:
                focus = self.stattn1.focus(eighth, features.fine)
            eighth = self.stattn1(eighth, features.fine)
        sixteenth = self.down2(eighth)
        if features is not None:
            sixteenth = self.stattn2(sixteenth, features.coarse)
        sixteenth = self.conv1(sixteenth)
        sixteenth = self.selfattn1(sixteenth, sixteenth)
        mixed = self.up1(sixteenth, self.flat(eighth))
        mixed = self.conv2(self.selfattn2(mixed, mixed))
        return Colored(ab=torch.sigmoid(self.up4(self.up3(self.up2(mixed)))), focus=focus)

    def forward(self, x: Tensor, references: Tensor | None = None) -> Tensor:
        """(ab + 128) / 255 [B, 2, T, H, W] of `x` [B, 1, T, H, W] and `references` [B, N, 3, H', W'], both in 0..1."""
        return self.color(x, None if references is None else self.look_at(references)).ab
