"""Metrics against published values and against what they must do."""

import math
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.metrics import (
    ab_psnr,
    ciede2000,
    ciede2000_of_lab,
    color_distribution_consistency,
    colorfulness,
    rgb_psnr,
    ssim,
)

# Sharma, Wu, Dalal 2005, table 1: two Lab colors and their difference to four digits.
SHARMA_PAIRS = [
    ((50.0000, 2.6772, -79.7751), (50.0000, 0.0000, -82.7485), 2.0425),
    ((50.0000, 3.1571, -77.2803), (50.0000, 0.0000, -82.7485), 2.8615),
    ((50.0000, 2.8361, -74.0200), (50.0000, 0.0000, -82.7485), 3.4412),
    ((50.0000, -1.3802, -84.2814), (50.0000, 0.0000, -82.7485), 1.0000),
    ((50.0000, -1.1848, -84.8006), (50.0000, 0.0000, -82.7485), 1.0000),
    ((50.0000, -0.9009, -85.5211), (50.0000, 0.0000, -82.7485), 1.0000),
    ((50.0000, 0.0000, 0.0000), (50.0000, -1.0000, 2.0000), 2.3669),
    ((50.0000, -1.0000, 2.0000), (50.0000, 0.0000, 0.0000), 2.3669),
    ((50.0000, 2.4900, -0.0010), (50.0000, -2.4900, 0.0009), 7.1792),
    ((50.0000, 2.4900, -0.0010), (50.0000, -2.4900, 0.0010), 7.1792),
    ((50.0000, 2.4900, -0.0010), (50.0000, -2.4900, 0.0011), 7.2195),
    ((50.0000, 2.4900, -0.0010), (50.0000, -2.4900, 0.0012), 7.2195),
    ((50.0000, -0.0010, 2.4900), (50.0000, 0.0009, -2.4900), 4.8045),
    ((50.0000, -0.0010, 2.4900), (50.0000, 0.0010, -2.4900), 4.8045),
    ((50.0000, -0.0010, 2.4900), (50.0000, 0.0011, -2.4900), 4.7461),
    ((50.0000, 2.5000, 0.0000), (50.0000, 0.0000, -2.5000), 4.3065),
    ((50.0000, 2.5000, 0.0000), (73.0000, 25.0000, -18.0000), 27.1492),
    ((50.0000, 2.5000, 0.0000), (61.0000, -5.0000, 29.0000), 22.8977),
    ((50.0000, 2.5000, 0.0000), (56.0000, -27.0000, -3.0000), 31.9030),
    ((50.0000, 2.5000, 0.0000), (58.0000, 24.0000, 15.0000), 19.4535),
    ((50.0000, 2.5000, 0.0000), (50.0000, 3.1736, 0.5854), 1.0000),
    ((50.0000, 2.5000, 0.0000), (50.0000, 3.2972, 0.0000), 1.0000),
    ((50.0000, 2.5000, 0.0000), (50.0000, 1.8634, 0.5757), 1.0000),
    ((50.0000, 2.5000, 0.0000), (50.0000, 3.2592, 0.3350), 1.0000),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((63.0109, -31.0961, -5.8663), (62.8187, -29.7946, -4.0864), 1.2630),
    ((61.2901, 3.7196, -5.3901), (61.4292, 2.2480, -4.9620), 1.8731),
    ((35.0831, -44.1164, 3.7933), (35.0232, -40.0716, 1.5901), 1.8645),
    ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ((36.4612, 47.8580, 18.3852), (36.2715, 50.5065, 21.2231), 1.4146),
    ((90.8027, -2.0831, 1.4410), (91.1528, -1.6435, 0.0447), 1.4441),
    ((90.9257, -0.5406, -0.9208), (88.6381, -0.8985, -0.7239), 1.5381),
    ((6.7747, -0.2908, -2.4247), (5.8714, -0.0985, -2.2286), 0.6377),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]

seeds = st.integers(0, 2**31)


def noise(seed: int, *, height: int = 16, width: int = 20) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)


def plain(*color: int) -> Tensor:
    return torch.tensor(color, dtype=torch.uint8).view(3, 1, 1).expand(3, 16, 16)


@pytest.mark.parametrize(("first", "second", "expected"), SHARMA_PAIRS)
def test_ciede2000_of_the_published_pairs(first: tuple[float, ...], second: tuple[float, ...], expected: float) -> None:
    a, b = (torch.tensor(color, dtype=torch.float64).view(3, 1, 1) for color in (first, second))
    assert float(ciede2000_of_lab(a, b)) == pytest.approx(expected, abs=5.1e-5)
    assert float(ciede2000_of_lab(b, a)) == pytest.approx(expected, abs=5.1e-5)


@given(seeds)
def test_equal_frames_have_no_difference(seed: int) -> None:
    frame = noise(seed)
    assert rgb_psnr(frame, frame) == math.inf
    assert ab_psnr(frame, frame) == math.inf
    assert ciede2000(frame, frame) == 0
    assert ssim(frame, frame) == pytest.approx(1, abs=1e-5)


