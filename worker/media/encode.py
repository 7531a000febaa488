"""Writes the colored film: the luma planes as decoded, new chroma beside them, everything else copied."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from jobs.options import OutputOptions
from worker.media.constant_rate import exact_times
from worker.media.encoding import Encoding, choose_encoding
from worker.media.film import join_segments
from worker.media.frames import Codes, LumaFrame, Rgb, VideoInfo
from worker.media.segment import SegmentFile, read_codes
from worker.media.stills import to_rgb
from worker.media.tags import read_tags
from worker.media.timeline import Timeline


class VideoOutput:
    """How one film is written: first segments of it, by whichever process, then the film that they make."""

    def __init__(self, *, source: Path, info: VideoInfo, timeline: Timeline, output: OutputOptions) -> None:
        """`info` and `timeline` describe `source`."""
        self._source = source
        self._info = info
        self._timeline, self._rate = exact_times(timeline, stated=info.frame_rate)
        self._container = output.container
        self._encoding = choose_encoding(info, output=output)
        self._tags = read_tags(source, first_time=self._timeline.first_time)
        self.warnings: list[str] = list(self._encoding.warnings)
        """What could not be kept as it was, as sentences for the user; complete once the film is joined."""

    @property
    def chroma_size(self) -> tuple[int, int]:
        """Height and width of each chroma plane that segments take."""
        return self._encoding.chroma_size

    def open_segment(self, path: Path) -> "VideoSegment":
        """Begin a segment; a context manager that leaves no file behind when its block raises.

        Raises:
            StorageFull: no space is left, here or while writing.
        """
        file = SegmentFile(
            path,
            timeline=self._timeline,
            tags=self._tags,
            encoding=self._encoding,
            matrix=self._info.matrix,
            rate=self._rate,
        )
        return VideoSegment(file, info=self._info, encoding=self._encoding)

    def join(self, path: Path, segments: Sequence[Path], *, on_frame: Callable[[], None] = lambda: None) -> None:
        """Write the film of all segments, in order; `on_frame` may raise to stop it.

        Frames keep their times exactly in mp4 and mov, or get those that were rounded (`exact_times`); mkv counts
        milliseconds. Three things move all streams together:
        a broadcast (MPEG-TS, MPEG) and a film with negative times begin at zero, and mkv, which has no negative times,
        begins with the sound where the sound begins before the picture (AAC does, by 21 ms at 48 kHz).

        Raises:
            StorageFull: no space is left; no file remains.
        """
        join_segments(
            path,
            segments,
            source=self._source,
            timeline=self._timeline,
            tags=self._tags,
            rate=self._rate,
            container=self._container,
            sound_only=False,
            warn=self.warnings.append,
            on_frame=on_frame,
        )

    def read_picture(self, segment: Path, index: int) -> Rgb:
        """The frame numbered `index` of a finished segment, from 0, as it was encoded."""
        luma, chroma, depth = read_codes(segment, index)
        return to_rgb(luma, chroma, info=replace(self._info, bit_depth=depth, full_range=self._encoding.full_range))


class VideoSegment:
    """Takes frames in presentation order."""

    def __init__(self, file: SegmentFile, *, info: VideoInfo, encoding: Encoding) -> None:
        self._file = file
        self._info = info
        self._encoding = encoding

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._file.finish()
        else:
            self._file.abandon()

    def write(self, frame: LumaFrame, chroma: Codes) -> None:
        """Encode one frame.

        `chroma` is [2, h, w] with h and w of `chroma_size`: codes of Cb and Cr at the source's bit depth and range.

        Raises:
            ValueError: a plane has another size, or the frame is not after the last.
            StorageFull: no space is left.
        """
        encoding = self._encoding
        if frame.luma.shape != encoding.size:
            raise ValueError(f"the luma plane is {frame.luma.shape}, expected {encoding.size}")
        if chroma.shape != (2, *encoding.chroma_size):
            raise ValueError(f"the chroma planes are {chroma.shape}, expected {(2, *encoding.chroma_size)}")
        colors = self._fitted(chroma, is_chroma=True)
        self._file.write((self._fitted(frame.luma, is_chroma=False), colors[0], colors[1]), frame)

    def _fitted(self, codes: Codes, *, is_chroma: bool) -> NDArray[Any]:
        """Codes at the encoding's depth and range: as they are, but for ProRes."""
        info, encoding = self._info, self._encoding
        if (encoding.bit_depth, encoding.full_range) == (info.bit_depth, info.full_range):
            return codes
        if encoding.full_range == info.full_range:
            return codes.astype(np.uint16) * np.uint16(2 ** (encoding.bit_depth - info.bit_depth))
        # ITU-T H.273: full range of any depth to limited range of 10 bits.
        peak = 2**info.bit_depth - 1
        if is_chroma:
            scaled = (codes.astype(np.float32) - 2 ** (info.bit_depth - 1)) * (896 / peak) + 512
        else:
            scaled = codes.astype(np.float32) * (876 / peak) + 64
        return np.asarray(np.rint(scaled), dtype=np.uint16)
