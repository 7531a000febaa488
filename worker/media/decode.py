"""Hands out the luma planes of a video, frame by frame, from anywhere in it."""

from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av

from jobs.errors import VideoUndecodable, VideoUnsupported
from worker.media.decoder import current_decoder
from worker.media.frames import LumaFrame, VideoInfo
from worker.media.luma import luma_codes
from worker.media.probe import Examination, examine
from worker.media.source import demux, open_source, video_stream
from worker.media.timeline import Timeline
from worker.task import Limits

DECODER_THREADS = 2
"""Beyond two, decoding is faster than anything that follows and only takes memory: a frame per thread."""

SEEK_WORTHWHILE = 48
"""Frames that are sooner decoded on the way than sought: two seconds of film, the usual distance of key frames."""


def open_video(
    path: Path, *, limits: Limits | None = None, on_packet: Callable[[int], None] = lambda _: None
) -> "VideoReader":
    """Open a video for reading luma; a context manager.

    Opening reads all packets once, seconds for a film of an hour, or decodes all frames where the packets do not tell
    where they stand. `on_packet` is called for each packet, with the number of frames found so far; what it raises
    ends the opening, so that a job can be canceled meanwhile.

    Raises:
        VideoUndecodable: not a video, no frames, cut off or damaged.
        VideoUnsupported: a playlist, or pixels that are no luma codes.
        VideoTooLarge, VideoTooLong: it is beyond `limits`; raised as soon as it shows.
    """
    look = examine if (decoder := current_decoder()) is None else decoder.examine
    return VideoReader(path, examination=look(path, limits=limits, on_packet=on_packet))


