"""Frames in a row of a film, encoded: many such files become one film without encoding again."""

import contextlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from jobs.errors import StorageFull
from models.base import Matrix
from worker.media.encoding import Encoding
from worker.media.fields import ORDER_CODES, FieldMark
from worker.media.frames import Codes, LumaFrame
from worker.media.storage import DISK_FULL, is_disk_full
from worker.media.tags import FilmTags, copy_tags
from worker.media.timeline import Timeline

ENCODER_THREADS = 4
"""Each thread of x264 holds frames; four keep two to four cores busy. A fixed number, since it shows in what x264
writes: segments of several machines must fit together."""

_LARGEST_TIMESCALE = 2**31 - 1
"""x264 and MP4 count time in 32 bits."""
_FORMATS = {"libx264": "mov", "prores_ks": "mov", "ffv1": "matroska"}


class SegmentFile:
    """One segment being written. End it with `finish` or `abandon`; every other call may raise `StorageFull`."""

    def __init__(
        self, path: Path, *, timeline: Timeline, tags: FilmTags, encoding: Encoding, matrix: Matrix, rate: Fraction
    ) -> None:
        """`timeline` has the times to write of the whole film, by frame number; `rate` in frames per second."""
        self._path = path
        self._timeline = timeline
        self._encoding = encoding
        self._time_base = written_time_base(timeline)
        self._fields = None if encoding.field_order is None else FieldMark(encoding.field_order)
        self._first: int | None = None
        self._last_start = -1
        self._container: Any = None
        try:
            self._container = av.open(str(path.resolve()), mode="w", format=_FORMATS[encoding.codec])
            self._stream: Any = self._container.add_stream(encoding.codec, rate=rate, options=dict(encoding.options))
            self._stream.height, self._stream.width = encoding.size
            self._stream.pix_fmt = encoding.pixel_format
            self._stream.codec_context.time_base = self._stream.time_base = self._time_base
            self._stream.codec_context.thread_count = ENCODER_THREADS
            if encoding.field_order is not None:
                self._stream.codec_context.field_order = ORDER_CODES[encoding.field_order]
            copy_tags(tags, stream=self._stream, matrix=matrix, full_range=encoding.full_range)
            self._container.start_encoding()
        except BaseException as failure:
            self._end_with(failure)
            raise

    def write(self, planes: Sequence[NDArray[Any]], frame: LumaFrame) -> None:
        """Encode three planes, at the encoding's size and depth, at the time of `frame`.

        Raises:
            ValueError: the frame is not after the one before it.
            StorageFull: no space is left.
        """
        self._first = frame.index if self._first is None else self._first
        start, end = self._span(frame.index, since=self._first)
        if start <= self._last_start:
            raise ValueError(f"frame {frame.index} is not after the frame written before it")
        self._last_start = start
        picture = av.VideoFrame(self._encoding.size[1], self._encoding.size[0], self._encoding.pixel_format)
        for plane, codes in zip(picture.planes, planes, strict=True):
            _fill(plane, codes)
        picture.time_base = self._time_base
        if self._fields is not None:
            picture = self._fields.marked(picture)
        # ProRes writes the tags of its frames, not those of the stream.
        context = self._stream.codec_context
        picture.colorspace, picture.color_range = context.colorspace, context.color_range
        picture.color_primaries, picture.color_trc = context.color_primaries, context.color_trc
        picture.pts = start
        picture.duration = end - start
        self._mux(picture)

    def finish(self) -> None:
        """Write all that is held back, and close the file.

        Raises:
            StorageFull: no space is left; no file remains.
        """
        self._mux(None)
        try:
            self._container.close()
        except BaseException as failure:
            self._end_with(failure)
            raise

    def abandon(self) -> None:
        """Close the file, and leave none."""
        # The file goes anyway, and the failure that led here is what matters.
        with contextlib.suppress(OSError, ValueError, av.error.FFmpegError):
            if self._container is not None:
                self._container.close()
        self._path.unlink(missing_ok=True)

    def _mux(self, picture: Any) -> None:
        try:
            for packet in self._stream.encode(picture):
                self._container.mux_one(packet)
        except BaseException as failure:
            self._end_with(failure)
            raise

    def _end_with(self, failure: BaseException) -> None:
        self.abandon()
        if is_disk_full(failure):
            raise StorageFull(DISK_FULL) from failure

    def _span(self, index: int, *, since: int) -> tuple[int, int]:
        """Start and end of a frame after the segment's first, in the output's time base."""
        timeline = self._timeline
        start = int(timeline.pts[index] - timeline.pts[since])
        scale = timeline.time_base / self._time_base
        return round(start * scale), round((start + timeline.duration_of(index)) * scale)


def written_time_base(timeline: Timeline) -> Fraction:
    """In which the film's times are written: its own, where files can hold that."""
    return timeline.time_base if timeline.time_base.denominator <= _LARGEST_TIMESCALE else Fraction(1, 1_000_000)


def _fill(plane: Any, codes: NDArray[Any]) -> None:
    """Copy [h, w] codes into a plane of a frame, whose lines are padded."""
    height, width = codes.shape
    lines = np.frombuffer(plane, dtype=np.uint8).reshape(-1, plane.line_size)
    lines[:height, : width * codes.itemsize].view(codes.dtype)[:] = codes


def read_codes(path: Path, index: int) -> tuple[Codes, Codes, int]:
    """The frame numbered `index` of a segment, from 0: luma [H, W], chroma [2, h, w], and their bit depth."""
    with av.open(str(path.resolve())) as container:
        for number, frame in enumerate(container.decode(container.streams.video[0])):
            if number == index:
                depth = frame.format.components[0].bits
                luma, *chroma = (_codes(plane, depth=depth) for plane in frame.planes[:3])
                return luma, np.stack(chroma), depth
    raise ValueError(f"the segment has no frame {index}")


def _codes(plane: Any, *, depth: int) -> NDArray[Any]:
    dtype = np.dtype(np.uint8 if depth == 8 else np.uint16)
    lines = np.frombuffer(plane, dtype=np.uint8).reshape(-1, plane.line_size)
    return np.ascontiguousarray(lines[: plane.height, : plane.width * dtype.itemsize]).view(dtype)
