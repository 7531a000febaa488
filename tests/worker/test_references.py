"""References find their frame, whatever their size, and say so where they cannot."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from jobs.errors import ReferenceNotColor, ReferenceUndecodable, ReferenceUnplaced
from jobs.options import ReferenceOptions
from tests.support.video_info import video_info
from worker.analysis import analyze
from worker.fitting import center_crop, chroma_reach, fittings, without_bars
from worker.media.decode import open_video
from worker.media.stills import write_png
from worker.references import LocatedReference, Placement, ReferenceLocator
from worker.signatures import SignatureFile
from worker.task import ReferenceFile

Picture = NDArray[np.uint8]
TWO_SHOTS = ((1, 14), (2, 12))


@contextmanager
def locator(path: Path, folder: Path) -> Iterator[ReferenceLocator]:
    with open_video(path) as reader, SignatureFile(folder / "signatures") as signatures:
        found = analyze(reader.frames(), info=reader.info, shots="auto", signatures=signatures, on_frame=lambda _: None)
        yield ReferenceLocator(
            reader, shots=found.shots, signatures=signatures, found={}, folder=folder, check=lambda: None
        )


def placement(film: Any, folder: Path, *pictures: Picture, options: tuple[ReferenceOptions, ...] = ()) -> Placement:
    files = []
    for number, picture in enumerate(pictures):
        path = folder / f"reference-{number}.png"
        write_png(path, picture)
        files.append(ReferenceFile(name=f"{number}.png", path=path))
    with locator(film.path, folder) as found:
        return found.locate(files, options=options, keep_side=480)


def located(film: Any, folder: Path, picture: Picture, **option: Any) -> LocatedReference:
    options = (ReferenceOptions(name="0.png", **option),) if option else ()
    return placement(film, folder, picture, options=options).references[0]


@pytest.mark.parametrize("frame", [0, 6, 13, 14, 25])
def test_a_reference_is_found_by_its_luma(make_film: Callable[..., Any], tmp_path: Path, frame: int) -> None:
    film = make_film(scenes=TWO_SHOTS)
    record = located(film, tmp_path, film.pictures[frame]).record
    assert (record.frame, record.shot, record.placed_by) == (frame, int(frame >= 14), "matching")
    assert record.note is None


def test_a_reference_that_looks_like_its_frame_leaves_confidence_alone(
    make_film: Callable[..., Any], tmp_path: Path
) -> None:
    film = make_film(scenes=TWO_SHOTS)
    painted = film.pictures[18].astype(np.float64) * 0.8 + np.array([30.0, 0.0, 15.0])
    assert located(film, tmp_path, painted.round().astype(np.uint8), frame=18).most_confidence == 1.0


def test_a_reference_of_other_colors_and_contrast_is_found_too(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=TWO_SHOTS)
    painted = film.pictures[18].astype(np.float64) * 0.8 + np.array([30.0, 0.0, 15.0])
    assert located(film, tmp_path, painted.round().astype(np.uint8)).frame == 18


def test_a_reference_of_another_size_is_fitted_and_said(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=TWO_SHOTS)
    reference = located(film, tmp_path, cv2.resize(film.pictures[5], (150, 100), interpolation=cv2.INTER_CUBIC))
    assert reference.frame == 5
    assert reference.record.note == "fitted from 150x100 to 96x64"


def test_black_bars_are_cut_away(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=TWO_SHOTS)
    framed = np.zeros((64 + 40, 96, 3), np.uint8)
    framed[20:84] = film.pictures[16]
    reference = located(film, tmp_path, framed)
    assert reference.frame == 16
    assert "bars" in (reference.record.note or "")
    assert np.abs(reference.picture.astype(int) - film.pictures[16]).max() < 40


def test_what_lies_beyond_the_video_is_cut_off(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=TWO_SHOTS)
    wide = np.full((64, 140, 3), (200, 90, 30), np.uint8)
    wide[:, 22:118] = film.pictures[16]
    reference = located(film, tmp_path, wide)
    assert reference.frame == 16
    assert reference.record.note == "fitted from 140x64 to 96x64, its middle cut out"
    assert (reference.picture == film.pictures[16]).all()


@pytest.mark.parametrize("placed", [True, False], ids=["placed", "found"])
@pytest.mark.parametrize(
    ("rows", "columns"), [(slice(0, 64), slice(12, 84)), (slice(8, 56), slice(0, 96))], ids=["narrower", "wider"]
)
def test_the_middle_of_a_frame_stands_in_its_middle_and_the_rest_is_said_to_be_guessed(
    make_film: Callable[..., Any], tmp_path: Path, rows: slice, columns: slice, placed: bool
) -> None:
    film = make_film(scenes=TWO_SHOTS)
    middle = film.pictures[16][rows, columns]
    options = (ReferenceOptions(name="0.png", frame=16),) if placed else ()
    result = placement(film, tmp_path, middle, options=options)
    [reference] = result.references
    size = f"{middle.shape[1]}x{middle.shape[0]}"
    assert reference.frame == 16
    assert reference.record.note == f"fitted from {size} to 96x64 as the middle of a frame, its edges continued"
    assert reference.picture.shape == (64, 96, 3)
    assert (reference.picture[rows, columns] == middle).all()
    [warning] = result.warnings
    assert warning.startswith(f"The reference 0.png ({size}) shows only the middle of frame 16 (96x64);")


@pytest.mark.parametrize("placed", [True, False], ids=["placed", "found"])
@pytest.mark.parametrize("bars", [(0, 12), (8, 0)], ids=["pillarbox", "letterbox"])
def test_the_picture_between_the_bars_of_a_film_is_a_whole_reference(
    make_film: Callable[..., Any], tmp_path: Path, bars: tuple[int, int], placed: bool
) -> None:
    film = make_film(scenes=TWO_SHOTS, bars=bars)
    middle = film.pictures[16][bars[0] : 64 - bars[0], bars[1] : 96 - bars[1]]
    options = (ReferenceOptions(name="0.png", frame=16),) if placed else ()
    result = placement(film, tmp_path, middle, options=options)
    [reference] = result.references
    assert reference.frame == 16
    assert (reference.record.note or "").endswith("as the picture between the frame's black bars")
    assert (reference.picture == film.pictures[16]).all()
    assert result.warnings == ()


def test_a_picture_that_fits_in_no_way_is_a_warning(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=TWO_SHOTS)
    result = placement(film, tmp_path, film.pictures[14][:, 24:])
    assert result.references[0].frame is None
    [warning] = result.warnings
    assert warning.startswith(
        "The reference 0.png (72x64) has another shape than the video, and looks like none of its"
    )
    assert "likeness 0.5" in warning


ANAMORPHIC = {"wide": (Fraction(16, 11), 140), "pal": (Fraction(16, 15), 102), "scope": (Fraction(2), 192)}
"""Shapes of a film's pixels, and how wide its frames of 96x64 are shown."""


