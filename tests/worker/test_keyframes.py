"""The keyframes of a video come as pictures that references are made of."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from jobs.errors import FrameNotFound, JobCanceled, StorageFull, TooManyFrames, VideoTooLong, VideoUndecodable
from jobs.options import FrameOptions, KeyframeOptions
from worker.analysis import analyze
from worker.keyframes import LIST_NAME, FoundKeyframes, KeyframesTask, find_keyframes
from worker.media.decode import open_video
from worker.media.stills import read_image, write_png
from worker.references import ReferenceLocator
from worker.signatures import SignatureFile
from worker.task import Limits, ReferenceFile

THREE_SHOTS = ((1, 60), (2, 14), (3, 70))
LIMITS = Limits(max_pixels=10**9, max_duration_seconds=10**6, max_frames=10**9)


class Watching:
    """An observer that remembers, and cancels where it is told to."""

    def __init__(self, *, cancel_in: str | None = None) -> None:
        self.phases: list[str] = []
        self.fractions: list[float] = []
        self.totals: dict[str, int] = {}
        self.learned_names: list[str] = []
        self.shown: dict[int, bytes] = {}
        self._cancel_in = cancel_in

    def entered(self, phase: str) -> None:
        self.phases.append(phase)

    def advanced(self, *, fraction: float, frames_done: int, frames_total: int) -> None:
        self.fractions.append(fraction)
        self.totals[self.phases[-1]] = frames_total

    def learned(self, **facts: object) -> None:
        self.learned_names += [name for name, value in facts.items() if value is not None]

    def showed(self, frame: int, picture: bytes) -> None:
        self.shown[frame] = picture

    def check(self) -> None:
        if self._cancel_in is not None and self.phases[-1:] == [self._cancel_in]:
            raise JobCanceled("canceled")


def found_in(
    video: Path,
    folder: Path,
    *,
    shots: Any = "auto",
    frames: Any = (),
    every_seconds: float | None = None,
    limits: Limits = LIMITS,
    observer: Any = None,
) -> FoundKeyframes:
    """Keyframes of `video`, their files in `folder`."""
    folder.mkdir(exist_ok=True)

    def keep(name: str, content: bytes) -> None:
        (folder / name).write_bytes(content)

    scratch = folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    options = KeyframeOptions(shots=shots, frames=[FrameOptions(**one) for one in frames], every_seconds=every_seconds)
    task = KeyframesTask(video=video, options=options, folder=scratch, limits=limits)
    try:
        return find_keyframes(task, keep=keep, observer=observer or Watching())
    finally:
        assert list(scratch.iterdir()) == []


def test_every_shot_has_one_and_its_picture_is_that_frame(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=THREE_SHOTS)
    found = found_in(film.path, tmp_path / "out")
    assert [(one.shot, one.first_frame, one.last_frame) for one in found.keyframes] == [
        (0, 0, 59),
        (1, 60, 73),
        (2, 74, 143),
    ]
    for one in found.keyframes:
        assert one.first_frame <= one.frame <= one.last_frame
        assert one.time_seconds == pytest.approx(one.frame / 25)
        assert one.name == f"shot-{one.shot + 1:04d}_frame-{one.frame:06d}.png"
        picture = read_image(tmp_path / "out" / one.name)
        expected = (film.lumas[one.frame].astype(float) - 16) * 255 / 219
        assert picture.shape == (64, 96, 3)
        assert np.abs(picture.astype(float) - expected[..., None]).max() <= 0.5
    assert json.loads((tmp_path / "out" / LIST_NAME).read_text()) == found.model_dump(mode="json")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {LIST_NAME, *(one.name for one in found.keyframes)}


def test_frames_that_are_asked_for_are_found_without_a_search(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=THREE_SHOTS)
    watching = Watching()
    found = found_in(
        film.path,
        tmp_path / "out",
        frames=[{"time_seconds": 3.999}, {"frame": 7}, {"frame": 100}],
        observer=watching,
    )
    assert [(one.frame, one.name) for one in found.keyframes] == [
        (7, "frame-000007.png"),
        (100, "frame-000100.png"),
    ]
    assert "detecting_shots" not in watching.phases
    picture = read_image(tmp_path / "out" / "frame-000100.png")
    expected = (film.lumas[100].astype(float) - 16) * 255 / 219
    assert np.abs(picture.astype(float) - expected[..., None]).max() <= 0.5
    assert sorted(watching.shown) == [7, 100]


@pytest.mark.parametrize("place", [{"frame": 144}, {"time_seconds": 6.0}])
def test_a_frame_that_the_video_does_not_have_is_said(
    make_film: Callable[..., Any], tmp_path: Path, place: dict[str, Any]
) -> None:
    film = make_film(scenes=THREE_SHOTS)
    with pytest.raises(FrameNotFound, match="0 to 143"):
        found_in(film.path, tmp_path / "out", frames=[place])


def test_ten_bits_become_eight_over_the_whole_range(make_video: Callable[..., Any], tmp_path: Path) -> None:
    video = make_video(pix_fmt="yuv420p10le", frames=3)
    found = found_in(video.path, tmp_path / "out")
    picture = read_image(tmp_path / "out" / found.keyframes[0].name)
    expected = (video.lumas[found.keyframes[0].frame].astype(float) - 64) * 255 / 876
    assert np.abs(picture[..., 0] - expected).max() <= 0.5
    assert np.ptp(picture) == 255


def placed(video: Path, folder: Path, pictures: dict[str, Any]) -> dict[str, int | None]:
    """Where matching alone puts these pictures."""
    files = []
    for name, picture in pictures.items():
        write_png(folder / name, picture)
        files.append(ReferenceFile(name=name, path=folder / name))
    with open_video(video) as reader, SignatureFile(folder / "signatures") as signatures:
        shots = analyze(
            reader.frames(), info=reader.info, shots="auto", signatures=signatures, on_frame=lambda _: None
        ).shots
        locator = ReferenceLocator(
            reader, shots=shots, signatures=signatures, found={}, folder=folder, check=lambda: None
        )
        placement = locator.locate(files, options=(), keep_side=480)
    return {reference.record.name: reference.frame for reference in placement.references}


def painted(path: Path) -> Any:
    """The picture in a warm tone."""
    toned = read_image(path).astype(float) * np.array([0.9, 0.8, 0.65]) + np.array([20, 8, 0])
    return np.rint(toned).astype(np.uint8)


def test_a_painted_keyframe_is_placed_where_it_was_taken(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=THREE_SHOTS)
    found = found_in(film.path, tmp_path / "out")
    pictures = {one.name: painted(tmp_path / "out" / one.name) for one in found.keyframes}
    assert placed(film.path, tmp_path, pictures) == {one.name: one.frame for one in found.keyframes}


@pytest.mark.parametrize("rotation", [90, -90])
def test_a_film_of_a_phone_is_painted_upright_and_placed(
    make_video: Callable[..., Any], tmp_path: Path, rotation: int
) -> None:
    video = make_video(frames=12, rotation=rotation)
    found = found_in(video.path, tmp_path / "out")
    one = found.keyframes[0]
    picture = painted(tmp_path / "out" / one.name)
    assert picture.shape == (64, 48, 3)
    stored = read_image(tmp_path / "out" / one.name)[..., 0].astype(float)
    expected = (video.lumas[one.frame].astype(float) - 16) * 255 / 219
    # A display rotation of 90 turns counterclockwise.
    assert np.abs(np.rot90(stored, -rotation // 90) - expected).max() <= 0.5
    assert placed(video.path, tmp_path, {one.name: picture}) == {one.name: one.frame}


def test_of_an_anamorphic_film_pictures_to_color_are_as_stored_and_those_to_look_at_as_shown(
    make_video: Callable[..., Any], tmp_path: Path
) -> None:
    for name, rotation, stored, shown, display in (
        ("film.mp4", 0, (64, 48), (64, 34), (91, 48)),
        ("phone.mp4", 90, (48, 64), (34, 64), (48, 91)),
    ):
        video = make_video(name, aspect=Fraction(64, 45), rotation=rotation, frames=4)
        watching = Watching()
        found = found_in(video.path, tmp_path / video.path.stem, observer=watching)
        (one,) = found.keyframes
        assert read_image(tmp_path / video.path.stem / one.name).shape[1::-1] == stored
        still = cv2.imdecode(np.frombuffer(watching.shown[one.frame], np.uint8), cv2.IMREAD_COLOR)
        assert still is not None
        assert still.shape[1::-1] == shown
        assert (found.video.display_width, found.video.display_height) == display
        assert found.video.quarter_turns == rotation // 90


def test_pictures_that_would_not_be_turned_back_stay_as_stored(make_video: Callable[..., Any], tmp_path: Path) -> None:
    for name, width, rotation in (("square.mp4", 48, 90), ("half.mp4", 64, 180)):
        video = make_video(name, width=width, height=48, frames=4, rotation=rotation)
        one = found_in(video.path, tmp_path / name.split(".")[0]).keyframes[0]
        picture = read_image(tmp_path / name.split(".")[0] / one.name)[..., 0]
        expected = (video.lumas[one.frame].astype(float) - 16) * 255 / 219
        assert np.abs(picture - expected).max() <= 0.5


def test_single_makes_one_picture_and_explicit_cuts_are_taken(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=((1, 14), (2, 12)))
    assert len(found_in(film.path, tmp_path / "one", shots="single").keyframes) == 1
    found = found_in(film.path, tmp_path / "two", shots=[5, 900])
    assert [one.first_frame for one in found.keyframes] == [0, 5]
    assert "frame 900" in found.warnings[0]


def test_a_long_shot_may_have_several(make_film: Callable[..., Any], tmp_path: Path) -> None:
    """60, 14 and 70 frames at 25 per second: 2.4, 0.6 and 2.8 seconds."""
    found = found_in(make_film(scenes=THREE_SHOTS).path, tmp_path / "out", every_seconds=1)
    assert [(one.shot, one.first_frame, one.last_frame) for one in found.keyframes] == [
        *[(0, 0, 59)] * 2,
        (1, 60, 73),
        *[(2, 74, 143)] * 3,
    ]
    parts = [(0, 29), (30, 59), (60, 73), (74, 96), (97, 119), (120, 143)]
    assert all(first <= one.frame <= last for one, (first, last) in zip(found.keyframes, parts, strict=True))
    assert len({path.name for path in (tmp_path / "out").glob("*.png")}) == len(parts)


def test_a_shot_is_as_long_as_its_frames_stand(make_video: Callable[..., Any], tmp_path: Path) -> None:
    """Twelve frames of 40 ms, then twelve of 200 ms: 0.5 and 2.4 seconds; by the average rate both would be 1.4."""
    film = make_video(frames=24, steps=[1] * 12 + [5] * 12, time_base=Fraction(1, 25))
    found = found_in(film.path, tmp_path / "out", shots=[12], every_seconds=1)
    assert [one.first_frame for one in found.keyframes] == [0, 12, 12]


def test_a_film_is_not_divided_into_too_many_parts(make_video: Callable[..., Any], tmp_path: Path) -> None:
    film = make_video(frames=101, rate=Fraction(1, 10), width=16, height=16).path
    watching = Watching()
    with pytest.raises(TooManyFrames, match=r"every 1 s of a film of 1010 s .* Ask for one for every 2 s or more"):
        found_in(film, tmp_path / "out", every_seconds=1, observer=watching)
    assert watching.phases == ["probing"]
    assert len(found_in(film, tmp_path / "out", shots="single", every_seconds=20).keyframes) == 50


@pytest.mark.parametrize("every_seconds", [None, 1])
def test_a_film_may_have_more_shots_than_that(
    make_video: Callable[..., Any], tmp_path: Path, every_seconds: float | None
) -> None:
    film = make_video(frames=1010, width=16, height=16).path
    found = found_in(film, tmp_path / "out", shots=list(range(1, 1010)), every_seconds=every_seconds)
    assert len(found.keyframes) == 1010


def test_an_empty_shot_is_told(make_video: Callable[..., Any], tmp_path: Path) -> None:
    black = tmp_path / "black.mkv"
    write_black(black)
    found = found_in(black, tmp_path / "out")
    assert found.warnings == ["Nothing is to be seen, and so to be colored, in the frames 0 to 8."]
    assert found_in(make_video().path, tmp_path / "seen").warnings == []


def test_leader_has_no_keyframe(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=((1, 12), (2, 14)), black=12)
    found = found_in(film.path, tmp_path / "out")
    assert [(one.shot, one.first_frame, one.last_frame) for one in found.keyframes] == [(1, 12, 25)]
    assert found.warnings == ["Nothing is to be seen, and so to be colored, in the frames 0 to 11."]


def test_of_blank_parts_that_adjoin_one_stretch_is_told(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=((1, 80), (2, 60)), black=80)
    found = found_in(film.path, tmp_path / "out", every_seconds=1)
    assert [one.first_frame for one in found.keyframes] == [80, 80]
    assert found.warnings == ["Nothing is to be seen, and so to be colored, in the frames 0 to 79."]


def test_that_the_end_of_the_film_may_be_missing_is_told(make_video: Callable[..., Any], tmp_path: Path) -> None:
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(make_video("long.mkv", width=16, height=16, frames=400, rate=2).path.read_bytes()[:-2200])
    [warning] = found_in(cut, tmp_path / "out").warnings
    assert "its end may be missing" in warning


def write_black(path: Path) -> None:
    import av

    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(9):
            gray = av.VideoFrame.from_ndarray(np.zeros((48, 64), np.uint8), format="gray")
            out.mux(stream.encode(gray.reformat(format="yuv420p")))
        out.mux(stream.encode(None))


def test_an_observer_is_told_of_all_of_it(make_film: Callable[..., Any], tmp_path: Path) -> None:
    watching = Watching()
    found_in(make_film(scenes=THREE_SHOTS).path, tmp_path / "out", observer=watching)
    assert watching.phases == ["probing", "detecting_shots", "encoding"]
    assert watching.fractions == sorted(watching.fractions)
    assert watching.fractions[-1] == 1.0
    assert watching.totals == dict.fromkeys(watching.phases, 144)
    assert watching.learned_names == ["video", "warnings"]


@pytest.mark.parametrize("phase", ["probing", "detecting_shots", "encoding"])
def test_a_search_that_is_canceled_ends_in_every_phase(
    make_film: Callable[..., Any], tmp_path: Path, phase: str
) -> None:
    film = make_film(scenes=THREE_SHOTS)
    with pytest.raises(JobCanceled):
        found_in(film.path, tmp_path / "out", observer=Watching(cancel_in=phase))
    assert LIST_NAME not in {path.name for path in (tmp_path / "out").iterdir()}


def test_what_is_no_video_or_too_long_is_refused(make_film: Callable[..., Any], tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    with pytest.raises(VideoUndecodable):
        found_in(text, tmp_path / "out")
    with pytest.raises(VideoTooLong):
        found_in(
            make_film(scenes=((1, 12),)).path,
            tmp_path / "out",
            limits=Limits(max_pixels=10**9, max_duration_seconds=10**6, max_frames=5),
        )


def test_a_full_disk_is_told_as_such(make_film: Callable[..., Any], tmp_path: Path) -> None:
    def full(name: str, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    task = KeyframesTask(video=make_film().path, options=KeyframeOptions(), folder=tmp_path, limits=LIMITS)
    with pytest.raises(StorageFull):
        find_keyframes(task, keep=full, observer=Watching())
