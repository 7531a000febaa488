"""Color as numbers: codes of video planes, Y'CbCr, sRGB and CIE Lab (D65).

Every function is pure, computes in float32 whatever half or integer type it is fed (float64 stays, for checks of
gradients), and never clips on the way between color spaces: colors outside of sRGB keep their place, so that the way
back is exact, and gradients do not vanish there. Every gradient is finite, at black and at white too.

R'G'B' is read as sRGB (IEC 61966-2-1) when it becomes Lab, whichever matrix the video has; the matrix says only how
R'G'B' is mixed into Y'CbCr.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from models.base import Matrix


class LumaWeights(NamedTuple):
    """Shares of R', G' and B' in Y'; they sum to 1."""

    red: float
    green: float
    blue: float


_LUMA_WEIGHTS: dict[Matrix, LumaWeights] = {
    "bt601": LumaWeights(0.299, 0.587, 0.114),  # ITU-R BT.601-7, 2.5.1
    "bt709": LumaWeights(0.2126, 0.7152, 0.0722),  # ITU-R BT.709-6, 3.2
    "bt2020": LumaWeights(0.2627, 0.6780, 0.0593),  # ITU-R BT.2020-2, table 4, non-constant luminance
}

_XYZ_OF_RGB = torch.tensor(
    # Linear sRGB (the primaries and the D65 white of BT.709) to XYZ, to the digits that OpenCV, scikit-image and kornia
    # have, so that Lab is the same number everywhere. The rows sum to the white.
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]],
    dtype=torch.float64,
)
# Divided by the white, so that a gray has X = Y = Z and thus a = b = 0 exactly.
_RELATIVE_XYZ_OF_RGB: list[list[float]] = (_XYZ_OF_RGB / _XYZ_OF_RGB.sum(1, keepdim=True)).tolist()
_RGB_OF_RELATIVE_XYZ: list[list[float]] = torch.linalg.inv(torch.tensor(_RELATIVE_XYZ_OF_RGB).double()).tolist()

_SRGB_KNEE = 0.04045
_SRGB_SLOPE = 12.92
_LAB_DELTA = 6 / 29  # CIE 15:2018, 8.2.1
_LAB_SLOPE = 3 * _LAB_DELTA**2
_LAB_OFFSET = 4 / 29

_NEWTON_STEPS = 5  # 3e-6 of chroma on every color of sRGB; 4 steps leave up to 6e-4 at deep blues
_LARGEST_STEP = 25.0  # in L; keeps the first steps of colors far from gray from overshooting
_SMALLEST_SLOPE = 2e-3  # of Y' per L; a gray has 0.0089 (black) to 0.011, so only impossible colors fall below


# Codes of video planes


def dequantize_luma(codes: Tensor, *, bit_depth: int, full_range: bool) -> Tensor:
    """Y' of luma codes, float32, black at 0 and white at 1.

    `codes` are of any shape and any integer type. Codes in the foot room and head room of the limited range come out
    slightly below 0 and above 1; they are kept, so that `quantize_luma` gives the same codes back.

    Raises:
        ValueError: `bit_depth` is neither 8 nor 10.
    """
    scale, offset = _luma_code_line(bit_depth, full_range)
    return (codes.to(torch.float32) - offset) / scale


def quantize_luma(luma: Tensor, *, bit_depth: int, full_range: bool) -> Tensor:
    """Codes of Y' in 0..1, rounded: uint8 for 8 bits, uint16 for 10; inverse of `dequantize_luma`.

    Clips only to what the bits can hold: foot room and head room of the limited range stay in use.

    Raises:
        ValueError: `bit_depth` is neither 8 nor 10.
    """
    scale, offset = _luma_code_line(bit_depth, full_range)
    return _to_codes(luma, scale=scale, offset=offset, lowest=0, highest=2**bit_depth - 1, bit_depth=bit_depth)


def dequantize_chroma(codes: Tensor, *, bit_depth: int, full_range: bool) -> Tensor:
    """Cb and Cr of chroma codes, float32, nominally -0.5..0.5, gray at exactly 0; not clipped.

    Raises:
        ValueError: `bit_depth` is neither 8 nor 10.
    """
    scale, offset = _chroma_code_line(bit_depth, full_range)
    return (codes.to(torch.float32) - offset) / scale


def quantize_chroma(chroma: Tensor, *, bit_depth: int, full_range: bool) -> Tensor:
    """Codes of Cb and Cr in -0.5..0.5, rounded: uint8 for 8 bits, uint16 for 10; inverse of `dequantize_chroma`.

    Clips to the nominal range (16..240 of 8 bits where the range is limited), since no R'G'B' in 0..1 is beyond it.

    Raises:
        ValueError: `bit_depth` is neither 8 nor 10.
    """
    scale, offset = _chroma_code_line(bit_depth, full_range)
    lowest = max(0, round(offset - scale / 2))
    highest = min(2**bit_depth - 1, round(offset + scale / 2))
    return _to_codes(chroma, scale=scale, offset=offset, lowest=lowest, highest=highest, bit_depth=bit_depth)


def _luma_code_line(bit_depth: int, full_range: bool) -> tuple[float, float]:
    """Scale and offset of code = Y' * scale + offset (ITU-T H.273, 8.3, as BT.601, BT.709 and BT.2020 have it)."""
    _check_bit_depth(bit_depth)
    if full_range:
        return float(2**bit_depth - 1), 0.0
    step = 2.0 ** (bit_depth - 8)
    return 219.0 * step, 16.0 * step