@pytest.mark.parametrize("is_frame", [True, False], ids=["frame", "example"])
@pytest.mark.parametrize("shape", ANAMORPHIC)
def test_a_reference_as_an_anamorphic_film_is_shown_is_stretched_to_its_frame(
    make_film: Callable[..., Any], tmp_path: Path, shape: str, is_frame: bool
) -> None:
    aspect, width = ANAMORPHIC[shape]
    film = make_film(scenes=TWO_SHOTS, aspect=aspect)
    shown = np.asarray(cv2.resize(film.pictures[16], (width, 64), interpolation=cv2.INTER_CUBIC), np.uint8)
    reference = located(film, tmp_path, shown, is_frame=is_frame)
    assert reference.frame == (16 if is_frame else None)
    assert f"from {width}x64 to 96x64, stretched to the video's shape" in (reference.record.note or "")
    assert (reference.picture == shown).all()


def test_a_reference_as_an_anamorphic_film_is_stored_is_taken_as_it_is(
    make_film: Callable[..., Any], tmp_path: Path
) -> None:
    film = make_film(scenes=TWO_SHOTS, aspect=Fraction(2))
    reference = located(film, tmp_path, cv2.resize(film.pictures[5], (150, 100), interpolation=cv2.INTER_CUBIC))
    assert (reference.frame, reference.record.note) == (5, "fitted from 150x100 to 96x64")


def test_bars_around_an_anamorphic_film_as_it_is_shown_are_cut_away(
    make_film: Callable[..., Any], tmp_path: Path
) -> None:
    film = make_film(scenes=TWO_SHOTS, aspect=Fraction(2))
    framed = np.zeros((64 + 40, 192, 3), np.uint8)
    framed[20:84] = cv2.resize(film.pictures[16], (192, 64), interpolation=cv2.INTER_CUBIC)
    reference = located(film, tmp_path, framed)
    assert reference.frame == 16
    assert "bars" in (reference.record.note or "")
    assert reference.picture.shape == (64, 192, 3)


