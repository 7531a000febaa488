"""Joins segments into a film: their packets as they are, at the film's times, with the source's other streams."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from jobs.errors import StorageFull
from jobs.options import Container
from worker.media.matroska import UnknownLayout, state_shape
from worker.media.passengers import Passengers
from worker.media.segment import written_time_base
from worker.media.storage import DISK_FULL, is_disk_full
from worker.media.tags import FilmTags
from worker.media.timeline import Timeline

_FORMATS: dict[Container, str] = {"mp4": "mp4", "mkv": "matroska", "mov": "mov"}
_USUAL_TIMESCALE = 1000
"""Of MP4 and MOV files, in ticks a second."""
_UNHEARD_OF = (av.error.ArgumentError, av.error.InvalidDataError, av.error.PatchWelcomeError, NotImplementedError)
"""How muxers refuse a stream that they said they could hold."""


def join_segments(
    path: Path,
    segments: Sequence[Path],
    *,
    source: Path,
    timeline: Timeline,
    tags: FilmTags,
    rate: Fraction,
    container: Container,
    sound_only: bool,
    warn: Callable[[str], None],
    on_frame: Callable[[], None] = lambda: None,
) -> None:
    """Write a film. `segments` hold all frames of `source`, in order; `tags` are the film's own; `rate` in frames per
    second; `sound_only` leaves subtitles, cover and attachments of the source behind, without a warning; `on_frame` may
    raise to stop it.

    Raises:
        StorageFull: no space is left; no file remains, as with every other failure.
        ValueError: the segments hold more or fewer frames than the timeline.
    """
    boarding = functools.partial(
        Passengers, source, container=container, origin=tags.origin, sound_only=sound_only, warn=warn
    )
    times = _FilmTimes(
        timeline,
        origin=tags.origin,
        delay=max(_delay(segment) for segment in segments),
        counts_decoding=container != "mkv",
    )
    film = _Film(path, container=container, tags=tags, rate=rate, time_base=times.time_base)
    try:
        try:
            film.open(segments[0], boarding=boarding)
        except _UNHEARD_OF as failure:
            # A muxer may refuse a stream only when it writes the header. The film alone is better than nothing.
            film.abandon()
            film.open(segments[0], boarding=None)
            warn(f"Sound and other streams were left out: they cannot be copied into {container} ({failure}).")
        for packet in times.placed(segments):
            on_frame()
            film.mux(packet)
        film.finish()
        if container == "mkv":
            _state_shape(path, tags, warn=warn)
    except BaseException as failure:
        film.abandon()
        if is_disk_full(failure):
            raise StorageFull(DISK_FULL) from failure
        raise


class _FilmTimes:
    """When each packet is shown, and when it is decoded."""

    def __init__(self, timeline: Timeline, *, origin: Fraction, delay: int, counts_decoding: bool) -> None:
        """`delay`: how many frames are decoded ahead of the first that is shown; `counts_decoding`: whether the
        container holds how far packets are apart in decoding, as MP4 and MOV do, and not how long each is shown."""
        self.time_base = written_time_base(timeline)
        self._delay = delay
        self._counts_decoding = counts_decoding
        scale = timeline.time_base / self.time_base
        shift = origin / self.time_base
        bounds = [round(int(pts) * scale - shift) for pts in (*timeline.pts, timeline.end)]
        self._starts = np.asarray(bounds[:-1], dtype=np.int64)
        self._durations = np.diff(np.asarray(bounds, dtype=np.int64))
        # How far decoding is ahead: as far at the start as at the end, at least, where the frames stand longer perhaps.
        # Else decoding, whose steps readers of MP4 add up (FFmpeg's do), would be over before the film.
        ahead = min(delay, len(self._starts) - 1)
        self._lead = max(self._starts[ahead] - self._starts[0], self._starts[-1] - self._starts[-1 - ahead])

    def placed(self, segments: Sequence[Path]) -> Iterator[Any]:
        """The packets of all segments, in decoding order."""
        done = 0
        for segment in segments:
            first = done
            # Frames of a segment count their time from its own first.
            between = (
                self._starts[first:-1] + self._durations[first:-1] / 2 - self._starts[min(first, len(self._starts) - 1)]
            )
            for packet in _packets(segment):
                if done == len(self._starts):
                    raise ValueError(f"The segments hold more frames than the film's {len(self._starts)}.")
                shown = done if self._delay == 0 else first + self._rank(packet, between)
                packet.pts, packet.dts = int(self._starts[shown]), self._decoded_at(done)
                packet.duration = self._duration(shown, place=done)
                packet.time_base = self.time_base
                yield packet
                done += 1
        if done != len(self._starts):
            raise ValueError(f"The segments hold {done} frames, and the film has {len(self._starts)}.")

    def _rank(self, packet: Any, between: NDArray[np.float64]) -> int:
        """Which of the segment's frames a packet shows."""
        return int(np.searchsorted(between, float(packet.pts * packet.time_base / self.time_base)))

    def _duration(self, shown: int, *, place: int) -> int:
        """How long a frame stands; of the last packet that counts decoding, until that has taken as long as the film,
        but no longer than until the film's end."""
        duration = int(self._durations[shown])
        if not self._counts_decoding or place < len(self._starts) - 1:
            return duration
        end = int(self._starts[-1] + self._durations[-1])
        decoding = self._decoded_at(place) - self._decoded_at(0)
        return max(duration, min(end - int(self._starts[0]) - decoding, end - int(self._starts[shown])))

    def _decoded_at(self, place: int) -> int:
        """As x264 counts: each packet when the frame is shown that stands `delay` before it in order, and the first
        ones as much earlier as that takes."""
        if place >= self._delay:
            return int(self._starts[place - self._delay])
        last = min(self._delay, len(self._starts) - 1)
        return int(self._starts[min(place, last)] - self._lead) - (self._delay - last)


