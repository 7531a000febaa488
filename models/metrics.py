"""How near two 8-bit frames are, and how steady the colors of a clip.

Frames are uint8 R'G'B' [3, H, W] in 0..255 throughout, at the size that is judged.
"""

import math
from collections import deque
from collections.abc import Iterable

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from models.color import rgb_to_lab

_PEAK = 255.0
_CDC_DILATIONS = (1, 2, 4)
_BINS = 256


def rgb_psnr(a: Tensor, b: Tensor) -> float:
    """PSNR in dB over all three channels, peak 255; infinite where the frames are equal.

    Raises:
        ValueError: the frames are not uint8 [3, H, W] of one size.
    """
    _check_pair(a, b)
    return _psnr(a.double() - b.double())


def ssim(a: Tensor, b: Tensor) -> float:
    """Structural similarity, 1 where the frames are equal: RGB, range 255, Gaussian window of sigma 1.5 (11x11).

    Wang et al. 2004, as torchmetrics computes it, mean over the channels. Sides must be 11 pixels at least.

    Raises:
        ValueError: the frames are not uint8 [3, H, W] of one size, or too small for the window.
    """
    _check_pair(a, b)
    if min(a.shape[-2:]) < 11:
        raise ValueError(f"Frames of {a.shape[-1]}x{a.shape[-2]} are too small for SSIM; both sides need 11 pixels.")
    similarity = structural_similarity_index_measure(a.float()[None], b.float()[None], data_range=_PEAK)
    assert isinstance(similarity, Tensor)  # a tuple only where the full image is asked for
    return float(similarity)


def ab_psnr(a: Tensor, b: Tensor) -> float:
    """PSNR in dB of a and b of CIE Lab (D65), peak 255; infinite where the colors are equal.

    The peak is that of ab stored as 8 bits, -128..127, so figures compare with those of 8-bit Lab pictures. It is
    twice what sRGB reaches: ab figures run higher than RGB ones and compare only among themselves.

    Raises:
        ValueError: the frames are not uint8 [3, H, W] of one size.
    """
    _check_pair(a, b)
    return _psnr((_lab(a) - _lab(b))[1:].double())


def ciede2000(a: Tensor, b: Tensor) -> float:
    """Mean color difference over the pixels, CIEDE2000 with all weights 1; 1 is about what an eye just notices.

    Raises:
        ValueError: the frames are not uint8 [3, H, W] of one size.
    """
    _check_pair(a, b)
    return float(ciede2000_of_lab(_lab(a), _lab(b)).double().mean())


