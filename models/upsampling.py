"""Planes from one size to another: luma down to the network, chroma up to the video, guided by the luma.

Every grid covers the same picture, edge to edge: sample i of n stands at (i + 0.5) / n. Chroma made here is thus sited
in the CENTER of its luma samples, as in JPEG and MPEG-1. MPEG-2, H.264 and HEVC with no other tag site 4:2:0 and 4:2:2
chroma on the LEFT: pass the finished plane through `site_left` for those.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Size = tuple[int, int]
"""Height and width in samples."""

_REGULARIZATION = 1e-4  # of the luma's variance: contrast of 0.01 of full range and less says nothing about color
_TRUST_SQUARINGS = 4  # the 16th power of R squared; chosen by measuring, see `upsample_chroma`
_SHARPENING = 0.07  # an area mean is its center value plus 1/24 of the second difference; steeper edges ask for more
_FAINTEST = 1e-10  # product of variances below which nothing correlates


def resize_luma(luma: Tensor, size: Size) -> Tensor:
    """Luma [H, W] at `size`: area means when shrinking, cubic when enlarging, never beyond the values of the input.

    Raises:
        ValueError: `luma` is no plane, or `size` has a side below 1.
    """
    if luma.ndim != 2:
        raise ValueError(f"The luma has the shape {tuple(luma.shape)}; expected [H, W].")
    return resize_chroma(luma[None], size)[0]


def resize_chroma(chroma: Tensor, size: Size) -> Tensor:
    """Planes [C, h, w] at `size`, with no guide: area means when shrinking, cubic when enlarging.

    Each side is treated by itself. Never beyond the lowest and highest value of each plane.

    Raises:
        ValueError: `chroma` is not [C, h, w], or `size` has a side below 1.
    """
    if chroma.ndim != 3 or chroma.numel() == 0:
        raise ValueError(f"The planes have the shape {tuple(chroma.shape)}; expected [C, h, w].")
    if min(size) < 1:
        raise ValueError(f"The size {size} has no samples; expected height and width of at least 1.")
    planes = _shrink(chroma.to(torch.float32), size)
    if tuple(planes.shape[-2:]) == tuple(size):
        return planes
    lowest, highest = planes.amin((-2, -1), keepdim=True), planes.amax((-2, -1), keepdim=True)
    return _enlarge(planes, size).clamp(lowest, highest)


def upsample_chroma(chroma: Tensor, *, luma_low: Tensor, luma_high: Tensor) -> Tensor:
    """Chroma [2, h, w] at the size of `luma_high` [H, W], with edges where that luma has them.

    `luma_low` [h, w] is the luma that the chroma was made for, `resize_luma(luma_high, (h, w))`.

    Cubic chroma, plus the luma detail that `luma_low` lacks times the local slope of chroma by luma: the linear model
    of the fast guided filter (He and Sun 2015, 3x3 windows at low size), without its blur. The slope is trusted by
    the 16th power of the local correlation (R squared), for in natural pictures most luma detail is shading and has no
    color of its own: with full trust, ab is 3 to 5 dB worse than bicubic there. The result stays within the chroma of
    the 4x4 low samples around each pixel.

    Where `luma_high` is not larger than the chroma there is nothing to guide, and the chroma is resized plainly.

    Raises:
        ValueError: the planes do not fit together.
    """
    _check_guide(chroma, luma_low)
    if luma_high.ndim != 2 or luma_high.numel() == 0:
        raise ValueError(f"The high luma has the shape {tuple(luma_high.shape)}; expected [H, W].")
    height, width = luma_high.shape
    low_height, low_width = chroma.shape[-2:]
    if height <= low_height and width <= low_width:
        return resize_chroma(chroma, (height, width))
    # A side that shrinks while the other grows is rare (anamorphic video); it is brought to size first.
    start = (min(height, low_height), min(width, low_width))
    color, low = resize_chroma(chroma, start), resize_luma(luma_low, start)[None]
    size = (height, width)
    lowest, highest = _local_range(color)
    enlarged = _enlarge(torch.cat((color, low)), size)
    guide = _linear(torch.cat((_slope(color, low), lowest, highest)), size)
    detail = luma_high.to(torch.float32) - enlarged[2]
    result = torch.addcmul(enlarged[:2], guide[:2], detail)
    return torch.minimum(torch.maximum(result, guide[2:4]), guide[4:6])


def site_left(chroma: Tensor) -> Tensor:
    """Chroma [2, h, w] of half the luma's width, moved from center siting to left siting: a quarter sample leftward.

    Cubic (Catmull-Rom), held between the two samples beside the new position, so that no color overshoots.

    Raises:
        ValueError: `chroma` is not [C, h, w].
    """
    if chroma.ndim != 3 or chroma.numel() == 0:
        raise ValueError(f"The chroma has the shape {tuple(chroma.shape)}; expected [2, h, w].")
    padded = F.pad(chroma, (2, 1, 0, 0), mode="replicate")
    far, left, right, next_right = (padded[..., i : i + chroma.shape[-1]] for i in range(4))
    # Catmull-Rom at three quarters of the way from `left` to `right`.
    moved = -3 / 128 * far + 29 / 128 * left + 111 / 128 * right - 9 / 128 * next_right
    return torch.minimum(torch.maximum(moved, torch.minimum(left, right)), torch.maximum(left, right))


def _slope(chroma: Tensor, luma: Tensor) -> Tensor:
    """Trusted slope [2, h, w] of chroma [2, h, w] by luma [1, h, w] in windows of 3x3."""
    means = _window_mean(torch.cat((chroma, luma, chroma * chroma, luma * luma, chroma * luma)))
    mean_chroma, mean_luma = means[:2], means[2:3]
    chroma_variance = (means[3:5] - mean_chroma.square()).clamp(min=0)
    luma_variance = (means[5:6] - mean_luma.square()).clamp(min=0)
    covariance = means[6:8] - mean_chroma * mean_luma
    trust = (covariance.square() / (chroma_variance * luma_variance + _FAINTEST)).clamp(max=1)
    for _ in range(_TRUST_SQUARINGS):
        trust = trust.square()
    return trust * covariance / (luma_variance + _REGULARIZATION)


def _local_range(planes: Tensor) -> tuple[Tensor, Tensor]:
    """Lowest and highest value in windows of 3x3."""
    padded = F.pad(planes, (1, 1, 1, 1), mode="replicate")
    lowest = highest = padded
    for dim in (-2, -1):  # side by side, in slices: ten times as fast as max pooling on a CPU
        lowest = _three_along(torch.minimum, lowest, dim)
        highest = _three_along(torch.maximum, highest, dim)
    return lowest, highest


def _three_along(choose: Callable[[Tensor, Tensor], Tensor], planes: Tensor, dim: int) -> Tensor:
    count = planes.shape[dim] - 2
    first, second, third = (planes.narrow(dim, start, count) for start in range(3))
    return choose(choose(first, second), third)


def _window_mean(planes: Tensor) -> Tensor:
    return F.avg_pool2d(planes, 3, stride=1, padding=1, count_include_pad=False)


def _enlarge(planes: Tensor, size: Size) -> Tensor:
    """Cubic, from samples that are area means: the blur of the mean is taken back first."""
    sharp = _sharpen(_sharpen(planes).mT).mT
    # Enlarging needs no anti-aliasing; the flag picks Catmull-Rom, which takes half the time.
    return F.interpolate(sharp[None], size=size, mode="bicubic", align_corners=False, antialias=True)[0]


def _sharpen(planes: Tensor) -> Tensor:
    """Planes [C, h, w] sharpened from left to right."""
    padded = F.pad(planes, (1, 1, 0, 0), mode="replicate")
    return (1 + 2 * _SHARPENING) * planes - _SHARPENING * (padded[..., :-2] + padded[..., 2:])


def _linear(planes: Tensor, size: Size) -> Tensor:
    return F.interpolate(planes[None], size=size, mode="bilinear", align_corners=False)[0]


def _shrink(planes: Tensor, size: Size) -> Tensor:
    """Area means along each side that is to be smaller; the other sides stay."""
    height, width = planes.shape[-2:]
    if size[0] < height:
        planes = _area_weights(height, size[0], like=planes) @ planes
    if size[1] < width:
        planes = planes @ _area_weights(width, size[1], like=planes).T
    return planes


def _area_weights(count: int, fewer: int, *, like: Tensor) -> Tensor:
    """[fewer, count]: share of each input sample in each output sample; rows sum to 1.

    Exact for every ratio. `interpolate(mode="area")` rounds its windows to whole samples, which moves the picture back
    and forth by a quarter sample at a ratio of 1.5.
    """
    ratio = count / fewer
    starts = torch.arange(fewer, device=like.device, dtype=torch.float64)[:, None] * ratio
    samples = torch.arange(count, device=like.device, dtype=torch.float64)[None]
    overlap = torch.minimum(starts + ratio, samples + 1) - torch.maximum(starts, samples)
    return (overlap.clamp(min=0) / ratio).to(like.dtype)


def _check_guide(chroma: Tensor, luma_low: Tensor) -> None:
    if chroma.ndim != 3 or chroma.shape[0] != 2 or chroma.numel() == 0:
        raise ValueError(f"The chroma has the shape {tuple(chroma.shape)}; expected [2, h, w].")
    if luma_low.shape != chroma.shape[-2:]:
        raise ValueError(
            f"The low luma is {tuple(luma_low.shape)} and the chroma {tuple(chroma.shape)}; expected [h, w] and "
            "[2, h, w] of one size. Resize the luma to the chroma first."
        )
