"""Reads clips with known colors from anywhere in them, for `worker.evaluation`."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, cast

import av
import cv2
import numpy as np

from jobs.errors import ClipUnusable, VideoUndecodable
from worker.clip_search import Clip, pictures_in
from worker.media.decode import SEEK_WORTHWHILE, Decoding, VideoReader, open_video
from worker.media.frames import Codes, LumaFrame, Rgb, VideoInfo
from worker.media.timeline import Timeline
from worker.propagation import FrameSource

_CHUNK = 32
"""Frames of luma held when color pictures are read backward."""


class Colors(Protocol):
    """Color pictures in order, in a folder or in a video."""

    def __len__(self) -> int: ...

    def pictures(self, first: int, last: int) -> Iterator[Rgb]:
        """Yield those numbered `first` to `last`, both included."""
        ...


@dataclass(frozen=True, slots=True)
class OpenClip:
    """A clip as it is read; holds no frames."""

    name: str
    frames: int
    """How many are colorized and measured, the first ones."""
    truth: Colors
    mono: FrameSource
    info: VideoInfo
    """Facts of what is colorized: those of the monochrome video, or of 8-bit full-range BT.601 luma."""
    reference: Path | None

    def reference_picture(self, frame: int) -> Rgb:
        """The colors of frame `frame`: the clip's own reference at the first frame, the truth elsewhere."""
        if frame == 0 and self.reference is not None:
            return read_picture(self.reference)
        return next(self.truth.pictures(frame, frame))

    def check_size(self, truth: Rgb) -> None:
        """Raise VideoUndecodable where a picture of the truth has another size than what is colorized."""
        if truth.shape[:2] != (self.info.height, self.info.width):
            raise VideoUndecodable(
                f"{self.name} has true colors of {truth.shape[1]}x{truth.shape[0]} for monochrome frames of "
                f"{self.info.width}x{self.info.height}; both must have one size, from the first frame to the last."
            )


@contextmanager
def open_clip(clip: Clip, *, frames: int | None, lines: int | None = None) -> Iterator[OpenClip]:
    """Open `clip` for reading the first `frames` of it (None: all).

    With `lines` it is read as if it had been made smaller (or larger) before: the short side is scaled to so many
    pixels and both sides are rounded to multiples of 16, as the public evaluation of DeepRemaster does (METHOD).

    Raises:
        ClipUnusable: a folder holds no pictures.
        VideoUndecodable: a video cannot be read, or the monochrome one has another size than the truth or ends first.
    """
    with ExitStack() as stack:
        truth = _colors(clip.truth, stack)
        count = min(len(truth), frames or len(truth))
        mono: VideoReader | LumaOfColors
        if clip.mono is not None and clip.mono.is_file():
            mono = stack.enter_context(open_video(clip.mono))
        else:
            mono = LumaOfColors(truth if clip.mono is None else _colors(clip.mono, stack))
        info = mono.info
        if info.frames < count:
            raise VideoUndecodable(
                f"The monochrome video of {clip.name} ends at frame {info.frames}, before the truth does."
            )
        opened = OpenClip(clip.name, count, truth, mono, info, clip.reference)
        opened.check_size(next(truth.pictures(0, 0)))
        yield opened if lines is None else _resized(opened, lines=lines)


def _resized(clip: OpenClip, *, lines: int) -> OpenClip:
    scale = lines / min(clip.info.height, clip.info.width)
    height, width = (max(1, round(side * scale / 16)) * 16 for side in (clip.info.height, clip.info.width))
    return replace(
        clip,
        truth=_ResizedColors(clip.truth, height=height, width=width),
        mono=_ResizedSource(clip.mono, height=height, width=width),
        info=replace(clip.info, height=height, width=width),
    )


@dataclass(frozen=True, slots=True)
class _ResizedColors:
    colors: Colors
    height: int
    width: int

    def __len__(self) -> int:
        return len(self.colors)

    def pictures(self, first: int, last: int) -> Iterator[Rgb]:
        for picture in self.colors.pictures(first, last):
            yield np.asarray(_scaled(picture, height=self.height, width=self.width), np.uint8)


@dataclass(frozen=True, slots=True)
class _ResizedSource:
    source: FrameSource
    height: int
    width: int

    def frames(self, first: int = 0, last: int | None = None) -> Iterator[LumaFrame]:
        return map(self._resized, self.source.frames(first, last))

    def reversed_frames(self, first: int = 0, last: int | None = None) -> Iterator[LumaFrame]:
        return map(self._resized, self.source.reversed_frames(first, last))

    def _resized(self, frame: LumaFrame) -> LumaFrame:
        return replace(frame, luma=_scaled(frame.luma, height=self.height, width=self.width))