def test_where_a_film_is_wrong_about_its_pixels_its_luma_decides(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=TWO_SHOTS, aspect=Fraction(16, 11))
    wide = np.full((64, 140, 3), (200, 90, 30), np.uint8)
    wide[:, 22:118] = film.pictures[16]
    reference = located(film, tmp_path, wide)
    assert (reference.frame, reference.record.note) == (16, "fitted from 140x64 to 96x64, its middle cut out")
    assert (reference.picture == film.pictures[16]).all()


def test_a_reference_that_stands_upright_is_laid_on_its_side(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=TWO_SHOTS)
    reference = located(film, tmp_path, np.ascontiguousarray(np.rot90(film.pictures[9], 3)))
    assert reference.frame == 9
    assert (reference.picture == film.pictures[9]).all()
    assert "turned left" in (reference.record.note or "")


def test_a_reference_stands_where_its_user_says(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=TWO_SHOTS)
    record = located(film, tmp_path, film.pictures[3], frame=3).record
    assert (record.frame, record.shot, record.placed_by) == (3, 0, "user")
    assert located(film, tmp_path, film.pictures[20], time_seconds=0.79).frame == 20


def test_a_place_that_does_not_look_like_the_reference_is_a_warning(
    make_film: Callable[..., Any], tmp_path: Path
) -> None:
    film = make_film(scenes=TWO_SHOTS)
    result = placement(film, tmp_path, film.pictures[3], options=(ReferenceOptions(name="0.png", frame=20),))
    reference = result.references[0]
    assert reference.frame == 20
    assert reference.likeness < 0.6
    assert reference.most_confidence == max(0.0, reference.likeness)
    assert "does not look like frame 20" in (reference.record.note or "")
    [warning] = result.warnings
    assert "0.png was placed at frame 20, but does not look like it" in warning
    assert "It looks like frame 3 (likeness 1.00): place it there" in warning


def test_a_place_for_a_picture_of_another_film_is_a_warning(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=TWO_SHOTS)
    stranger = make_film("other.mkv", scenes=((9, 1),))
    result = placement(film, tmp_path, stranger.pictures[0], options=(ReferenceOptions(name="0.png", frame=20),))
    assert result.references[0].frame == 20
    [warning] = result.warnings
    assert "no other frame either" in warning


@pytest.mark.parametrize(
    ("option", "told"),
    [({"frame": 26}, "0 to 25"), ({"time_seconds": 2.0}, "1.040 s"), ({"within": [20, 26]}, "has 26 frames, 0 to 25")],
    ids=["frame", "time", "range"],
)
def test_a_place_outside_of_the_video_is_refused_with_the_range(
    make_film: Callable[..., Any], tmp_path: Path, option: dict[str, Any], told: str
) -> None:
    film = make_film(scenes=TWO_SHOTS)
    with pytest.raises(ReferenceUnplaced, match=told):
        located(film, tmp_path, film.pictures[0], **option)


def test_a_reference_of_another_scene_is_refused_and_the_likeliest_frame_named(
    make_film: Callable[..., Any], tmp_path: Path
) -> None:
    film = make_film(scenes=TWO_SHOTS)
    stranger = make_film("other.mkv", scenes=((9, 1),))
    with pytest.raises(ReferenceUnplaced, match=r"likeliest is frame \d+ .* likeness of -?0\.\d\d"):
        located(film, tmp_path, stranger.pictures[0])


def test_a_gray_reference_is_refused_and_what_was_found_is_said(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=TWO_SHOTS)
    gray = np.repeat(film.pictures[0][..., :1], 3, axis=2)
    with pytest.raises(ReferenceNotColor, match=r"0\.png is gray.* 0\.0 of 255"):
        located(film, tmp_path, gray)


def test_a_corrupt_reference_is_refused(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=TWO_SHOTS)
    path = tmp_path / "stored"
    path.write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with locator(film.path, tmp_path) as found, pytest.raises(ReferenceUndecodable, match=r"reference broken\.png"):
        found.locate([ReferenceFile("broken.png", path)], options=(), keep_side=480)


def test_a_reference_that_matches_two_places_is_a_warning(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=((1, 20), (2, 20), (1, 20)))
    result = placement(film, tmp_path, film.pictures[4])
    assert result.references[0].frame in (4, 44)
    assert any("frame 4 " in warning and "frame 44" in warning for warning in result.warnings)


