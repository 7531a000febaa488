"""Shots are cut where the luma is, and every frame leaves a signature that finds it again."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from video_info import video_info

from tests.worker.conftest import drawn_scene, luma_of_picture
from worker.analysis import SHORTEST_SHOT, Analysis, ShotRange, ShotsOption, analyze, ranges
from worker.media.decode import open_video
from worker.media.frames import LumaFrame, VideoInfo
from worker.signatures import SignatureFile, signature_of, similarities


def analyzed(path: Path, folder: Path, shots: ShotsOption = "auto") -> Analysis:
    with open_video(path) as reader, SignatureFile(folder / "signatures") as signatures:
        return analyze(reader.frames(), info=reader.info, shots=shots, signatures=signatures, on_frame=lambda _: None)


def test_a_cut_between_two_scenes_is_found_to_the_frame(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=((1, 14), (2, 11)))
    assert analyzed(film.path, tmp_path).shots == (ShotRange(0, 13), ShotRange(14, 24))


def test_a_scene_that_only_moves_is_one_shot(make_film: Callable[..., Any], tmp_path: Path) -> None:
    assert analyzed(make_film(scenes=((1, 30),)).path, tmp_path).shots == (ShotRange(0, 29),)


def test_single_ignores_cuts(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=((1, 14), (2, 11)))
    assert analyzed(film.path, tmp_path, "single").shots == (ShotRange(0, 24),)


def test_explicit_cuts_are_taken_and_those_beyond_the_end_are_told(
    make_film: Callable[..., Any], tmp_path: Path
) -> None:
    result = analyzed(make_film(scenes=((1, 10),)).path, tmp_path, [7, 3, 3, 10])
    assert result.shots == (ShotRange(0, 2), ShotRange(3, 6), ShotRange(7, 9))
    assert len(result.warnings) == 1
    assert "frame 10" in result.warnings[0]
    assert "0 to 9" in result.warnings[0]


@given(cuts=st.sets(st.integers(1, 99)), frames=st.just(100))
def test_shots_cover_every_frame_once(cuts: set[int], frames: int) -> None:
    shots = ranges(sorted(cuts), frames=frames)
    assert [frame for shot in shots for frame in range(shot.first, shot.last + 1)] == list(range(frames))
    assert {shot.first for shot in shots} == {0, *cuts}


def test_a_frame_is_most_similar_to_itself_at_any_brightness_and_contrast() -> None:
    rng = np.random.default_rng(3)
    pictures = [rng.random((36, 64)).astype(np.float32) for _ in range(5)]
    many = np.stack([signature_of(picture) for picture in pictures])
    scores = similarities(many, signature_of(pictures[3] * np.float32(0.4) + np.float32(0.3)))
    assert scores.argmax() == 3
    assert scores[3] > 0.99
    assert np.delete(scores, 3).max() < 0.3


def test_a_flat_frame_resembles_nothing() -> None:
    flat = signature_of(np.full((36, 64), 0.5, np.float32))
    assert not flat.any()
    assert similarities(flat[None], flat).tolist() == [0.0]


def test_signatures_on_disk_are_those_put_there_and_are_gone_afterward(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    wanted = [signature_of(rng.random((18, 32)).astype(np.float32)) for _ in range(10)]
    with SignatureFile(tmp_path / "signatures") as file:
        for signature in wanted:
            file.append(signature)
        assert len(file) == 10
        assert (file.read(2, 4) == np.stack(wanted[2:5])).all()
        assert file.similarities(wanted[6]).argmax() == 6
    assert list(tmp_path.iterdir()) == []


def test_a_single_frame_is_a_shot(tmp_path: Path) -> None:
    luma: NDArray[np.uint8] = np.arange(48 * 64, dtype=np.uint8).reshape(48, 64)
    frame = LumaFrame(index=0, pts=0, time_base=Fraction(1, 25), luma=luma)
    with SignatureFile(tmp_path / "signatures") as signatures:
        found = analyze([frame], info=video_info(), shots="auto", signatures=signatures, on_frame=lambda _: None)
    assert found.shots == (ShotRange(0, 0),)


def scene(seed: int, frames: int) -> list[NDArray[Any]]:
    """Luma of a picture that moves, in 0..1."""
    pictures = (drawn_scene(seed, index, width=128, height=72) for index in range(frames))
    return [luma_of_picture(picture).astype(np.float64) / 255 for picture in pictures]


def found_cuts(lumas: Sequence[NDArray[Any]], folder: Path) -> list[int]:
    height, width = lumas[0].shape
    info = VideoInfo(
        width=width,
        height=height,
        frames=len(lumas),
        duration_seconds=len(lumas) / 25,
        frame_rate=Fraction(25),
        codec="ffv1",
        pixel_format="gray",
        bit_depth=8,
        full_range=True,
        matrix="bt601",
        has_audio=False,
    )
    frames = (
        LumaFrame(index, index, Fraction(1, 25), np.rint(luma.clip(0, 1) * 255).astype(np.uint8))
        for index, luma in enumerate(lumas)
    )
    with SignatureFile(folder / "signatures") as signatures:
        analysis = analyze(frames, info=info, shots="auto", signatures=signatures, on_frame=lambda _: None)
    return [shot.first for shot in analysis.shots[1:]]


def flashed(lumas: Sequence[NDArray[Any]], frames: int) -> list[NDArray[Any]]:
    return [luma * 0.2 + 0.8 if 30 <= index < 30 + frames else luma for index, luma in enumerate(lumas)]


def faded(lumas: Sequence[NDArray[Any]], frames: int) -> list[NDArray[Any]]:
    """To black in the middle, and up again."""
    middle = len(lumas) // 2
    return [luma * min(1.0, abs(index + 0.5 - middle) / frames) for index, luma in enumerate(lumas)]


def flickering(lumas: Sequence[NDArray[Any]], strength: float) -> list[NDArray[Any]]:
    rng = np.random.default_rng(1)
    return [luma * (1 + strength * rng.standard_normal()) for luma in lumas]


def grainy(lumas: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    rng = np.random.default_rng(1)
    return [luma + 0.08 * rng.standard_normal(luma.shape) for luma in lumas]


def unsteady(lumas: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    rng = np.random.default_rng(1)
    return [np.roll(luma, round(4 * rng.standard_normal()), axis=0) for luma in lumas]


@pytest.mark.parametrize(
    "spoiled",
    [
        lambda lumas: lumas,
        lambda lumas: flashed(lumas, 1),
        lambda lumas: flashed(lumas, 4),
        lambda lumas: flickering(lumas, 0.1),
        lambda lumas: flickering(lumas, 0.3),
        grainy,
        unsteady,
    ],
    ids=["clean", "flash", "long flash", "flicker", "strong flicker", "grain", "unsteady gate"],
)
def test_old_film_is_cut_where_it_was_cut_and_nowhere_else(
    spoiled: Callable[[Sequence[NDArray[Any]]], Sequence[NDArray[Any]]], tmp_path: Path
) -> None:
    assert found_cuts(spoiled([*scene(1, 60), *scene(2, 60)]), tmp_path) == [60]


def test_a_cut_in_fast_motion_is_found(tmp_path: Path) -> None:
    """Every frame differs from the next by nearly half as much as two scenes do."""

    def fast(seed: int) -> list[NDArray[Any]]:
        wide = cv2.resize(np.random.default_rng(seed).random((9, 100)), (1600, 72), interpolation=cv2.INTER_CUBIC)
        return [wide[:, 6 * step : 6 * step + 128] for step in range(40)]

    assert found_cuts([*fast(1), *fast(2)], tmp_path) == [40]


@pytest.mark.parametrize("shots", [2, 3, 6])
def test_shots_of_the_least_length_are_found(shots: int, tmp_path: Path) -> None:
    lumas = [luma for seed in range(1, shots + 1) for luma in scene(seed, SHORTEST_SHOT)]
    assert found_cuts(lumas, tmp_path) == list(range(SHORTEST_SHOT, len(lumas), SHORTEST_SHOT))


@pytest.mark.parametrize("frames", [1, 3, SHORTEST_SHOT - 1])
def test_what_is_shorter_than_a_shot_is_cut_off_from_neither_side(frames: int, tmp_path: Path) -> None:
    [cut] = found_cuts([*scene(1, 30), *scene(2, frames), *scene(3, 30)], tmp_path)
    assert cut in (30, 30 + frames)


@pytest.mark.parametrize("frames", [3, SHORTEST_SHOT - 1])
def test_what_is_seen_again_right_behind_a_picture_of_something_else_is_one_shot(frames: int, tmp_path: Path) -> None:
    film = scene(1, 60)
    assert found_cuts([*film[:30], *scene(2, frames), *film[30:]], tmp_path) == []


def test_leader_and_tail_are_cut_off_and_not_in_two(tmp_path: Path) -> None:
    black = [np.zeros((36, 64), np.float32)] * 50
    assert found_cuts([*black, *scene(1, 40), *black], tmp_path) == [50, 90]
    assert found_cuts(black, tmp_path) == []


@pytest.mark.parametrize("frames", [8, 25])
def test_a_fade_ends_a_shot_only_where_another_picture_follows(frames: int, tmp_path: Path) -> None:
    [cut] = found_cuts(faded([*scene(1, 60), *scene(2, 60)], frames), tmp_path)
    assert abs(cut - 60) <= 1
    assert found_cuts(faded(scene(1, 120), frames), tmp_path) == []