@given(seeds, seeds)
def test_metrics_do_not_depend_on_the_order(first: int, second: int) -> None:
    a, b = noise(first), noise(second)
    assert rgb_psnr(a, b) == rgb_psnr(b, a)
    assert ab_psnr(a, b) == ab_psnr(b, a)
    assert ciede2000(a, b) == pytest.approx(ciede2000(b, a), rel=1e-4)


def test_rgb_psnr_of_a_known_error() -> None:
    assert rgb_psnr(plain(100, 100, 100), plain(101, 101, 101)) == pytest.approx(48.1308, abs=1e-4)
    assert rgb_psnr(plain(0, 0, 0), plain(255, 255, 255)) == 0


def test_ab_psnr_is_blind_to_lightness_and_sees_color() -> None:
    # Red is a 80.09, b 67.20 away from gray: 10 log10(255^2 / ((80.09^2 + 67.20^2) / 2)).
    assert ab_psnr(plain(255, 0, 0), plain(90, 90, 90)) == pytest.approx(10.75, abs=0.01)
    assert ab_psnr(plain(40, 40, 40), plain(200, 200, 200)) > 100


def test_ssim_falls_with_noise() -> None:
    frame = torch.arange(0, 240, 4, dtype=torch.uint8).expand(3, 40, 60)
    little = (frame.int() + noise(1, height=40, width=60).int() // 32).clamp(0, 255).to(torch.uint8)
    much = (frame.int() + noise(1, height=40, width=60).int() // 4).clamp(0, 255).to(torch.uint8)
    assert 0 < ssim(frame, much) < ssim(frame, little) < 1


def test_a_steady_shot_has_a_cdc_of_zero() -> None:
    assert color_distribution_consistency([noise(5)] * 6) == 0


def test_moving_pixels_around_does_not_change_the_cdc() -> None:
    frame = noise(5)
    assert color_distribution_consistency([frame.roll(step, dims=2) for step in range(6)]) == 0


def test_cdc_of_frames_that_share_no_color_is_the_largest() -> None:
    # Every pair at distance 1 differs wholly (ln 2), those at 2 and 4 not at all.
    frames = [plain(0, 0, 0), plain(255, 255, 255)] * 3
    assert color_distribution_consistency(frames) == pytest.approx(math.log(2) / 3, rel=1e-9)


def test_cdc_averages_the_channels() -> None:
    frames = [plain(0, 7, 7), plain(255, 7, 7)] * 3
    assert color_distribution_consistency(frames) == pytest.approx(math.log(2) / 9, rel=1e-9)


def test_cdc_of_a_known_change() -> None:
    # One frame of eight has a quarter of its pixels changed; JS of (1, 0) and (3/4, 1/4) in nats.
    odd = plain(10, 10, 10).clone()
    odd[:, :4] = 90
    frames = [plain(10, 10, 10)] * 4 + [odd] + [plain(10, 10, 10)] * 3
    divergence = 0.5 * math.log(1 / 0.875) + 0.5 * (0.75 * math.log(0.75 / 0.875) + 0.25 * math.log(0.25 / 0.125))
    expected = (2 / 7 + 2 / 6 + 1 / 4) * divergence / 3
    assert color_distribution_consistency(frames) == pytest.approx(expected, rel=1e-9)


def test_cdc_reads_a_stream_once() -> None:
    def stream() -> Iterator[Tensor]:
        for seed in range(7):
            yield noise(seed)

    listed = color_distribution_consistency([noise(seed) for seed in range(7)])
    assert color_distribution_consistency(stream()) == listed > 0


def test_cdc_of_nothing_is_an_error_and_of_one_frame_zero() -> None:
    assert color_distribution_consistency([noise(0)]) == 0
    with pytest.raises(ValueError, match="no frame"):
        color_distribution_consistency([])


@given(st.integers(0, 255))
def test_grays_are_not_colorful(value: int) -> None:
    assert colorfulness(plain(value, value, value)) == 0


def test_colorfulness_of_a_known_picture() -> None:
    # Half red, half blue: red-green 255, 0 and yellow-blue 127.5, -255; spreads 127.5, 191.25; means 127.5, -63.75.
    frame = torch.cat((plain(255, 0, 0), plain(0, 0, 255)), dim=2)
    expected = math.hypot(127.5, 191.25) + 0.3 * math.hypot(127.5, 63.75)
    assert colorfulness(frame) == pytest.approx(expected)


def test_wrong_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        rgb_psnr(torch.rand(3, 4, 4), torch.rand(3, 4, 4))
    with pytest.raises(ValueError, match="expected uint8"):
        colorfulness(torch.zeros(4, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match="expected one size"):
        ciede2000(noise(0), noise(0, width=21))
    with pytest.raises(ValueError, match="too small for SSIM"):
        ssim(noise(0, height=10), noise(1, height=10))
