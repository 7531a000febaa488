import json
import resource
import zipfile
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from jobs.errors import StorageFull
from worker.media.decode import open_video
from worker.media.frame_archive import FrameArchive
from worker.media.stills import to_rgb


def archive(source: Path, target: Path, *, cut: int, reddish: float = 0.25) -> None:
    """All frames of `source` with one color over each, in two segments."""
    with open_video(source) as reader:
        info = reader.info
        output = FrameArchive(info=info, timeline=reader.timeline)
        middle = 1 << (info.bit_depth - 1)
        chroma = np.full((2, 8, 8), middle, dtype=np.uint8 if info.bit_depth == 8 else np.uint16)
        chroma[1] += chroma.dtype.type(reddish * middle)
        segments = [target.with_suffix(f".{number}") for number in range(2)]
        for path, (first, last) in zip(segments, [(0, cut - 1), (cut, info.frames - 1)], strict=True):
            with output.open_segment(path) as writer:
                for frame in reader.frames(first, last):
                    writer.write(frame, chroma)
        output.join(target, segments)


def test_every_frame_is_a_picture_of_its_own_named_by_its_number(make_video: Any, tmp_path: Path) -> None:
    made = make_video(frames=5, codec="ffv1", name="in.mkv", options={})
    target = tmp_path / "frames.zip"
    archive(made.path, target, cut=2)
    with zipfile.ZipFile(target) as found, open_video(made.path) as reader:
        assert found.testzip() is None
        assert found.namelist() == [*(f"frame-{number:06d}.png" for number in range(5)), "frames.json"]
        for number, frame in enumerate(reader.frames()):
            bgr = cv2.imdecode(np.frombuffer(found.read(f"frame-{number:06d}.png"), np.uint8), cv2.IMREAD_UNCHANGED)
            chroma = np.full((2, 8, 8), 128, dtype=np.uint8)
            chroma[1] += np.uint8(32)
            assert np.array_equal(bgr[..., ::-1], to_rgb(frame.luma, chroma, info=reader.info))


def test_the_list_tells_when_each_frame_is_shown(make_video: Any, tmp_path: Path) -> None:
    made = make_video(frames=4, steps=[1, 3, 1, 2])
    target = tmp_path / "frames.zip"
    archive(made.path, target, cut=1)
    with zipfile.ZipFile(target) as found:
        listed = json.loads(found.read("frames.json"))
    assert [entry["name"] for entry in listed] == [f"frame-{number:06d}.png" for number in range(4)]
    assert [entry["frame"] for entry in listed] == [0, 1, 2, 3]
    assert [entry["time_seconds"] for entry in listed] == pytest.approx(
        [float(time - made.times[0]) for time in made.times]
    )


def test_the_list_tells_the_times_that_the_film_is_written_with(make_video: Any, tmp_path: Path) -> None:
    rate = Fraction(24000, 1001)
    made = make_video("in.mkv", rate=rate, frames=60)
    target = tmp_path / "frames.zip"
    archive(made.path, target, cut=1)
    with zipfile.ZipFile(target) as found:
        listed = json.loads(found.read("frames.json"))
    assert [entry["time_seconds"] for entry in listed] == [float(index / rate) for index in range(60)]


def test_a_film_of_ten_bits_gives_pictures_of_sixteen(make_video: Any, tmp_path: Path) -> None:
    made = make_video("in.mkv", frames=2, codec="ffv1", options={}, pix_fmt="yuv422p10le")
    target = tmp_path / "frames.zip"
    archive(made.path, target, cut=1, reddish=0.0)
    with zipfile.ZipFile(target) as found:
        picture = cv2.imdecode(np.frombuffer(found.read("frame-000001.png"), np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture.dtype == np.uint16
    luma = (made.lumas[1].astype(float) - 64) / 876
    assert np.abs(picture.astype(float) / 65_535 - np.clip(luma, 0, 1)[..., None]).max() < 1 / 65_535


def test_the_same_film_makes_the_same_file(make_video: Any, tmp_path: Path) -> None:
    made = make_video(frames=3)
    for name in ("a.zip", "b.zip"):
        archive(made.path, tmp_path / name, cut=2)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_what_breaks_off_leaves_no_file(make_video: Any, tmp_path: Path) -> None:
    made = make_video(frames=3)
    segment, target = tmp_path / "segment", tmp_path / "frames.zip"
    with open_video(made.path) as reader:
        output = FrameArchive(info=reader.info, timeline=reader.timeline)
        chroma = np.full((2, 8, 8), 128, dtype=np.uint8)
        with suppress(KeyError), output.open_segment(segment) as writer:
            writer.write(next(reader.frames()), chroma)
            raise KeyError
        assert not segment.exists()
        with output.open_segment(segment) as writer:
            for frame in reader.frames():
                writer.write(frame, chroma)

        def stop() -> None:
            raise KeyError

        with pytest.raises(KeyError):
            output.join(target, [segment], on_frame=stop)
    assert not target.exists()


def test_a_disk_that_fills_up_is_told_and_no_file_remains(make_video: Any, tmp_path: Path) -> None:
    made = make_video(frames=20, width=320, height=240)
    target = tmp_path / "frames.zip"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))
    try:
        with pytest.raises(StorageFull, match="disk is full"):
            archive(made.path, target, cut=19)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == [made.path]
