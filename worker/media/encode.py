"""Writes the colored film: the luma planes as decoded, new chroma beside them, everything else copied."""

import errno
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from numpy.typing import NDArray

from jobs.errors import StorageFull
from jobs.options import OutputOptions
from worker.media.encoding import Encoding, choose_encoding
from worker.media.frames import Codes, LumaFrame, VideoInfo
from worker.media.passengers import Passengers
from worker.media.tags import copy_tags, read_tags
from worker.media.timeline import Timeline, read_timeline

ENCODER_THREADS = 4
"""Each thread of x264 holds frames; four keep two to four cores busy."""

_LARGEST_TIMESCALE = 2**31 - 1
"""x264 and MP4 count time in 32 bits."""
_FORMATS = {"mp4": "mp4", "mkv": "matroska", "mov": "mov"}
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def open_writer(
    path: Path,
    *,
    source: Path,
    info: VideoInfo,
    output: OutputOptions,
    timeline: Timeline | None = None,
) -> "VideoWriter":
    """Open a film for writing; a context manager that leaves no file behind when its block raises.

    `info` describes `source`; `timeline` is its timeline where that is known already (`VideoReader.timeline`).
    Timestamps are kept to the container's precision: exactly in mp4 and mov, to the millisecond in mkv, as that
    container counts.

    Raises:
        StorageFull: no space is left, here or while writing.
    """
    return VideoWriter(path, source=source, info=info, output=output, timeline=timeline or read_timeline(source))


class VideoWriter:
    """Takes frames in presentation order."""

    def __init__(self, path: Path, *, source: Path, info: VideoInfo, output: OutputOptions, timeline: Timeline) -> None:
        self._path = path
        self._info = info
        self._timeline = timeline
        self._encoding: Encoding = choose_encoding(info, output=output)
        self.warnings: list[str] = list(self._encoding.warnings)
        """What could not be kept as it was, as sentences for the user; complete once the file is."""
        self._last_pts: int | None = None
        first_time = int(timeline.pts[0]) * timeline.time_base
        tags = read_tags(source, first_time=first_time)
        self._origin = tags.origin
        self._time_base = timeline.time_base
        if self._time_base.denominator > _LARGEST_TIMESCALE:
            self._time_base = Fraction(1, 1_000_000)
        self._container: Any = av.open(
            str(path.resolve()),
            mode="w",
            format=_FORMATS[output.container],
            container_options={"movflags": "+faststart"} if output.container != "mkv" else {},
        )
        self._passengers: Passengers | None = None
        try:
            self._stream = self._film_stream(tags)
            self._passengers = Passengers(
                source,
                target=self._container,
                container=output.container,
                origin=self._origin,
                warn=self.warnings.append,
            )
        except BaseException:
            self._abandon()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._abandon()
            return
        try:
            self._finish()
        except BaseException as failure:
            self._abandon()
            raise _as_storage_full(failure) from failure

    @property
    def chroma_size(self) -> tuple[int, int]:
        """Height and width of each chroma plane that `write` takes."""
        return self._encoding.chroma_size

    def write(self, frame: LumaFrame, chroma: Codes) -> None:
        """Encode one frame.

        `chroma` is [2, h, w] with h and w of `chroma_size`: codes of Cb and Cr at the source's bit depth and range.

        Raises:
            ValueError: a plane has another size, or the frame is not after the last.
            StorageFull: no space is left.
        """
        expected = (self._info.height, self._info.width)
        if frame.luma.shape != expected:
            raise ValueError(f"the luma plane is {frame.luma.shape}, expected {expected}")
        if chroma.shape != (2, *self.chroma_size):
            raise ValueError(f"the chroma planes are {chroma.shape}, expected {(2, *self.chroma_size)}")
        try:
            self._mux(self._stream.encode(self._picture(frame, chroma)))
        except (OSError, av.error.FFmpegError) as failure:
            raise _as_storage_full(failure) from failure

    def _film_stream(self, tags: Any) -> Any:
        encoding, info = self._encoding, self._info
        stream = self._container.add_stream(encoding.codec, rate=info.frame_rate, options=dict(encoding.options))
        stream.width, stream.height = info.width, info.height
        stream.pix_fmt = encoding.pixel_format
        stream.codec_context.time_base = self._time_base
        stream.time_base = self._time_base
        stream.codec_context.thread_count = ENCODER_THREADS
        copy_tags(tags, stream=stream, matrix=info.matrix, full_range=encoding.full_range)
        return stream

    def _picture(self, frame: LumaFrame, chroma: Codes) -> av.VideoFrame:
        encoding = self._encoding
        luma_planes = _fitted(frame.luma, info=self._info, encoding=encoding, chroma=False)
        chroma_planes = _fitted(chroma, info=self._info, encoding=encoding, chroma=True)
        picture = av.VideoFrame(self._info.width, self._info.height, encoding.pixel_format)
        for plane, codes in zip(picture.planes, (luma_planes, chroma_planes[0], chroma_planes[1]), strict=True):
            fill_plane(plane, codes)
        start, end = self._span(frame)
        if self._last_pts is not None and start <= self._last_pts:
            raise ValueError(f"frame {frame.index} is not after the frame written before it")
        self._last_pts = start
        picture.pts = start
        picture.duration = end - start
        picture.time_base = self._time_base
        return picture

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

    def _finish(self) -> None:
        self._mux(self._stream.encode(None))
        if self._passengers is not None:
            self._passengers.finish()
            self._passengers.close()
        # Without a single packet no header would be written, and closing would leave no file.
        self._container.start_encoding()
        self._container.close()

    def _abandon(self) -> None:
        """Close all, and leave no file."""
        if self._passengers is not None:
            self._passengers.close()
        try:
            self._container.close()
        except (OSError, av.error.FFmpegError):
            # The file goes anyway, and the failure that led here is what matters.
            pass
        finally:
            self._path.unlink(missing_ok=True)


def fill_plane(plane: Any, codes: NDArray[Any]) -> None:
    """Copy [h, w] codes into a plane of a frame, whose lines are padded."""
    lines = np.frombuffer(plane, dtype=np.uint8).reshape(-1, plane.line_size)
    height, width = codes.shape
    view = lines[:height, : width * codes.itemsize].view(codes.dtype)
    view[:] = codes


def _fitted(codes: Codes, *, info: VideoInfo, encoding: Encoding, chroma: bool) -> NDArray[Any]:
    """Codes at the encoding's depth and range: as they are, but for ProRes."""
    if (encoding.bit_depth, encoding.full_range) == (info.bit_depth, info.full_range):
        return codes.astype("<u2" if encoding.bit_depth == 10 else np.uint8, copy=False)
    if encoding.full_range == info.full_range:
        return codes.astype("<u2") << (encoding.bit_depth - info.bit_depth)
    # ITU-T H.273, full range to limited at 10 bits.
    peak = 2**info.bit_depth - 1
    if chroma:
        scaled = (codes.astype(np.float32) - 2 ** (info.bit_depth - 1)) * (896 / peak) + 512
    else:
        scaled = codes.astype(np.float32) * (876 / peak) + 64
    return np.asarray(np.rint(scaled), dtype="<u2")


def _as_storage_full(failure: BaseException) -> BaseException:
    if isinstance(failure, OSError | av.error.FFmpegError) and failure.errno in _FULL:
        return StorageFull(
            "The disk is full: the colored video could not be written. Free some space on the server, then start again."
        )
    return failure