class VideoReader:
    """One video. Each iterator decodes by itself, so that several may run side by side."""

    def __init__(self, path: Path, *, examination: Examination) -> None:
        self._path = path
        self._examination = examination

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    @property
    def info(self) -> VideoInfo:
        return self._examination.info

    @property
    def timeline(self) -> Timeline:
        return self._examination.timeline

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the luma handed out does not keep exactly, or seems to be missing, as sentences for the user."""
        return self._examination.warnings

    def frames(self, first: int = 0, last: int | None = None) -> Iterator[LumaFrame]:
        """Yield the frames numbered `first` to `last`, both included; `last` None is the end.

        Raises:
            ValueError: `first` or `last` is no frame of the video.
            VideoUndecodable: a frame of the range is damaged.
            VideoUnsupported: the picture's size or pixel format changes on the way.
        """
        end = self.info.frames - 1 if last is None else last
        if not 0 <= first <= end < self.info.frames:
            raise ValueError(f"frames {first} to {end} are not within 0 to {self.info.frames - 1}")
        return self._frames(first, end)

    def reversed_frames(self, first: int = 0, last: int | None = None, *, chunk: int = 32) -> Iterator[LumaFrame]:
        """Yield the frames numbered `last` down to `first`, holding at most `chunk` of them.

        Raises:
            ValueError: `first`, `last` or `chunk` is out of range.
            VideoUndecodable: a frame of the range is damaged.
            VideoUnsupported: the picture's size or pixel format changes on the way.
        """
        end = self.info.frames - 1 if last is None else last
        if not 0 <= first <= end < self.info.frames:
            raise ValueError(f"frames {first} to {end} are not within 0 to {self.info.frames - 1}")
        if chunk < 1:
            raise ValueError(f"a chunk has at least one frame, not {chunk}")
        return self._reversed(first, end, chunk)

    def picked_frames(self, wanted: Sequence[int], *, check: Callable[[], None] = lambda: None) -> Iterator[LumaFrame]:
        """Yield the frames of the numbers `wanted`, ascending, each found by decoding as little as possible.

        `check` is called for every frame on the way between two that are close together.

        Raises:
            ValueError: one of them is no frame of the video.
            VideoUndecodable: a frame is damaged.
            VideoUnsupported: the picture's size or pixel format changes on the way.
        """
        for run in self._runs(wanted):
            left = iter(run)
            following = next(left)
            for frame in self.frames(run[0], run[-1]):
                check()
                if frame.index == following:
                    yield frame
                    following = next(left, -1)

    def _runs(self, wanted: Sequence[int]) -> Iterator[list[int]]:
        """Neighbors that are sooner reached by decoding on than by seeking again."""
        run: list[int] = []
        for frame in wanted:
            if run and self.timeline.exact and frame - run[-1] >= SEEK_WORTHWHILE:
                yield run
                run = []
            run.append(frame)
        if run:
            yield run

    def _reversed(self, first: int, last: int, chunk: int) -> Iterator[LumaFrame]:
        for stop in range(last, first - 1, -chunk):
            held = list(self._frames(max(first, stop - chunk + 1), stop))
            while held:
                yield held.pop()

    def _frames(self, first: int, last: int) -> Iterator[LumaFrame]:
        if (decoder := current_decoder()) is None:
            return self._decode(first, last)
        return decoder.frames(self._path, self._examination, first=first, last=last)

    def _decode(self, first: int, last: int) -> Iterator[LumaFrame]:
        """Decode from the nearest key frame that turns out to be early enough."""
        for start in self._starting_points(first):
            decoding = self._decode_from(start)
            try:
                found = next(decoding, None)
                if found is None or found[0] > first:
                    continue
                yield from self._select(found, decoding, first=first, last=last)
                return
            finally:
                decoding.close()
        raise self._damaged(first)

    def _starting_points(self, first: int) -> Iterator[int | None]:
        """Times to seek to, best first; None is the start of the file."""
        timeline = self.timeline
        if timeline.exact and first >= SEEK_WORTHWHILE:
            earlier = timeline.keys[timeline.keys <= timeline.pts[first]]
            # Demuxers seek by decoding time, which lies before the frame's own: the second try is a key frame earlier.
            for key in earlier[::-1][:2]:
                if timeline.index_of(int(key)) != 0:
                    yield int(key)
        yield None

    def _select(
        self,
        found: tuple[int, Any],
        decoding: Iterator[tuple[int, Any]],
        *,
        first: int,
        last: int,
    ) -> Iterator[LumaFrame]:
        """Check that no frame is missing on the way, and wrap those asked for."""
        timeline = self.timeline
        expected = first
        current: tuple[int, Any] | None = found
        while current is not None:
            index, frame = current
            if index >= first:
                if index != expected or frame.is_corrupt:
                    raise self._damaged(expected)
                self._refuse_change(frame, index)
                yield LumaFrame(
                    index=index,
                    pts=int(timeline.pts[index]),
                    time_base=timeline.time_base,
                    luma=luma_codes(frame, matrix=self.info.matrix),
                )
                if index == last:
                    return
                expected += 1
            current = next(decoding, None)
        raise self._damaged(expected)

    def _decode_from(self, start: int | None) -> "Decoding":
        return Decoding(self._path, self.timeline, start=start)

    def _refuse_change(self, frame: Any, index: int) -> None:
        info = self.info
        if (frame.width, frame.height) != (info.width, info.height):
            raise VideoUnsupported(
                f"The picture's size changes from {info.width}x{info.height} to {frame.width}x{frame.height} at "
                f"{self.timeline.seconds(index):.1f} s; cut the video there and colorize the parts one by one."
            )
        if frame.format.name != info.pixel_format:
            raise VideoUnsupported(
                f"The pixel format changes from {info.pixel_format} to {frame.format.name} at "
                f"{self.timeline.seconds(index):.1f} s; convert the video to one format and use that."
            )

    def _damaged(self, index: int) -> VideoUndecodable:
        total = float((self.timeline.end - int(self.timeline.pts[0])) * self.timeline.time_base)
        return VideoUndecodable(
            f"The video is damaged at {self.timeline.seconds(index):.1f} s of {total:.1f} s (frame {index}): it cannot "
            "be decoded there. Copy or export it again, or cut it before that point, and use that."
        )


class Decoding:
    """An iterator of (frame number, decoded frame) from one point on; damaged packets show as missing numbers."""

    def __init__(self, path: Path, timeline: Timeline, *, start: int | None) -> None:
        self._timeline = timeline
        self._container = open_source(path)
        stream = video_stream(self._container)
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = DECODER_THREADS
        for other in self._container.streams:
            if other.index != stream.index:
                other.discard = av.stream.Discard.all
        if start is not None:
            self._container.seek(start, stream=stream)
        self._frames = self._numbered(stream, counted=start is None and not timeline.exact)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[int, Any]:
        return next(self._frames)

    def close(self) -> None:
        self._frames.close()
        self._container.close()

    def _numbered(self, stream: Any, *, counted: bool) -> Generator[tuple[int, Any], None, None]:
        count = 0
        for packet in demux(self._container, stream):
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                # Goes on, so that the gap is reported at the frame that is missing, not where the decoder noticed.
                continue
            for frame in frames:
                if counted:
                    if count < len(self._timeline):
                        yield count, frame
                    count += 1
                    continue
                index = self._timeline.index_of(frame.pts)
                if index is not None:
                    yield index, frame
