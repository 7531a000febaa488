import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.strokes import Strokes, color_by_strokes, spread

RED, BLUE = (-0.1, 0.4), (0.4, -0.1)


def strokes_at(size: tuple[int, int], *points: tuple[int, int, tuple[float, float]]) -> Strokes:
    chroma, painted = torch.zeros(2, *size), torch.zeros(size, dtype=torch.bool)
    for y, x, color in points:
        chroma[:, y, x] = torch.tensor(color)
        painted[y, x] = True
    return Strokes(chroma, painted)


def two_halves(size: tuple[int, int]) -> Tensor:
    """Dark on the left, bright on the right, with a little grain."""
    luma = torch.full(size, 0.25)
    luma[:, size[1] // 2 :] = 0.75
    return luma + torch.from_numpy(np.random.default_rng(0).normal(0, 0.004, size)).to(torch.float32)


def test_color_fills_what_it_is_in_and_stops_at_an_edge() -> None:
    size = (40, 60)
    found = spread(two_halves(size), strokes_at(size, (20, 5, RED), (20, 55, BLUE)))
    assert torch.allclose(found[:, :, :28], torch.tensor(RED)[:, None, None].expand(2, 40, 28), atol=0.05)
    assert torch.allclose(found[:, :, 32:], torch.tensor(BLUE)[:, None, None].expand(2, 40, 28), atol=0.05)


def test_it_is_solved_small_and_keeps_its_edges_at_full_size() -> None:
    size = (160, 240)
    strokes = strokes_at(size, *((80, x, RED) for x in range(10, 30)), *((80, x, BLUE) for x in range(210, 230)))
    found = color_by_strokes(two_halves(size), strokes, solved_pixels=2400)
    assert found.shape == (2, 160, 240)
    # Clear of the edge by one pixel of the small picture.
    assert (found[0, :, :115] < 0.1).all()
    assert (found[0, :, 125:] > 0.2).all()


@settings(max_examples=25)
@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11), st.sampled_from([RED, BLUE, (0.0, 0.0)])), min_size=1),
    st.integers(0, 9),
)
def test_no_color_is_there_that_was_not_painted_or_lies_between(
    height: int, width: int, points: list[tuple[int, int, tuple[float, float]]], seed: int
) -> None:
    luma = torch.from_numpy(np.random.default_rng(seed).random((height, width))).to(torch.float32)
    strokes = strokes_at((height, width), *((y % height, x % width, color) for y, x, color in points))
    found = spread(luma, strokes)
    painted = strokes.chroma[:, strokes.painted]
    assert torch.isfinite(found).all()
    assert torch.equal(found[:, strokes.painted], painted)
    for plane, wanted in zip(found, painted, strict=True):
        assert plane.min() >= wanted.min() - 1e-5
        assert plane.max() <= wanted.max() + 1e-5


def test_where_nothing_is_painted_there_is_no_color() -> None:
    assert torch.equal(color_by_strokes(torch.rand(8, 9), strokes_at((8, 9))), torch.zeros(2, 8, 9))


def test_a_dot_is_not_lost_where_the_picture_shrinks() -> None:
    found = color_by_strokes(torch.rand(90, 90), strokes_at((90, 90), (44, 44, RED)), solved_pixels=81)
    assert torch.allclose(found, torch.tensor(RED)[:, None, None].expand(2, 90, 90), atol=0.02)


def test_strokes_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        color_by_strokes(torch.rand(8, 9), strokes_at((9, 8), (0, 0, RED)))