def _scaled(codes: Codes, *, height: int, width: int) -> Codes:
    """Averaged where it shrinks, cubic where it grows, in the codes it comes in."""
    shrinks = codes.shape[0] >= height and codes.shape[1] >= width
    scaled: Any = cv2.resize(codes, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return cast("Codes", scaled)


class LumaOfColors:
    """BT.601 luma of color pictures, as a source of frames."""

    def __init__(self, colors: Colors) -> None:
        self._colors = colors
        self.info = _info_of(colors)

    def frames(self, first: int = 0, last: int | None = None) -> Iterator[LumaFrame]:
        end = len(self._colors) - 1 if last is None else last
        for offset, picture in enumerate(self._colors.pictures(first, end)):
            yield luma_frame(picture, index=first + offset)

    def reversed_frames(self, first: int = 0, last: int | None = None) -> Iterator[LumaFrame]:
        """Yield the frames from `last` down to `first`, holding at most `_CHUNK` of them."""
        end = len(self._colors) - 1 if last is None else last
        for stop in range(end, first - 1, -_CHUNK):
            held = list(self.frames(max(first, stop - _CHUNK + 1), stop))
            while held:
                yield held.pop()


def luma_frame(picture: Rgb, *, index: int) -> LumaFrame:
    """BT.601 luma of a color picture as a full-range frame."""
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return LumaFrame(index=index, pts=index, time_base=Fraction(1, 25), luma=np.asarray(luma, np.uint8))


def _info_of(colors: Colors) -> VideoInfo:
    """Facts of the luma of `colors`."""
    sample = next(colors.pictures(0, 0))
    return VideoInfo(
        width=sample.shape[1],
        height=sample.shape[0],
        frames=len(colors),
        duration_seconds=len(colors) / 25,
        frame_rate=Fraction(25),
        codec="pictures",
        pixel_format="gray",
        bit_depth=8,
        full_range=True,
        matrix="bt601",
        has_audio=False,
    )


def _colors(path: Path, stack: ExitStack) -> Colors:
    if path.is_dir():
        files = pictures_in(path)
        if not files:
            raise ClipUnusable(f"{path} holds no pictures; put the frames there or leave the clip out.")
        return _FolderColors(files)
    return _VideoColors(path, stack.enter_context(open_video(path)).timeline)


class _FolderColors:
    def __init__(self, files: list[Path]) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def pictures(self, first: int, last: int) -> Iterator[Rgb]:
        return map(read_picture, self._files[first : last + 1])


class _VideoColors:
    def __init__(self, path: Path, timeline: Timeline) -> None:
        self._path = path
        self._timeline = timeline

    def __len__(self) -> int:
        return len(self._timeline)

    def pictures(self, first: int, last: int) -> Iterator[Rgb]:
        """Decode from the nearest key frame that turns out to be early enough.

        Raises:
            VideoUndecodable: a frame of the range is damaged.
        """
        expected = first
        for start in self._starting_points(first):
            with closing(Decoding(self._path, self._timeline, start=start)) as decoding:
                for index, frame in decoding:
                    if index > expected:
                        break
                    if index == expected:
                        yield _rgb(frame)
                        expected += 1
                    if expected > last:
                        return
            if expected > first:
                break
        raise VideoUndecodable(f"{self._path.name} cannot be decoded at frame {expected}; export the clip again.")

    def _starting_points(self, first: int) -> Iterator[int | None]:
        """Times to seek to, best first; None is the start of the file."""
        timeline = self._timeline
        if timeline.exact and first >= SEEK_WORTHWHILE:
            # Demuxers seek by decoding time, which lies before the frame's own: the second try is a key frame earlier.
            for key in timeline.keys[timeline.keys <= timeline.pts[first]][::-1][:2]:
                yield int(key)
        yield None


def _rgb(frame: av.VideoFrame) -> Rgb:
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def read_picture(path: Path) -> Rgb:
    """A picture file as 8-bit RGB.

    Raises:
        ClipUnusable: it cannot be read.
    """
    codes = np.fromfile(path, np.uint8)
    data = cv2.imdecode(codes, cv2.IMREAD_COLOR) if codes.size else None
    if data is None:
        raise ClipUnusable(f"{path} cannot be read as a picture; replace it or leave the clip out.")
    return np.asarray(cv2.cvtColor(data, cv2.COLOR_BGR2RGB), np.uint8)