def _chroma_code_line(bit_depth: int, full_range: bool) -> tuple[float, float]:
    _check_bit_depth(bit_depth)
    middle = 2.0 ** (bit_depth - 1)
    if full_range:
        return float(2**bit_depth - 1), middle
    return 224.0 * 2.0 ** (bit_depth - 8), middle


def _check_bit_depth(bit_depth: int) -> None:
    if bit_depth not in (8, 10):
        raise ValueError(f"Planes of {bit_depth} bits are not supported; expected 8 or 10. Convert the video first.")


def _to_codes(values: Tensor, *, scale: float, offset: float, lowest: int, highest: int, bit_depth: int) -> Tensor:
    # Half rounds up, as H.273 has it; torch.round would round half to even.
    codes = torch.floor(values.to(torch.float32) * scale + (offset + 0.5)).clamp(lowest, highest)
    return codes.to(torch.uint8 if bit_depth == 8 else torch.uint16)


# Y'CbCr


def luma_weights(matrix: Matrix) -> LumaWeights:
    """Shares of R', G' and B' in the Y' of `matrix`."""
    return _LUMA_WEIGHTS[matrix]


def rgb_to_ycbcr(rgb: Tensor, *, matrix: Matrix) -> Tensor:
    """Y'CbCr [..., 3, H, W] of nonlinear R'G'B' [..., 3, H, W] in 0..1: Y' in 0..1, Cb and Cr in -0.5..0.5.

    Raises:
        ValueError: `rgb` has no three channels.
    """
    weights = luma_weights(matrix)
    red, green, blue = _channels(rgb, 3, "R'G'B'")
    luma = weights.red * red + weights.green * green + weights.blue * blue
    cb = (blue - luma) / (2 * (1 - weights.blue))
    cr = (red - luma) / (2 * (1 - weights.red))
    return torch.stack((luma, cb, cr), dim=-3)


def ycbcr_to_rgb(ycbcr: Tensor, *, matrix: Matrix) -> Tensor:
    """Nonlinear R'G'B' [..., 3, H, W] of Y'CbCr [..., 3, H, W]; outside of 0..1 where the color is outside of sRGB.

    Raises:
        ValueError: `ycbcr` has no three channels.
    """
    weights = luma_weights(matrix)
    luma, cb, cr = _channels(ycbcr, 3, "Y'CbCr")
    red = luma + 2 * (1 - weights.red) * cr
    blue = luma + 2 * (1 - weights.blue) * cb
    green = (luma - weights.red * red - weights.blue * blue) / weights.green
    return torch.stack((red, green, blue), dim=-3)


# CIE Lab


def chroma_to_lab(luma: Tensor, chroma: Tensor, *, matrix: Matrix) -> Tensor:
    """Lab [3, h, w] of `luma` [h, w] with `chroma` [2, h, w]; colors outside of sRGB are brought to its edge."""
    return rgb_to_lab(ycbcr_to_rgb(torch.cat([luma[None], chroma]), matrix=matrix).clamp(0, 1))


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """CIE Lab (D65, 2 degrees) [..., 3, H, W] of sRGB [..., 3, H, W] in 0..1: L in 0..100, a and b about -110..110.

    Raises:
        ValueError: `rgb` has no three channels.
    """
    linear = [_srgb_to_linear(channel) for channel in _channels(rgb, 3, "R'G'B'")]
    x, y, z = (_lab_curve(channel) for channel in _mix(linear, _RELATIVE_XYZ_OF_RGB))
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), dim=-3)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """sRGB [..., 3, H, W] of CIE Lab (D65) [..., 3, H, W]; not clamped: outside of 0..1 where sRGB has no such color.

    Raises:
        ValueError: `lab` has no three channels.
    """
    lightness, a, b = _channels(lab, 3, "Lab")
    linear, _ = _lab_to_linear(lightness, a, b)
    return torch.stack([_linear_to_srgb(channel) for channel in linear], dim=-3)


def gray_to_l(luma: Tensor) -> Tensor:
    """L in 0..100 of the grays whose Y' is `luma` (any shape, 0..1); a gray's Y' is the same under every matrix."""
    return 116 * _lab_curve(_srgb_to_linear(_floating(luma))) - 16


