"""Codes, Y'CbCr and Lab: known values, exact ways back, finite gradients."""

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.base import Matrix
from models.color import (
    dequantize_chroma,
    dequantize_luma,
    gray_to_l,
    lab_to_chroma,
    lab_to_rgb,
    luma_weights,
    quantize_chroma,
    quantize_luma,
    rgb_to_lab,
    rgb_to_ycbcr,
    ycbcr_to_rgb,
)

matrices = st.sampled_from(get_args(Matrix))
bit_depths = st.sampled_from([8, 10])
shares = st.floats(0, 1, width=32)
colors = st.tuples(shares, shares, shares).map(lambda color: torch.tensor(color).view(3, 1, 1))


def color_grid(steps: int = 18) -> Tensor:
    """[3, N, 1]: sRGB from corner to corner."""
    axis = torch.linspace(0, 1, steps)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).reshape(3, -1, 1)


def all_codes(bit_depth: int) -> Tensor:
    codes = np.arange(2**bit_depth, dtype=np.uint8 if bit_depth == 8 else np.uint16)
    return torch.from_numpy(codes).view(1, -1)


@pytest.mark.parametrize(
    ("bit_depth", "full_range", "black", "white"),
    [(8, False, 16, 235), (8, True, 0, 255), (10, False, 64, 940), (10, True, 0, 1023)],
)
def test_black_and_white_stand_where_the_standards_put_them(
    bit_depth: int, full_range: bool, black: int, white: int
) -> None:
    codes = torch.tensor([[black, white]])
    luma = dequantize_luma(codes, bit_depth=bit_depth, full_range=full_range)
    assert luma.dtype == torch.float32
    assert luma.tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("bit_depth", [8, 10])
@pytest.mark.parametrize("full_range", [False, True])
def test_every_luma_code_comes_back(bit_depth: int, full_range: bool) -> None:
    codes = all_codes(bit_depth)
    luma = dequantize_luma(codes, bit_depth=bit_depth, full_range=full_range)
    back = quantize_luma(luma, bit_depth=bit_depth, full_range=full_range)
    assert back.dtype == codes.dtype
    assert np.array_equal(back.numpy(), codes.numpy())


def test_foot_room_and_head_room_are_not_clipped() -> None:
    luma = dequantize_luma(torch.tensor([[0, 255]], dtype=torch.uint8), bit_depth=8, full_range=False)
    assert luma.min() < -0.07
    assert luma.max() > 1.09


@pytest.mark.parametrize(
    ("bit_depth", "full_range", "lowest", "gray", "highest"),
    [(8, False, 16, 128, 240), (8, True, 1, 128, 255), (10, False, 64, 512, 960), (10, True, 1, 512, 1023)],
)
def test_chroma_codes_reach_their_nominal_ends(
    bit_depth: int, full_range: bool, lowest: int, gray: int, highest: int
) -> None:
    chroma = torch.tensor([-0.5, 0.0, 0.5]).view(1, 1, 3).expand(2, 1, 3)
    codes = quantize_chroma(chroma, bit_depth=bit_depth, full_range=full_range)
    assert codes[0, 0].tolist() == [lowest, gray, highest]


@given(bit_depth=bit_depths, full_range=st.booleans(), value=st.floats(-0.5, 0.5, width=32))
def test_chroma_comes_back_to_within_half_a_code(bit_depth: int, full_range: bool, value: float) -> None:
    chroma = torch.full((2, 1, 1), value)
    codes = quantize_chroma(chroma, bit_depth=bit_depth, full_range=full_range)
    back = dequantize_chroma(codes, bit_depth=bit_depth, full_range=full_range)
    one_code = 1 / ((2**bit_depth - 1) if full_range else 224 * 2 ** (bit_depth - 8))
    # The full range has no code for exactly +0.5, hence a whole code there.
    assert float((back - chroma).abs().max()) <= one_code * (0.501 if value < 0.49 else 1.001)


@given(bit_depth=bit_depths, full_range=st.booleans(), value=st.floats(-40, 40, width=32))
def test_impossible_chroma_is_clipped_and_never_wraps_around(bit_depth: int, full_range: bool, value: float) -> None:
    codes = quantize_chroma(torch.full((2, 1, 1), value), bit_depth=bit_depth, full_range=full_range)
    end = quantize_chroma(torch.full((2, 1, 1), min(max(value, -0.5), 0.5)), bit_depth=bit_depth, full_range=full_range)
    assert abs(int(codes[0, 0, 0]) - int(end[0, 0, 0])) <= (1 if full_range else 0)