@pytest.mark.parametrize(("within", "frame"), [([0, 19], 4), ([40, 59], 44), ([20, 59], 44), ([44, 44], 44)])
def test_of_two_places_that_look_the_same_that_within_the_range_is_taken(
    make_film: Callable[..., Any], tmp_path: Path, within: list[int], frame: int
) -> None:
    film = make_film(scenes=((1, 20), (2, 20), (1, 20)))
    result = placement(film, tmp_path, film.pictures[4], options=(ReferenceOptions(name="0.png", within=within),))
    assert result.references[0].frame == frame
    assert result.references[0].record.placed_by == "matching"
    assert result.warnings == ()


def test_nothing_beyond_the_range_is_taken_however_like_it_is(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=TWO_SHOTS)
    # From frame to frame the picture moves on, so that the likest are those next to the range.
    assert located(film, tmp_path, film.pictures[7], within=[0, 6]).record.shot == 0
    assert located(film, tmp_path, film.pictures[7], within=[7, 13]).frame == 7
    with pytest.raises(ReferenceUnplaced) as caught:
        located(film, tmp_path, film.pictures[7], within=[16, 24])
    assert "matches none of the frames 16 to 24, among which it was looked for: the likeliest is" in str(caught.value)
    assert "It looks like frame 7 (likeness 1.00): place it there" in str(caught.value)


def test_a_shot_that_is_like_a_long_still_one_is_not_overlooked(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=(*[(1, 1)] * 80, (2, 12), (1, 12)))
    [warning] = placement(film, tmp_path, film.pictures[92]).warnings
    assert "matches frame 92 as well as frame " in warning


def test_two_references_of_one_frame_are_a_warning(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=TWO_SHOTS)
    result = placement(film, tmp_path, film.pictures[4], film.pictures[4])
    assert [one.frame for one in result.references] == [4, 4]
    assert any("both of frame 4" in warning for warning in result.warnings)


def test_options_for_a_reference_that_is_not_there_are_a_warning(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=TWO_SHOTS)
    result = placement(film, tmp_path, film.pictures[4], options=(ReferenceOptions(name="lost.png", frame=1),))
    assert any("lost.png" in warning for warning in result.warnings)


def test_large_references_are_kept_small(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=TWO_SHOTS)
    path = tmp_path / "large.png"
    write_png(path, cv2.resize(film.pictures[5], (960, 640)))
    with locator(film.path, tmp_path) as found:
        reference = found.locate([ReferenceFile("large.png", path)], options=(), keep_side=64).references[0]
    assert reference.picture.shape == (64, 96, 3)


def test_chroma_reach_sees_a_small_colored_thing_and_no_compression_noise() -> None:
    rng = np.random.default_rng(1)
    gray = np.repeat(rng.integers(0, 256, (100, 160, 1)), 3, axis=2).astype(np.uint8)
    noisy = cv2.imdecode(cv2.imencode(".jpg", gray)[1], cv2.IMREAD_COLOR)
    assert chroma_reach(np.asarray(noisy, np.uint8)) < 2
    spotted = gray.copy()
    spotted[40:52, 40:52] = (220, 40, 40)
    assert chroma_reach(spotted) > 40


def test_a_dark_picture_is_no_letterbox() -> None:
    dark = np.zeros((100, 100, 3), np.uint8)
    dark[45:55, 45:55] = 200
    assert without_bars(dark).shape == dark.shape
    assert without_bars(np.zeros((10, 10, 3), np.uint8)).shape == (10, 10, 3)


@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(16, 11), Fraction(1, 9999), Fraction(9999)])
@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (33, 17)])
def test_pictures_of_any_shape_fit_somehow(size: tuple[int, int], aspect: Fraction) -> None:
    picture = np.full((*size, 3), 90, np.uint8)
    made = list(fittings(picture, info=video_info(width=854, height=480, sample_aspect=aspect)))
    assert made
    assert all(min(fitting.picture.shape[:2]) >= 1 for fitting in made)
    assert min(center_crop(picture, aspect=0.001).shape) >= 1


def test_a_reference_that_is_no_frame_is_searched_nowhere(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=TWO_SHOTS)
    stranger = make_film("other.mkv", scenes=((9, 2),))
    reference = located(film, tmp_path, stranger.pictures[0], is_frame=False)
    assert (reference.frame, reference.record.shot, reference.record.placed_by) == (None, None, "user")
    assert "no frame of the video" in (reference.record.note or "")