def ciede2000_of_lab(a: Tensor, b: Tensor) -> Tensor:
    """CIEDE2000 [..., H, W] of Lab colors [..., 3, H, W], in the precision of the input.

    Sharma, Wu, Dalal 2005, "The CIEDE2000 color-difference formula: implementation notes", equations 2 to 22.
    """
    l1, a1, b1 = a.unbind(-3)
    l2, a2, b2 = b.unbind(-3)
    mean_chroma = (torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2
    stretch = 1 + 0.5 * (1 - _seventh_power_share(mean_chroma))
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = torch.hypot(a1, b1), torch.hypot(a2, b2)
    h1, h2 = _hue(a1, b1), _hue(a2, b2)
    gray = c1 * c2 == 0

    hue_difference = h2 - h1
    hue_difference = torch.where(hue_difference > math.pi, hue_difference - 2 * math.pi, hue_difference)
    hue_difference = torch.where(hue_difference < -math.pi, hue_difference + 2 * math.pi, hue_difference)
    hue_difference = torch.where(gray, 0.0, hue_difference)
    d_l, d_c = l2 - l1, c2 - c1
    d_h = 2 * torch.sqrt(c1 * c2) * torch.sin(hue_difference / 2)

    hue_sum = h1 + h2
    far = (h1 - h2).abs() > math.pi
    turned = torch.where(hue_sum < 2 * math.pi, hue_sum + 2 * math.pi, hue_sum - 2 * math.pi)
    hue = torch.where(gray, hue_sum, torch.where(far, turned, hue_sum) / 2)
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2

    t = (
        1
        - 0.17 * torch.cos(hue - math.radians(30))
        + 0.24 * torch.cos(2 * hue)
        + 0.32 * torch.cos(3 * hue + math.radians(6))
        - 0.20 * torch.cos(4 * hue - math.radians(63))
    )
    middle = (lightness - 50) ** 2
    s_l = 1 + 0.015 * middle / torch.sqrt(20 + middle)
    s_c = 1 + 0.045 * chroma
    s_h = 1 + 0.015 * chroma * t
    turn = math.radians(30) * torch.exp(-(((torch.rad2deg(hue) - 275) / 25) ** 2))
    r_t = -torch.sin(2 * turn) * 2 * _seventh_power_share(chroma)
    part_l, part_c, part_h = d_l / s_l, d_c / s_c, d_h / s_h
    square = part_l**2 + part_c**2 + part_h**2 + r_t * part_c * part_h
    return torch.sqrt(square.clamp(min=0))  # rounding can leave a square of equal colors just below 0


def color_distribution_consistency(frames: Iterable[Tensor]) -> float:
    """CDC of one shot: how much its color histograms change from frame to frame; 0 is steady, natural motion is not 0.

    Mean Jensen-Shannon divergence (natural logarithm) of the 256-bin histograms of frames 1, 2 and 4 apart, averaged
    over R, G and B and over the pairs of one distance, then over the distances with weight 1/3 each (Liu et al. 2021,
    "Temporally consistent video colorization"). Holds the histograms of five frames and no frame. A distance that the
    shot is too short for counts as 0, and a cut inside of the frames inflates the figure, so feed one shot.

    Raises:
        ValueError: a frame is not uint8 [3, H, W], or there is none.
    """
    recent: deque[Tensor] = deque(maxlen=max(_CDC_DILATIONS))
    sums = dict.fromkeys(_CDC_DILATIONS, 0.0)
    pairs = dict.fromkeys(_CDC_DILATIONS, 0)
    for frame in frames:
        histogram = _channel_histograms(frame)
        for dilation in _CDC_DILATIONS:
            if len(recent) >= dilation:
                sums[dilation] += _jensen_shannon(recent[-dilation], histogram)
                pairs[dilation] += 1
        recent.append(histogram)
    if not recent:
        raise ValueError("There is no frame to measure color consistency on; expected at least one.")
    return sum(sums[d] / max(pairs[d], 1) for d in _CDC_DILATIONS) / len(_CDC_DILATIONS)


def colorfulness(frame: Tensor) -> float:
    """How colorful a frame looks: 0 is gray, 15 slightly, 33 moderately, 59 quite, 109 extremely colorful.

    Hasler and Suesstrunk 2003, "Measuring colourfulness in natural images". A gray picture that went through a JPEG
    file stays below about 3; so does one with a single small spot of color.

    Raises:
        ValueError: the frame is not uint8 [3, H, W].
    """
    _check_frame(frame)
    red, green, blue = frame.double()
    red_green = red - green
    yellow_blue = (red + green) / 2 - blue
    spread = math.hypot(float(red_green.std(correction=0)), float(yellow_blue.std(correction=0)))
    return spread + 0.3 * math.hypot(float(red_green.mean()), float(yellow_blue.mean()))


def _psnr(difference: Tensor) -> float:
    error = float(difference.square().mean())
    return math.inf if error == 0 else 10 * math.log10(_PEAK**2 / error)


def _lab(frame: Tensor) -> Tensor:
    return rgb_to_lab(frame.float() / _PEAK)


def _hue(a: Tensor, b: Tensor) -> Tensor:
    """Angle in 0..2 pi; 0 for grays."""
    angle = torch.atan2(b, a)
    return torch.where(angle < 0, angle + 2 * math.pi, angle)


def _seventh_power_share(chroma: Tensor) -> Tensor:
    power = chroma**7
    return torch.sqrt(power / (power + 25.0**7))


def _channel_histograms(frame: Tensor) -> Tensor:
    """[3, 256] float64, each row sums to 1."""
    _check_frame(frame)
    rows = [torch.bincount(channel.reshape(-1), minlength=_BINS) for channel in frame]
    return torch.stack(rows).double() / frame[0].numel()


def _jensen_shannon(p: Tensor, q: Tensor) -> float:
    """Divergence in nats of the rows of two [3, 256], mean over the rows."""
    middle = (p + q) / 2
    # xlogy is 0 where p is 0; the middle is 0 only where both are.
    safe = middle.clamp(min=torch.finfo(middle.dtype).tiny)
    total = torch.xlogy(p, p / safe) + torch.xlogy(q, q / safe)
    return float(total.sum(1).mean()) / 2


def _check_pair(a: Tensor, b: Tensor) -> None:
    _check_frame(a)
    _check_frame(b)
    if a.shape != b.shape:
        raise ValueError(f"The frames are {tuple(a.shape)} and {tuple(b.shape)}; expected one size. Resize one first.")


def _check_frame(frame: Tensor) -> None:
    if frame.dtype != torch.uint8 or frame.ndim != 3 or frame.shape[0] != 3 or frame.numel() == 0:
        raise ValueError(f"The frame is {frame.dtype} {tuple(frame.shape)}; expected uint8 [3, H, W] in 0..255.")
