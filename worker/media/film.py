"""A video file being written: the film's planes encoded at their times, the source's other streams beside them."""

import contextlib
import functools
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from jobs.errors import StorageFull
from jobs.options import Container
from models.base import Matrix
from worker.media.encoding import Encoding
from worker.media.frames import LumaFrame
from worker.media.passengers import Passengers
from worker.media.storage import DISK_FULL, is_disk_full
from worker.media.tags import FilmTags, copy_tags
from worker.media.timeline import Timeline

ENCODER_THREADS = 4
"""Each thread of x264 holds frames; four keep two to four cores busy."""

_LARGEST_TIMESCALE = 2**31 - 1
"""x264 and MP4 count time in 32 bits."""
_FORMATS: dict[Container, str] = {"mp4": "mp4", "mkv": "matroska", "mov": "mov"}
_UNHEARD_OF = (av.error.ArgumentError, av.error.InvalidDataError, av.error.PatchWelcomeError, NotImplementedError)
"""How muxers refuse a stream that they said they could hold."""


class FilmFile:
    """One output file. End it with `finish` or `abandon`; every other call may raise `StorageFull`."""

    def __init__(
        self,
        path: Path,
        *,
        source: Path,
        timeline: Timeline,
        tags: FilmTags,
        encoding: Encoding,
        matrix: Matrix,
        rate: Fraction,
        container: Container,
        sound_only: bool,
        warn: Callable[[str], None],
    ) -> None:
        """`sound_only` leaves subtitles, cover and attachments of the source behind, without a warning."""
        self._path = path
        self._timeline = timeline
        self._origin = tags.origin
        self._encoding = encoding
        self._last_start: int | None = None
        self._time_base = timeline.time_base
        if self._time_base.denominator > _LARGEST_TIMESCALE:
            self._time_base = Fraction(1, 1_000_000)
        self._passengers: Passengers | None = None
        self._container: Any = None
        self._stream: Any = None
        boarding = functools.partial(
            Passengers, source, container=container, origin=tags.origin, sound_only=sound_only, warn=warn
        )
        try:
            try:
                self._open(container, tags=tags, matrix=matrix, rate=rate, boarding=boarding)
            except _UNHEARD_OF as failure:
                # A muxer may refuse a stream only when it writes the header. The film alone is better than nothing.
                self.abandon()
                self._open(container, tags=tags, matrix=matrix, rate=rate, boarding=None)
                warn(f"Sound and other streams were left out: they cannot be copied into {container} ({failure}).")
        except BaseException as failure:
            self.abandon()
            if is_disk_full(failure):
                raise StorageFull(DISK_FULL) from failure
            raise

    def write(self, planes: Sequence[NDArray[Any]], frame: LumaFrame) -> None:
        """Encode three planes, at the encoding's size and depth, at the time of `frame`.

        Raises:
            ValueError: the frame is not after the one before it.
            StorageFull: no space is left.
        """
        start, end = self._span(frame)
        if self._last_start is not None and start <= self._last_start:
            raise ValueError(f"frame {frame.index} is not after the frame written before it")
        self._last_start = start
        picture = av.VideoFrame(self._encoding.size[1], self._encoding.size[0], self._encoding.pixel_format)
        for plane, codes in zip(picture.planes, planes, strict=True):
            _fill(plane, codes)
        # ProRes writes the tags of its frames, not those of the stream.
        context = self._stream.codec_context
        picture.colorspace, picture.color_range = context.colorspace, context.color_range
        picture.color_primaries, picture.color_trc = context.color_primaries, context.color_trc
        picture.pts = start
        picture.duration = end - start
        picture.time_base = self._time_base
        try:
            self._mux(self._stream.encode(picture))
        except (OSError, av.error.FFmpegError) as failure:
            if is_disk_full(failure):
                raise StorageFull(DISK_FULL) from failure
            raise

    def finish(self) -> None:
        """Write all that is held back, and close the file.

        Raises:
            StorageFull: no space is left; no file remains.
        """
        try:
            self._mux(self._stream.encode(None))
            if self._passengers is not None:
                self._passengers.finish()
                self._passengers.close()
            self._container.close()
        except BaseException as failure:
            self.abandon()
            if is_disk_full(failure):
                raise StorageFull(DISK_FULL) from failure
            raise

    def abandon(self) -> None:
        """Close all, and leave no file."""
        if self._passengers is not None:
            self._passengers.close()
            self._passengers = None
        # The file goes anyway, and the failure that led here is what matters.
        with contextlib.suppress(OSError, ValueError, av.error.FFmpegError):
            if self._container is not None:
                self._container.close()
        self._path.unlink(missing_ok=True)

    def _open(
        self,
        container: Container,
        *,
        tags: FilmTags,
        matrix: Matrix,
        rate: Fraction,
        boarding: Callable[..., Passengers] | None,
    ) -> None:
        """Begin the file, up to its header."""
        self._container = av.open(
            str(self._path.resolve()),
            mode="w",
            format=_FORMATS[container],
            # The index goes to the front, so that a browser plays an MP4 before all of it has come.
            container_options={} if container == "mkv" else {"movflags": "+faststart"},
        )
        self._stream = self._film_stream(tags, matrix=matrix, rate=rate)
        if boarding is not None:
            self._passengers = boarding(target=self._container)
        self._container.start_encoding()

    def _film_stream(self, tags: FilmTags, *, matrix: Matrix, rate: Fraction) -> Any:
        encoding = self._encoding
        stream: Any = self._container.add_stream(encoding.codec, rate=rate, options=dict(encoding.options))
        stream.height, stream.width = encoding.size
        stream.pix_fmt = encoding.pixel_format
        stream.codec_context.time_base = self._time_base
        stream.time_base = self._time_base
        stream.codec_context.thread_count = ENCODER_THREADS
        copy_tags(tags, stream=stream, matrix=matrix, full_range=encoding.full_range)
        return stream

    def _span(self, frame: LumaFrame) -> tuple[int, int]:
        """Start and end of a frame in the output's time base."""
        index = self._timeline.index_of(frame.pts)
        duration = self._timeline.last_duration if index is None else self._timeline.duration_of(index)
        start = frame.pts * frame.time_base - self._origin
        end = (frame.pts + duration) * frame.time_base - self._origin
        return round(start / self._time_base), round(end / self._time_base)

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            if self._passengers is not None and packet.dts is not None:
                self._passengers.advance(packet.dts * packet.time_base)
            self._container.mux_one(packet)


def _fill(plane: Any, codes: NDArray[Any]) -> None:
    """Copy [h, w] codes into a plane of a frame, whose lines are padded."""
    height, width = codes.shape
    lines = np.frombuffer(plane, dtype=np.uint8).reshape(-1, plane.line_size)
    lines[:height, : width * codes.itemsize].view(codes.dtype)[:] = codes