def lab_to_chroma(luma: Tensor, ab: Tensor, *, matrix: Matrix) -> Tensor:
    """Cb and Cr [..., 2, H, W] of the color that has this ab and whose Y' is `luma`.

    `luma` is [..., H, W] in 0..1, `ab` [..., 2, H, W]. The L of a color is not that of the gray with its luma (blue of
    the same Y' is far lighter), so L is found by Newton's method from the gray's. Differentiable in both arguments
    with the gradient of the solution itself, at the cost of one step. Not clamped.

    Raises:
        ValueError: `ab` has no two channels, or `luma` is of another size.
    """
    a, b = _channels(ab, 2, "ab")
    luma = _floating(luma)
    if luma.shape != a.shape:
        raise ValueError(
            f"The luma is {tuple(luma.shape)} and the ab {tuple(ab.shape)}; expected [..., H, W] and [..., 2, H, W] "
            "of one size. Resize one of them first."
        )
    weights = luma_weights(matrix)
    with torch.no_grad():
        lightness = gray_to_l(luma)
        for _ in range(_NEWTON_STEPS - 1):
            lightness = _newton_step(lightness, luma, a, b, weights)
    # The last step alone carries the gradient: by the implicit function theorem it is that of the exact solution.
    lightness = _newton_step(lightness, luma, a, b, weights)
    linear, _ = _lab_to_linear(lightness, a, b)
    rgb = torch.stack([_linear_to_srgb(channel) for channel in linear], dim=-3)
    return rgb_to_ycbcr(rgb, matrix=matrix)[..., 1:, :, :]


def _newton_step(lightness: Tensor, luma: Tensor, a: Tensor, b: Tensor, weights: LumaWeights) -> Tensor:
    """L a step nearer to where Y' is `luma`."""
    linear, slopes = _lab_to_linear(lightness, a, b)
    found = torch.zeros_like(luma)
    slope = torch.zeros_like(luma)
    for weight, channel, channel_slope in zip(weights, linear, slopes, strict=True):
        nonlinear = _linear_to_srgb(channel)
        found = found + weight * nonlinear
        with torch.no_grad():
            slope = slope + weight * channel_slope * _linear_to_srgb_slope(channel, nonlinear)
    step = (luma - found) / slope.clamp(min=_SMALLEST_SLOPE)
    return lightness + step.clamp(-_LARGEST_STEP, _LARGEST_STEP)


def _lab_to_linear(lightness: Tensor, a: Tensor, b: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Linear R, G, B, and the slope of each by L."""
    y = (lightness + 16) / 116
    cubes = (y + a / 500, y, y - b / 200)
    linear = _mix([_lab_curve_inverse(cube) for cube in cubes], _RGB_OF_RELATIVE_XYZ)
    with torch.no_grad():
        slopes = [torch.where(cube > _LAB_DELTA, 3 * cube * cube, _LAB_SLOPE) / 116 for cube in cubes]
        return linear, _mix(slopes, _RGB_OF_RELATIVE_XYZ)


def _srgb_to_linear(value: Tensor) -> Tensor:
    # The unused branch of torch.where must have a finite gradient too, hence the clamps.
    power = ((value.clamp(min=_SRGB_KNEE) + 0.055) / 1.055) ** 2.4
    return torch.where(value > _SRGB_KNEE, power, value / _SRGB_SLOPE)


def _linear_to_srgb(value: Tensor) -> Tensor:
    knee = _SRGB_KNEE / _SRGB_SLOPE
    power = 1.055 * value.clamp(min=knee) ** (1 / 2.4) - 0.055
    return torch.where(value > knee, power, value * _SRGB_SLOPE)


def _linear_to_srgb_slope(value: Tensor, nonlinear: Tensor) -> Tensor:
    """Slope of `_linear_to_srgb` at `value`, from its result, which saves a power."""
    knee = _SRGB_KNEE / _SRGB_SLOPE
    return torch.where(value > knee, (nonlinear + 0.055) / (2.4 * value.clamp(min=knee)), _SRGB_SLOPE)


def _lab_curve(value: Tensor) -> Tensor:
    threshold = _LAB_DELTA**3
    root = value.clamp(min=threshold) ** (1 / 3)
    return torch.where(value > threshold, root, value / _LAB_SLOPE + _LAB_OFFSET)


def _lab_curve_inverse(value: Tensor) -> Tensor:
    return torch.where(value > _LAB_DELTA, value * value * value, _LAB_SLOPE * (value - _LAB_OFFSET))


def _mix(channels: list[Tensor], matrix: list[list[float]]) -> list[Tensor]:
    """The 3x3 matrix times the channels, in plain sums: a matrix product would run in half precision in autocast."""
    first, second, third = channels
    return [row[0] * first + row[1] * second + row[2] * third for row in matrix]


def _channels(values: Tensor, count: int, name: str) -> tuple[Tensor, ...]:
    if values.ndim < 3 or values.shape[-3] != count:
        raise ValueError(f"{name} has the shape {tuple(values.shape)}; expected [..., {count}, H, W].")
    return _floating(values).unbind(-3)


def _floating(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.to(torch.float32)
