"""Resizing planes: means kept, nothing beyond the range, edges of color where the luma has them."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.color import rgb_to_lab, rgb_to_ycbcr, ycbcr_to_rgb
from models.upsampling import resize_chroma, resize_luma, site_left, upsample_chroma

sides = st.integers(1, 24)
larger_sides = st.integers(1, 60)
seeds = st.integers(0, 2**31)


def random_planes(seed: int, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def poster(size: int = 240) -> Tensor:
    """sRGB [3, size, size]: a disc and a slanted field on a ground, each of one color and another luma."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    picture = torch.tensor([0.2, 0.3, 0.6]).view(3, 1, 1).repeat(1, size, size)
    disc = (x - size // 2) ** 2 + (y - 110) ** 2 < 70**2
    field = 3 * x + 10 * y > 2000
    for color, where in (((0.8, 0.5, 0.3), disc), ((0.3, 0.6, 0.2), field)):
        picture[:, where] = torch.tensor(color).unsqueeze(1)
    return picture


def ab_error(chroma: Tensor, truth: Tensor) -> float:
    """Mean square of ab, with the true luma."""
    luma = rgb_to_ycbcr(truth, matrix="bt709")[:1]
    found = ycbcr_to_rgb(torch.cat((luma, chroma)), matrix="bt709").clamp(0, 1)
    return float((rgb_to_lab(found) - rgb_to_lab(truth))[1:].square().mean())


@given(seeds, sides, sides, larger_sides, larger_sides)
def test_resizing_gives_the_size_asked_for_and_stays_in_range(
    seed: int, height: int, width: int, new_height: int, new_width: int
) -> None:
    planes = random_planes(seed, 2, height, width)
    resized = resize_chroma(planes, (new_height, new_width))
    assert resized.shape == (2, new_height, new_width)
    for before, after in zip(planes, resized, strict=True):
        assert before.min() - 1e-6 <= after.min()
        assert after.max() <= before.max() + 1e-6


@given(seeds, larger_sides, larger_sides, st.data())
def test_shrinking_keeps_the_mean(seed: int, height: int, width: int, data: st.DataObject) -> None:
    luma = random_planes(seed, height, width)
    size = (data.draw(st.integers(1, height)), data.draw(st.integers(1, width)))
    assert float(resize_luma(luma, size).mean()) == pytest.approx(float(luma.mean()), abs=1e-5)


def test_shrinking_by_a_whole_number_is_the_mean_of_blocks() -> None:
    luma = random_planes(0, 12, 30)
    assert torch.allclose(resize_luma(luma, (4, 10)), F.avg_pool2d(luma[None], 3)[0], atol=1e-6)


@pytest.mark.parametrize("size", [20, 24, 25, 29])
def test_shrinking_by_any_ratio_keeps_a_ramp_straight(size: int) -> None:
    ramp = torch.arange(30.0).expand(4, 30)
    steps = resize_luma(ramp, (4, size)).diff(dim=1)
    # Area means bend a ramp a little at broken ratios; moved whole samples would make steps differ by a factor of two.
    assert steps.min() > 0.8 * 30 / size
    assert steps.max() < 1.2 * 30 / size


def test_the_same_size_is_the_same_plane() -> None:
    luma = random_planes(0, 9, 11)
    assert torch.equal(resize_luma(luma, (9, 11)), luma)
    chroma = random_planes(1, 2, 9, 11)
    assert torch.equal(upsample_chroma(chroma, luma_low=luma, luma_high=luma), chroma)


@given(seeds, sides, sides, larger_sides, larger_sides)
def test_upsampling_never_leaves_the_local_range(
    seed: int, height: int, width: int, new_height: int, new_width: int
) -> None:
    chroma = random_planes(seed, 2, height, width) - 0.5
    luma_high = random_planes(seed + 1, new_height, new_width)
    luma_low = resize_luma(luma_high, (height, width))
    result = upsample_chroma(chroma, luma_low=luma_low, luma_high=luma_high)
    assert result.shape == (2, new_height, new_width)
    assert result.isfinite().all()
    if new_height < height or new_width < width:
        assert chroma.min() - 1e-6 <= result.min()
        assert result.max() <= chroma.max() + 1e-6
        return
    rows = (torch.arange(new_height) + 0.5) * height / new_height - 0.5
    columns = (torch.arange(new_width) + 0.5) * width / new_width - 0.5
    for row in range(new_height):
        for column in (0, new_width // 2, new_width - 1):
            top, left = int(rows[row].floor()), int(columns[column].floor())
            near = chroma[:, max(top - 1, 0) : top + 3, max(left - 1, 0) : left + 3]
            value = result[:, row, column]
            assert bool((value >= near.amin((1, 2)) - 1e-5).all())
            assert bool((value <= near.amax((1, 2)) + 1e-5).all())


@given(seeds, st.floats(-0.5, 0.5, width=32))
def test_chroma_of_one_color_stays_that_color_whatever_the_luma(seed: int, value: float) -> None:
    luma_high = random_planes(seed, 31, 45)
    luma_low = resize_luma(luma_high, (10, 15))
    result = upsample_chroma(torch.full((2, 10, 15), value), luma_low=luma_low, luma_high=luma_high)
    assert torch.allclose(result, torch.full_like(result, value), atol=1e-6)


@pytest.mark.parametrize("low", [160, 80, 60])
def test_edges_of_color_are_sharper_than_bicubic(low: int) -> None:
    truth = poster()
    luma, *chroma = rgb_to_ycbcr(truth, matrix="bt709")
    small = resize_chroma(torch.stack(chroma), (low, low))
    bicubic = F.interpolate(small[None], size=(240, 240), mode="bicubic")[0]
    guided = upsample_chroma(small, luma_low=resize_luma(luma, (low, low)), luma_high=luma)
    assert ab_error(guided, truth) < 0.25 * ab_error(bicubic, truth)


def test_luma_without_color_does_not_print_through() -> None:
    # A smooth change of color under fine stripes of shade: the stripes must not appear in the chroma.
    stripes = (torch.arange(120) // 2 % 2).float().mul(0.4).add(0.3).expand(120, 120)
    ramp = torch.linspace(-0.3, 0.3, 120).view(120, 1).expand(2, 120, 120)
    small = resize_chroma(ramp, (40, 40))
    guided = upsample_chroma(small, luma_low=resize_luma(stripes, (40, 40)), luma_high=stripes)
    assert float((guided - ramp)[:, 6:-6].abs().max()) < 0.005


def test_left_siting_moves_by_a_quarter_sample() -> None:
    ramp = torch.arange(20.0).expand(2, 3, 20)
    assert torch.allclose(site_left(ramp)[..., 2:-1], ramp[..., 2:-1] - 0.25, atol=1e-5)


@given(seeds, st.integers(1, 20))
def test_left_siting_never_overshoots(seed: int, width: int) -> None:
    chroma = random_planes(seed, 2, 3, width)
    moved = site_left(chroma)
    before = torch.cat((chroma[..., :1], chroma[..., :-1]), dim=-1)
    assert bool((moved >= torch.minimum(before, chroma)).all())
    assert bool((moved <= torch.maximum(before, chroma)).all())


def test_planes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="of one size"):
        upsample_chroma(torch.zeros(2, 4, 4), luma_low=torch.zeros(4, 5), luma_high=torch.zeros(8, 8))
    with pytest.raises(ValueError, match=r"expected \[2, h, w\]"):
        upsample_chroma(torch.zeros(3, 4, 4), luma_low=torch.zeros(4, 4), luma_high=torch.zeros(8, 8))
    with pytest.raises(ValueError, match="no samples"):
        resize_luma(torch.zeros(4, 4), (0, 4))
    with pytest.raises(ValueError, match=r"expected \[H, W\]"):
        resize_luma(torch.zeros(1, 4, 4), (2, 2))
