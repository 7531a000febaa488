"""Finds clips with known colors on disk and reads them frame by frame, for `worker.evaluation`."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from jobs.errors import InvalidRequest, VideoUndecodable
from worker.media.decode import open_video
from worker.media.frames import LumaFrame, VideoInfo
from worker.media.source import open_source, video_stream

Picture = NDArray[np.uint8]
"""[H, W, 3] uint8, R'G'B'."""
InputChoice = Literal["luma", "gray"]
"""What is colorized: the luma of the true colors, or the clip's own monochrome video."""

PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
VIDEOS = {".mp4", ".mkv", ".mov", ".webm", ".avi", ".ts", ".m4v", ".mpg", ".mpeg"}


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip whose colors are known. Each source is a video file or a folder of pictures."""

    name: str
    truth: Path
    mono: Path | None
    """What is colorized; absent: the BT.601 luma of `truth`."""
    reference: Path | None
    """The first frame in color; absent: the first frame of `truth`."""


@dataclass(frozen=True, slots=True)
class ClipFrame:
    truth: Picture
    mono: LumaFrame


def find_clips(paths: list[Path], *, source: InputChoice | None) -> list[Clip]:
    """The clips at `paths`: videos, folders of frames, folders with truth, and folders of all of these.

    `source` None takes the clip's own monochrome video where it has one.

    Raises:
        InvalidRequest: a path holds no clip, or one without a monochrome video where `source` is "gray".
    """
    clips = [clip for path in paths for clip in _clips_at(path, source=source)]
    if source == "gray":
        for clip in clips:
            if clip.mono is None:
                raise InvalidRequest(f"{clip.name} has no gray.* or mono.*; leave out --input, or give --input luma.")
    return clips


def _clips_at(path: Path, *, source: InputChoice | None) -> list[Clip]:
    if path.is_file() and path.suffix.lower() in VIDEOS:
        return [Clip(name=path.stem, truth=path, mono=None, reference=None)]
    if not path.is_dir():
        raise InvalidRequest(f"{path} is no clip; give a video, a folder of color frames, or a folder of such folders.")
    truth = _named(path, "truth")
    if truth is not None:
        reference = path / "reference.png"
        mono = None if source == "luma" else _named(path, "gray") or _named(path, "mono")
        return [Clip(name=path.name, truth=truth, mono=mono, reference=reference if reference.is_file() else None)]
    if _pictures(path):
        return [Clip(name=path.name, truth=path, mono=None, reference=None)]
    inside = sorted(p for p in path.iterdir() if p.is_dir() or p.suffix.lower() in VIDEOS)
    if not inside:
        raise InvalidRequest(
            f"{path} holds no clip; a clip is a video, a folder of color frames, or a folder with truth."
        )
    return [clip for entry in inside for clip in _clips_at(entry, source=source)]


def _named(folder: Path, stem: str) -> Path | None:
    """The video `stem`.* or the folder of pictures `stem` in `folder`."""
    if (folder / stem).is_dir():
        return folder / stem
    return next((p for p in sorted(folder.glob(f"{stem}.*")) if p.suffix.lower() in VIDEOS), None)


def _pictures(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES)


def first_picture(clip: Clip) -> Picture:
    """The clip's reference."""
    if clip.reference is not None:
        return read_picture(clip.reference)
    return next(_colors(clip.truth))


def mono_info(clip: Clip, *, frames: int) -> VideoInfo:
    """Facts of what is colorized: those of the monochrome video, or of 8-bit full-range BT.601 luma.

    Raises:
        VideoUndecodable: the monochrome video cannot be read.
    """
    if clip.mono is not None and clip.mono.is_file():
        with open_video(clip.mono) as video:
            return video.info
    sample = next(_colors(clip.mono or clip.truth))
    return VideoInfo(
        width=sample.shape[1],
        height=sample.shape[0],
        frames=frames,
        duration_seconds=frames / 25,
        frame_rate=Fraction(25),
        codec="pictures",
        pixel_format="gray",
        bit_depth=8,
        full_range=True,
        matrix="bt601",
        has_audio=False,
    )


def count_frames(clip: Clip) -> int:
    """Frames whose colors are known."""
    if clip.truth.is_dir():
        return len(_pictures(clip.truth))
    with open_video(clip.truth) as video:
        return video.info.frames


def read_frames(clip: Clip, *, frames: int | None) -> Iterator[ClipFrame]:
    """Yield frames of `clip` in order, the first `frames` of them (None: all).

    Raises:
        VideoUndecodable: the monochrome video has another size than the truth, or ends before it.
    """
    monos = None if clip.mono is None else _monos(clip.mono)
    for index, truth in enumerate(islice(_colors(clip.truth), frames)):
        mono = luma_frame(truth, index=index) if monos is None else next(monos, None)
        if mono is None:
            raise VideoUndecodable(f"The monochrome video of {clip.name} ends at frame {index}, before the truth does.")
        if mono.luma.shape != truth.shape[:2]:
            raise VideoUndecodable(f"The monochrome video of {clip.name} has another size than the truth.")
        yield ClipFrame(truth=truth, mono=mono)


def luma_frame(picture: Picture, *, index: int) -> LumaFrame:
    """BT.601 luma of a color picture as a full-range frame."""
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return LumaFrame(index=index, pts=index, time_base=Fraction(1, 25), luma=np.asarray(luma, np.uint8))


def _monos(path: Path) -> Iterator[LumaFrame]:
    if path.is_dir():
        for index, picture in enumerate(_colors(path)):
            yield luma_frame(picture, index=index)
        return
    with open_video(path) as video:
        yield from video.frames()


def _colors(path: Path) -> Iterator[Picture]:
    if path.is_dir():
        for picture in _pictures(path):
            yield read_picture(picture)
        return
    with open_source(path) as container:
        for frame in container.decode(video_stream(container)):
            yield _rgb(frame)


def _rgb(frame: av.VideoFrame) -> Picture:
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def read_picture(path: Path) -> Picture:
    """A picture file as 8-bit RGB.

    Raises:
        InvalidRequest: it cannot be read.
    """
    data = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    if data is None:
        raise InvalidRequest(f"{path} cannot be read as a picture; replace it or leave the clip out.")
    return np.asarray(cv2.cvtColor(data, cv2.COLOR_BGR2RGB), np.uint8)
