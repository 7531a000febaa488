"""The frame of a shot that is worth coloring is sharp, typical, well exposed, and near the others."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from video_info import video_info

from worker.analysis import ShotRange
from worker.keyframe_choice import Choice, FrameMeasures, choose, sharpness_of
from worker.media.frames import LumaFrame
from worker.signatures import SignatureFile, signature_of

Luma = NDArray[np.uint8]
INFO = video_info(width=96, height=64)


def scene(seed: int = 1) -> Luma:
    """[64, 96]: shapes with edges, in codes of the limited range."""
    rng = np.random.default_rng(seed)
    picture = np.full((64, 96), 90, np.uint8)
    for _ in range(25):
        x, y = (int(value) for value in rng.integers(0, (80, 50)))
        cv2.rectangle(picture, (x, y), (x + 14, y + 12), int(rng.integers(30, 210)), -1)
    return picture


def blurred(luma: Luma, sigma: float = 3.0) -> Luma:
    return np.asarray(cv2.GaussianBlur(luma, (0, 0), sigma), np.uint8)


def faded(luma: Luma, share: float) -> Luma:
    return np.asarray(np.rint(16 + (luma.astype(float) - 16) * share), np.uint8)


def flashed(luma: Luma, codes: int) -> Luma:
    return np.asarray(np.minimum(luma.astype(int) + codes, 235), np.uint8)


def blended(one: Luma, other: Luma) -> Luma:
    return np.asarray((one.astype(int) + other) // 2, np.uint8)


def dusty(luma: Luma) -> Luma:
    picture = luma.copy()
    rng = np.random.default_rng(5)
    for _ in range(40):
        x, y = (int(value) for value in rng.integers(0, (94, 62)))
        picture[y : y + 2, x : x + 2] = 235
    return picture


Chosen = Callable[..., Choice]


@pytest.fixture
def chosen(tmp_path: Path) -> Chosen:
    def choose_of(*lumas: Luma, shot: ShotRange | None = None) -> Choice:
        return choice_of(lumas, tmp_path, shot or ShotRange(0, len(lumas) - 1))

    return choose_of


def choice_of(lumas: tuple[Luma, ...], folder: Path, shot: ShotRange) -> Choice:
    def frames() -> Iterator[LumaFrame]:
        for index, luma in enumerate(lumas):
            yield LumaFrame(index=index, pts=index, time_base=Fraction(1, 25), luma=luma)

    measures = FrameMeasures()
    with SignatureFile(folder / "signatures") as signatures:
        for frame in measures.watch(frames(), info=INFO):
            signatures.append(signature_of((frame.luma.astype(np.float32) - 16) / 219))
        (chosen,) = choose(shot, count=1, measures=measures, signatures=signatures)
        return chosen


def test_the_middle_is_taken_where_all_are_alike(chosen: Chosen) -> None:
    assert chosen(*[scene()] * 41) == Choice(part=ShotRange(0, 40), frame=20, blank=False)


def test_blurred_frames_are_passed_over(chosen: Chosen) -> None:
    assert chosen(*[scene()] * 10, *[blurred(scene())] * 5, *[scene()] * 10).frame in (9, 15)


def test_a_fade_from_black_is_passed_over(chosen: Chosen) -> None:
    fade = [faded(scene(), index / 20) for index in range(20)]
    assert chosen(*fade, *[scene()] * 12).frame in range(17, 22)


def test_a_flash_is_passed_over(chosen: Chosen) -> None:
    assert chosen(*[scene()] * 10, flashed(scene(), 25), *[scene()] * 10).frame in (9, 11)


def test_a_frame_blended_with_another_shot_is_passed_over(chosen: Chosen) -> None:
    assert chosen(*[scene(1)] * 10, blended(scene(1), scene(2)), *[scene(1)] * 10).frame in (9, 11)


def test_dust_makes_no_frame_sharper(chosen: Chosen) -> None:
    assert chosen(*[scene()] * 9, dusty(scene()), *[scene()] * 11).frame == 10


def test_a_frame_that_is_only_a_little_sharper_is_not_worth_a_long_way(chosen: Chosen) -> None:
    soft = blurred(scene(), 0.3)
    assert sharpness_of(soft.astype(np.float32)) < sharpness_of(scene().astype(np.float32))
    assert chosen(*[soft] * 151, *[scene()] * 20).frame == 85


def test_a_long_shot_is_colored_from_its_end_where_all_else_is_blurred(chosen: Chosen) -> None:
    assert chosen(*[blurred(scene(), 2)] * 120, *[scene()] * 20).frame == 120


def test_what_is_seen_in_passing_is_no_keyframe(chosen: Chosen) -> None:
    assert chosen(*[scene(1)] * 20, *[scene(2)] * 6, *[scene(1)] * 20).frame in (19, 26)


@pytest.mark.parametrize("code", [16, 128, 235])
def test_a_shot_without_a_picture_is_blank(chosen: Chosen, code: int) -> None:
    assert chosen(*[np.full((64, 96), code, np.uint8)] * 11) == Choice(part=ShotRange(0, 10), frame=5, blank=True)


def test_grain_on_black_film_is_no_picture(chosen: Chosen) -> None:
    rng = np.random.default_rng(2)
    grain = [np.clip(rng.normal(20, 3, (64, 96)), 16, 235).astype(np.uint8) for _ in range(10)]
    assert chosen(*grain).blank


def test_each_shot_is_judged_by_its_own_frames(chosen: Chosen) -> None:
    lumas = [*[scene(1)] * 10, *[blurred(scene(2), 6)] * 9, *[blurred(scene(2), 1.5)] * 4]
    assert chosen(*lumas, shot=ShotRange(10, 22)).frame == 19


@given(st.lists(st.integers(0, 3), min_size=1, max_size=20))
def test_the_frame_is_one_of_the_shot(tmp_path_factory: pytest.TempPathFactory, kinds: list[int]) -> None:
    kinds_of_frames = [scene(1), blurred(scene(2)), np.full((64, 96), 16, np.uint8), faded(scene(3), 0.4)]
    lumas = tuple(kinds_of_frames[kind] for kind in kinds)
    first = len(lumas) // 2
    shot = ShotRange(first, len(lumas) - 1)
    assert choice_of(lumas, tmp_path_factory.mktemp("shot"), shot).frame in shot