def test_gray_survives_the_way_to_codes_and_back() -> None:
    for bit_depth in (8, 10):
        for full_range in (False, True):
            codes = quantize_chroma(torch.zeros(2, 4, 4), bit_depth=bit_depth, full_range=full_range)
            assert not dequantize_chroma(codes, bit_depth=bit_depth, full_range=full_range).any()


def test_twelve_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 8 or 10"):
        dequantize_luma(torch.zeros(2, 2), bit_depth=12, full_range=True)


@given(matrix=matrices)
def test_luma_weights_sum_to_one(matrix: Matrix) -> None:
    assert sum(luma_weights(matrix)) == pytest.approx(1, abs=1e-12)


def test_color_bars_have_their_published_codes() -> None:
    # 75% bars in 8-bit BT.601 (ITU-R BT.801): yellow and blue.
    bars = torch.tensor([[0.75, 0.75, 0.0], [0.0, 0.0, 0.75]]).T.reshape(3, 1, 2)
    luma, cb, cr = rgb_to_ycbcr(bars, matrix="bt601")
    assert quantize_luma(luma, bit_depth=8, full_range=False)[0].tolist() == [162, 35]
    assert quantize_chroma(torch.stack((cb, cr)), bit_depth=8, full_range=False)[:, 0].tolist() == [
        [44, 212],
        [142, 114],
    ]


