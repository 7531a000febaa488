"""What is offered: color moved by flow, color near there, and color matched."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.retint.offers import Flown, Near, flow_offers, likeness_along, look_nearby, match_flow, smooth, warp_planes

NEAR = Near(reach=2, spread=1.0)


def picture(*, height: int = 20, width: int = 28, seed: int = 0) -> Tensor:
    """[1, 4, h, w]: chroma, trust, luma; luma tells every pixel from its neighbors."""
    generator = torch.Generator().manual_seed(seed)
    planes = torch.rand(1, 4, height, width, generator=generator)
    return torch.cat([planes[:, :2] - 0.5, planes[:, 2:]], 1)


def shift(planes: Tensor, *, x: float, y: float) -> Tensor:
    """[1, 2, h, w]: the same flow everywhere."""
    flow = torch.zeros(1, 2, *planes.shape[-2:])
    flow[:, 0], flow[:, 1] = x, y
    return flow


def test_warping_moves_whole_pixels_and_repeats_the_edge() -> None:
    plane = torch.arange(12.0).reshape(1, 1, 3, 4)
    torch.testing.assert_close(warp_planes(plane, shift(plane, x=1, y=0))[0, 0], plane[0, 0, :, [1, 2, 3, 3]])
    torch.testing.assert_close(warp_planes(plane, shift(plane, x=0, y=0)), plane)


@given(x=st.integers(-2, 2), y=st.integers(-2, 2))
def test_looking_nearby_mends_flow_that_is_some_pixels_off(x: int, y: int) -> None:
    """The wrong flow leads up to two pixels away; luma says where the color is."""
    known = picture()
    found = look_nearby(known, known[:, 3:], flow=shift(known, x=x, y=y), near=Near(reach=2, spread=9.0))
    inside = (..., slice(3, -3), slice(3, -3))
    before = warp_planes(known, shift(known, x=x, y=y))[inside] - known[inside]
    after = found[inside] - known[inside]
    if x or y:
        assert after[:, :2].abs().mean() < 0.05 * before[:, :2].abs().mean()
    torch.testing.assert_close(found[:, 3:][inside], known[:, 3:][inside], atol=0.05, rtol=0)


def test_where_luma_tells_nothing_the_nearest_places_count_most() -> None:
    known = picture()
    known[:, 3] = 0.5
    found = look_nearby(known, known[:, 3:], flow=shift(known, x=0, y=0), near=Near(reach=2, spread=0.3))
    torch.testing.assert_close(found[..., 2:-2, 2:-2], known[..., 2:-2, 2:-2], atol=0.02, rtol=0)


def test_flow_offers_what_it_moved_and_what_is_near_it() -> None:
    known = picture()
    nothing = torch.zeros(1, 1, *known.shape[-2:])
    by = Flown(flow=shift(known, x=0, y=0), residual=nothing + 0.1, error=nothing + 0.5, likeness=nothing + 0.7)
    offers = flow_offers(known, known[:, 3:], by=by)
    torch.testing.assert_close(offers[:, 0, :2], known[:, :2])
    torch.testing.assert_close(offers[:, 0, 4:5], known[:, 2:3])
    assert (offers[:, 0, 2] == 0.1).all()
    assert (offers[:, :, 3] == 0.5).all()
    assert (offers[:, :, 5] == 1).all()
    assert (offers[:, :, 6] == 0.7).all()
    assert offers[:, 1, 2].abs().max() < 0.1  # the residual of what is near is its own


def test_likeness_is_highest_where_flow_leads_to_what_is_described_alike() -> None:
    """Cells of four pixels; the other picture shows everything one cell further right."""
    here = torch.randn(1, 24, 5, 7, generator=torch.Generator().manual_seed(0))
    there = here.roll(1, dims=-1)
    right = likeness_along(shift(picture(), x=4, y=0), here, there)
    wrong = likeness_along(shift(picture(), x=0, y=4), here, there)
    assert right.shape == (1, 1, 20, 28)
    inside = (..., slice(0, 22))
    torch.testing.assert_close(right[inside], torch.ones(1, 1, 20, 22))
    assert wrong[inside].abs().mean() < 0.3


def test_between_two_cells_likeness_does_not_fall() -> None:
    """Even pictures are described alike everywhere, whatever the flow."""
    even = torch.randn(1, 24, 1, 1, generator=torch.Generator().manual_seed(0)).expand(1, 24, 5, 7)
    torch.testing.assert_close(likeness_along(shift(picture(), x=1.7, y=-2.3), even, even), torch.ones(1, 1, 20, 28))


def test_a_match_of_every_cell_with_itself_is_no_motion() -> None:
    nearest = torch.arange(4 * 6).reshape(1, 4, 6)
    flow = match_flow(nearest, keys=(4, 6), size=(16, 24))
    torch.testing.assert_close(flow, torch.zeros(1, 2, 16, 24))


def test_a_match_one_cell_to_the_right_is_a_flow_of_one_cell() -> None:
    nearest = torch.arange(4 * 6).reshape(1, 4, 6).roll(-1, dims=-1)
    flow = match_flow(nearest, keys=(4, 6), size=(16, 24))[..., :18]
    torch.testing.assert_close(flow[:, 0], torch.full((1, 16, 18), 4.0))
    torch.testing.assert_close(flow[:, 1], torch.zeros(1, 16, 18))


def test_smoothing_keeps_what_is_even_to_the_edge() -> None:
    planes = torch.full((1, 2, 9, 11), 0.7)
    torch.testing.assert_close(smooth(planes, size=7), planes)