class _Film:
    """The file being written."""

    def __init__(
        self, path: Path, *, container: Container, tags: FilmTags, rate: Fraction, time_base: Fraction
    ) -> None:
        self._path = path
        self._format: Container = container
        self._tags = tags
        self._rate = rate
        self._time_base = time_base
        self._passengers: Passengers | None = None
        self._container: Any = None
        self._stream: Any = None

    def open(self, segment: Path, *, boarding: Callable[..., Passengers] | None) -> None:
        """Begin the file, up to its header; its film is as in `segment`."""
        self._container = av.open(
            str(self._path.resolve()),
            mode="w",
            format=_FORMATS[self._format],
            container_options={} if self._format == "mkv" else self._movie_options(),
        )
        with av.open(str(segment.resolve())) as like:
            self._stream = self._container.add_stream_from_template(like.streams.video[0])
        self._stream.time_base = self._time_base
        # Matroska writes it down; of x264's segments the template would have one over their time base.
        self._stream.codec_context.framerate = self._rate
        if self._tags.sample_aspect_ratio is not None:
            self._stream.codec_context.sample_aspect_ratio = self._tags.sample_aspect_ratio
        if self._tags.display_matrix is not None:
            self._stream.set_display_matrix(self._tags.display_matrix)
        if boarding is not None:
            self._passengers = boarding(target=self._container)
        self._container.start_encoding()

    def _movie_options(self) -> dict[str, str]:
        return {
            # The index goes to the front, so that a browser plays an MP4 before all of it has come.
            "movflags": "+faststart",
            # Counts when tracks begin; of a thousandth of a second, which is usual, it would be a little early.
            "movie_timescale": str(max(_USUAL_TIMESCALE, self._time_base.denominator)),
        }

    def mux(self, packet: Any) -> None:
        if self._passengers is not None:
            self._passengers.advance(packet.dts * packet.time_base)
        packet.stream = self._stream
        self._container.mux_one(packet)

    def finish(self) -> None:
        """Write what remains of the other streams, and close."""
        if self._passengers is not None:
            self._passengers.finish()
            self._passengers.close()
        self._container.close()

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


def _state_shape(path: Path, tags: FilmTags, *, warn: Callable[[str], None]) -> None:
    """What MP4 and MOV files say of themselves by now."""
    aspect = tags.sample_aspect_ratio
    if aspect is None or aspect == 1:
        return
    try:
        state_shape(path, aspect)
    except UnknownLayout as failure:
        warn(
            f"The shape of the pixels, {aspect.numerator}:{aspect.denominator}, could not be written into the mkv "
            f"({failure}), so players may show the picture squeezed or stretched; mp4 and mov hold it."
        )


def _packets(segment: Path) -> Iterator[Any]:
    """In decoding order."""
    with av.open(str(segment.resolve())) as container:
        for packet in container.demux(container.streams.video[0]):
            if packet.size:
                yield packet


def _delay(segment: Path) -> int:
    """How many frames are decoded ahead of the first that is shown."""
    count = 0
    for packet in _packets(segment):
        if packet.dts is None or packet.dts >= 0:
            break
        count += 1
    return count
