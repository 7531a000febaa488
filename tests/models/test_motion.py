"""Optical flow: what moved is found, and evidence says where it is not to be trusted."""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.motion import (
    compose,
    disagreement,
    estimate_fine_flow,
    estimate_flow,
    luma_residual,
    measure_motion,
    warp,
)


def texture(height: int = 72, width: int = 96, *, seed: int = 0) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).uniform(0, 255, (height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return cv2.normalize(smooth, None, 20, 235, cv2.NORM_MINMAX).astype(np.uint8)  # type: ignore[call-overload, no-any-return]


def shifted(picture: NDArray[np.uint8], x: int, y: int) -> NDArray[np.uint8]:
    return np.roll(picture, (y, x), axis=(0, 1))


def test_a_shift_is_found_away_from_the_edges() -> None:
    source = texture()
    flow = estimate_flow(shifted(source, 3, -2), source)
    inner = flow[16:-16, 16:-16]
    assert np.abs(inner - np.array([-3.0, 2.0], np.float32)).mean() < 0.3


def test_warping_by_the_flow_found_brings_the_source_to_the_target() -> None:
    source = texture()
    target = shifted(source, 4, 1)
    flow = estimate_flow(target, source)
    residual = luma_residual(target, source, flow=flow)[16:-16, 16:-16]
    still = luma_residual(target, source, flow=np.zeros_like(flow))[16:-16, 16:-16]
    assert np.abs(residual).mean() < 0.2 * np.abs(still).mean()


def test_a_start_is_used_and_left_as_it_is() -> None:
    source = texture(seed=3)
    target = shifted(source, 20, 0)
    start = np.full((*source.shape, 2), (-20.0, 0.0), np.float32)
    flow = estimate_flow(target, source, initial=start)
    assert np.abs(flow[16:-16, 32:-16] - np.array([-20.0, 0.0], np.float32)).mean() < 0.5
    assert np.array_equal(start, np.full_like(start, (-20.0, 0.0)))


def test_the_fine_flow_is_that_of_the_half_and_more_precise() -> None:
    source = texture(144, 192, seed=5)
    target = shifted(source, 3, -5)
    truth = np.array([-1.5, 2.5], np.float32)
    small_target, small_source = (
        cv2.resize(plane, (96, 72), interpolation=cv2.INTER_AREA) for plane in (target, source)
    )
    fine = estimate_fine_flow(target, source)
    assert fine.shape == (72, 96, 2)
    inner = np.s_[16:-16, 16:-16]
    coarse = estimate_flow(np.asarray(small_target, np.uint8), np.asarray(small_source, np.uint8))
    assert np.abs(fine[inner] - truth).mean() < 0.1 * np.abs(coarse[inner] - truth).mean()


def test_the_start_of_a_fine_flow_is_in_pixels_of_the_half() -> None:
    source = texture(144, 192, seed=3)
    start = np.full((72, 96, 2), (-20.0, 0.0), np.float32)
    flow = estimate_fine_flow(shifted(source, 40, 0), source, initial=start)
    assert np.abs(flow[16:-16, 32:-16] - np.array([-20.0, 0.0], np.float32)).mean() < 0.5
    assert np.array_equal(start, np.full_like(start, (-20.0, 0.0)))


def test_of_fine_planes_only_the_flow_itself_is_estimated() -> None:
    source, fine_source = texture(seed=4), texture(144, 192, seed=4)
    # The two tell of different motions, to see which of them was asked.
    motion = measure_motion(shifted(source, 1, 0), source, fine=(shifted(fine_source, 6, 4), fine_source))
    inner = np.s_[16:-16, 16:-16]
    assert np.abs(motion.flow[inner] - np.array([-3.0, -2.0], np.float32)).mean() < 0.1
    assert np.abs(motion.backward[inner] - np.array([1.0, 0.0], np.float32)).mean() < 0.1
    assert motion.disagreement.shape == motion.residual.shape == source.shape


def test_zero_flow_changes_nothing() -> None:
    plane = np.random.default_rng(0).uniform(size=(20, 30, 2)).astype(np.float32)
    assert np.allclose(warp(plane, np.zeros((20, 30, 2), np.float32)), plane)


def test_a_flow_and_its_inverse_agree_and_strangers_do_not() -> None:
    forward = np.full((30, 40, 2), (2.0, -1.0), np.float32)
    assert disagreement(forward, -forward).max() < 1e-5
    assert np.allclose(disagreement(forward, forward), 2 * np.hypot(2.0, 1.0), atol=1e-4)


def test_flows_chain() -> None:
    one, two = np.full((20, 30, 2), (2.0, 0.0), np.float32), np.full((20, 30, 2), (0.0, 3.0), np.float32)
    assert np.allclose(compose(one, two), (2.0, 3.0))


def test_evidence_is_worse_where_something_new_appears() -> None:
    source = texture()
    target = source.copy()
    target[24:48, 36:60] = texture(seed=9)[24:48, 36:60]
    motion = measure_motion(target, source)
    new = np.abs(motion.residual[24:48, 36:60]).mean() + motion.disagreement[24:48, 36:60].mean()
    same = np.abs(motion.residual[:16]).mean() + motion.disagreement[:16].mean()
    assert new > 5 * same


def test_pictures_too_small_for_the_search_are_taken_as_still() -> None:
    tiny = texture(8, 12)
    assert not estimate_flow(tiny, shifted(tiny, 1, 0)).any()
    twice = texture(16, 24)
    assert not measure_motion(tiny, tiny, fine=(shifted(twice, 2, 0), twice)).flow.any()