@given(rgb=colors, matrix=matrices)
def test_ycbcr_stays_in_range_and_comes_back(rgb: Tensor, matrix: Matrix) -> None:
    ycbcr = rgb_to_ycbcr(rgb, matrix=matrix)
    assert -1e-6 <= float(ycbcr[0]) <= 1 + 1e-6
    assert float(ycbcr[1:].abs().max()) <= 0.5 + 1e-6
    assert torch.allclose(ycbcr_to_rgb(ycbcr, matrix=matrix), rgb, atol=1e-6)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [  # as scikit-image and OpenCV have them
        ((1, 1, 1), (100.0, 0.0, 0.0)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
        ((1, 0, 0), (53.2406, 80.0923, 67.2028)),
        ((0, 1, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
        ((0.5, 0.5, 0.5), (53.39, 0.0, 0.0)),
    ],
)
def test_lab_of_known_colors(rgb: tuple[float, ...], lab: tuple[float, ...]) -> None:
    found = rgb_to_lab(torch.tensor(rgb, dtype=torch.float32).view(3, 1, 1)).flatten()
    assert found.tolist() == pytest.approx(lab, abs=0.01)


def test_lab_comes_back_over_all_of_srgb() -> None:
    rgb = color_grid(33)
    assert float((lab_to_rgb(rgb_to_lab(rgb)) - rgb).abs().max()) < 1e-4


@given(st.tuples(*[st.floats(-0.5, 1.5, width=32)] * 3))
def test_colors_outside_of_srgb_come_back_too(color: tuple[float, float, float]) -> None:
    rgb = torch.tensor(color).view(3, 1, 1)
    assert torch.allclose(lab_to_rgb(rgb_to_lab(rgb)), rgb, atol=3e-4)


@given(shares)
def test_grays_have_no_color_and_the_l_of_their_luma(value: float) -> None:
    lab = rgb_to_lab(torch.full((3, 1, 1), value))
    assert float(lab[1:].abs().max()) < 1e-4
    assert float(lab[0]) == pytest.approx(float(gray_to_l(torch.tensor(value))), abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.uint8])
def test_lab_is_computed_in_float32(dtype: torch.dtype) -> None:
    rgb = torch.ones(3, 2, 2).to(dtype)
    assert rgb_to_lab(rgb).dtype == torch.float32
    assert rgb_to_lab(rgb)[0].allclose(torch.tensor(100.0), atol=1e-4)


def test_autocast_does_not_lower_the_precision() -> None:
    rgb = color_grid(6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(rgb_to_lab(rgb), rgb_to_lab(rgb.clone()))
        inside = lab_to_rgb(rgb_to_lab(rgb))
    assert torch.allclose(inside, rgb, atol=1e-4)


@pytest.mark.parametrize("value", [0.0, 0.04045, 0.0031308, 0.5, 1.0])
def test_gradients_are_finite_at_black_white_and_the_knees(value: float) -> None:
    rgb = torch.full((3, 2, 2), value, requires_grad=True)
    lab = rgb_to_lab(rgb)
    lab_to_rgb(lab).square().sum().backward()
    assert rgb.grad is not None
    assert rgb.grad.isfinite().all()

    lab = torch.zeros(3, 2, 2)
    lab[0] = 100 * value
    lab.requires_grad_()
    lab_to_rgb(lab).sum().backward()
    assert lab.grad is not None
    assert lab.grad.isfinite().all()
    assert bool((lab.grad[0] > 0).all())


@settings(max_examples=30)
@given(st.tuples(*[st.floats(0.0625, 0.99)] * 3))
def test_lab_gradients_are_right(color: tuple[float, float, float]) -> None:
    rgb = torch.tensor(color, dtype=torch.float64).view(3, 1, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: lab_to_rgb(rgb_to_lab(x) * 1.01), (rgb,), atol=1e-4)


@pytest.mark.parametrize("matrix", get_args(Matrix))
def test_chroma_is_found_from_ab_and_luma_over_all_of_srgb(matrix: Matrix) -> None:
    rgb = color_grid(33)
    ycbcr = rgb_to_ycbcr(rgb, matrix=matrix)
    chroma = lab_to_chroma(ycbcr[0], rgb_to_lab(rgb)[1:], matrix=matrix)
    assert float((chroma - ycbcr[1:]).abs().max()) < 1e-4


@given(luma=st.floats(-0.125, 1.125, width=32), matrix=matrices)
def test_no_ab_is_no_chroma(luma: float, matrix: Matrix) -> None:
    chroma = lab_to_chroma(torch.full((2, 2), luma), torch.zeros(2, 2, 2), matrix=matrix)
    assert float(chroma.abs().max()) < 1e-5


@given(luma=shares, a=st.floats(-128, 128, width=32), b=st.floats(-128, 128, width=32), matrix=matrices)
def test_impossible_colors_still_give_finite_chroma_and_gradients(
    luma: float, a: float, b: float, matrix: Matrix
) -> None:
    ab = torch.tensor([a, b]).view(2, 1, 1).requires_grad_()
    chroma = lab_to_chroma(torch.full((1, 1), luma), ab, matrix=matrix)
    chroma.sum().backward()
    assert chroma.isfinite().all()
    assert ab.grad is not None
    assert ab.grad.isfinite().all()


def test_gradient_of_chroma_is_that_of_the_exact_solution() -> None:
    rgb = torch.tensor([[0.7, 0.2], [0.4, 0.5], [0.3, 0.6]], dtype=torch.float64).view(3, 1, 2)
    luma = rgb_to_ycbcr(rgb, matrix="bt709")[0].requires_grad_()
    ab = rgb_to_lab(rgb)[1:].requires_grad_()
    assert torch.autograd.gradcheck(lambda y, c: lab_to_chroma(y, c, matrix="bt709"), (luma, ab), atol=1e-5)


def test_batches_give_what_single_pictures_give() -> None:
    rgb = torch.rand(4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    lab, luma = rgb_to_lab(rgb), rgb_to_ycbcr(rgb, matrix="bt601")[:, 0]
    chroma = lab_to_chroma(luma, lab[:, 1:], matrix="bt601")
    for index in range(4):
        assert torch.allclose(rgb_to_lab(rgb[index]), lab[index], atol=1e-4)
        alone = lab_to_chroma(luma[index], lab[index, 1:], matrix="bt601")
        assert torch.allclose(alone, chroma[index], atol=1e-5)


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match="R'G'B' has the shape"):
        rgb_to_lab(torch.zeros(2, 4, 4))
    with pytest.raises(ValueError, match="Lab has the shape"):
        lab_to_rgb(torch.zeros(3))
    with pytest.raises(ValueError, match="of one size"):
        lab_to_chroma(torch.zeros(4, 4), torch.zeros(2, 4, 5), matrix="bt709")
