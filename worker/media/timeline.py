"""When each frame of a video stands, read from the packets without decoding them."""

import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from jobs.errors import VideoUndecodable
from worker.media.source import demux, open_source, video_stream
from worker.media.truncation import Announcement, about_missing_end, refuse_truncated

_HIDDEN_FRAMES = frozenset({"vp8", "mpeg4", "msmpeg4v3", "msmpeg4v2", "theora"})
"""Codecs with packets that show no frame (VP8's alternate references, packed B-frames, repeats): there the frames can
only be counted by decoding."""

_REORDERED = frozenset({"h264", "hevc", "mpeg1video", "mpeg2video", "vc1", "wmv3"})
"""Codecs that show frames in another order than they store them, which AVI cannot tell."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """The place in time of every frame, in presentation order."""

    time_base: Fraction
    pts: NDArray[np.int64]
    """[N], strictly increasing."""
    keys: NDArray[np.int64]
    """pts of the frames that decoding can start at, increasing."""
    last_duration: int
    """How long the last frame stands."""
    exact: bool
    """Whether decoded frames carry these very pts. False where the file has none or contradicts itself: pts are made
    up then, and a frame is found only by counting from the start."""

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def first_time(self) -> Fraction:
        """Seconds at which the first frame stands."""
        return int(self.pts[0]) * self.time_base

    @property
    def end(self) -> int:
        """When the last frame ends."""
        return int(self.pts[-1]) + self.last_duration

    def index_of(self, pts: int | None) -> int | None:
        """Number of the frame at `pts`; None where no frame stands."""
        if pts is None:
            return None
        index = int(np.searchsorted(self.pts, pts))
        return index if index < len(self.pts) and self.pts[index] == pts else None

    def nearest(self, seconds: float) -> int:
        """The frame that is shown nearest to a time after the first frame: a time read off a player is rounded, and
        may lie just before the frame that it means."""
        pts = int(self.pts[0]) + float(seconds / self.time_base)
        return int(np.abs(self.pts - pts).argmin())

    def duration_of(self, index: int) -> int:
        """How long a frame stands."""
        if index + 1 < len(self.pts):
            return int(self.pts[index + 1] - self.pts[index])
        return self.last_duration

    def seconds(self, index: int) -> float:
        """Time of a frame after the first frame."""
        return float(int(self.pts[index] - self.pts[0]) * self.time_base)

    def seconds_of(self, first: int, last: int) -> float:
        """From the start of one frame to the end of another."""
        return float((int(self.pts[last] - self.pts[first]) + self.duration_of(last)) * self.time_base)


def read_timeline(path: Path, *, on_packet: Callable[[int], None] = lambda _: None) -> tuple[Timeline, str | None]:
    """Read the place of every frame of the film in `path`; one pass over the file, a few bytes per frame in memory.
    With it comes a sentence for the user where a little of the film's end seems to be missing.

    `on_packet` is called for every packet read, with the number of frames found so far; what it raises ends the
    reading. A file whose packets do not tell its frames is read twice, and its frames are counted anew.

    Raises:
        VideoUndecodable: no frames, or the file ends earlier than it announces.
        VideoUnsupported: see `open_source`.
    """
    with open_source(path) as container:
        stream = video_stream(container)
        timeline, announcement = _from_packets(container, stream, on_packet)
        codec = stream.codec_context.name
        untold = codec in _HIDDEN_FRAMES or (container.format.name == "avi" and codec in _REORDERED)
        name = container.format.name
    refuse_truncated(announcement, container=name, path=path)
    if timeline is None or untold or not _first_frame_agrees(path, timeline):
        timeline = _from_frames(path, on_packet)
    return timeline, about_missing_end(announcement, container=name)


def _from_packets(
    container: Any, stream: Any, on_packet: Callable[[int], None]
) -> tuple[Timeline | None, Announcement]:
    """The timeline where the packets tell it; and how the file's length compares with what it announces."""
    pts, keys = array("q"), array("q")
    # A packet without a picture is no frame yet.
    tells = stream.codec_context.name not in _HIDDEN_FRAMES
    missing = damaged = False
    packets = 0
    latest, duration = -math.inf, 0
    extent = _Extent()
    try:
        for packet in demux(container):
            if packet.size == 0 and packet.pts is None:
                continue
            on_packet(len(pts) if tells else 0)
            extent.add(packet)
            if packet.stream.index != stream.index:
                continue
            packets += 1
            damaged |= packet.is_corrupt and container.format.name != "mpegts"
            if packet.is_discard:
                continue
            if packet.pts is None:
                missing = True
                continue
            if packet.duration and packet.pts >= latest:
                latest, duration = packet.pts, packet.duration
            pts.append(packet.pts)
            if packet.is_keyframe or len(pts) == 1:
                keys.append(packet.pts)
    except av.error.FFmpegError:
        damaged = True
    announcement = Announcement(
        announced_seconds=container.duration / av.time_base if container.duration else None,
        found_seconds=extent.seconds,
        # Not the number in the header: an edit list may leave samples out, and the demuxer's index with it.
        announced_frames=len(stream.index_entries),
        found_frames=packets,
        damaged=damaged,
    )
    if not packets:
        raise VideoUndecodable("The video has no frames; export it again and check that it plays.")
    if container.format.name.startswith("mov") and pts and pts[-1] != latest:
        duration = _rest_of(stream, since=int(latest)) or duration
    order = np.unique(np.asarray(pts, dtype=np.int64))
    if missing or len(order) != len(pts):
        return None, announcement
    timeline = Timeline(
        time_base=stream.time_base,
        pts=order,
        keys=np.unique(np.asarray(keys, dtype=np.int64)),
        last_duration=duration or _usual_step(order, stream),
        exact=True,
    )
    return timeline, announcement


def _rest_of(stream: Any, *, since: int) -> int:
    """How long the last frame stands, from `since` on, in an MP4 or MOV where it is not the last packet: what the
    packet tells is how far the next one is in decoding. 0 where the film's length does not tell either."""
    if not stream.duration:
        return 0
    return max(0, int((stream.start_time or 0) + stream.duration) - since)


class _Extent:
    """From when to when packets stand, over all streams."""

    def __init__(self) -> None:
        self._start: Fraction | None = None
        self._end = Fraction(0)

    def add(self, packet: Any) -> None:
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None or not packet.time_base:
            return
        start = stamp * packet.time_base
        self._start = start if self._start is None else min(self._start, start)
        self._end = max(self._end, start + (packet.duration or 0) * packet.time_base)

    @property
    def seconds(self) -> float:
        """Length from zero, or from the start where that is before zero."""
        return float(self._end - min(Fraction(0), self._start or Fraction(0)))


def _first_frame_agrees(path: Path, timeline: Timeline) -> bool:
    """Whether the first decoded frame is the first by its packets; not so where a recording starts in mid-air."""
    with open_source(path) as container:
        try:
            first = next(container.decode(video_stream(container)), None)
        except av.error.FFmpegError:
            return False
        return first is not None and first.pts == timeline.pts[0]


def _from_frames(path: Path, on_packet: Callable[[int], None]) -> Timeline:
    """The timeline by decoding everything: slow, for files whose packets do not tell."""
    stamps: list[int | None] = []
    keys: list[int] = []
    with open_source(path) as container:
        stream = video_stream(container)
        stream.thread_type = "AUTO"
        step = 0
        for packet in demux(container, stream):
            on_packet(len(stamps))
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                # A recording that starts in mid-air has packets before its first key frame; nothing is lost there.
                if not stamps:
                    continue
                raise VideoUndecodable(
                    f"The video cannot be decoded beyond frame {len(stamps)}: the file is damaged there. "
                    "Copy or export it again and use that."
                ) from error
            for frame in frames:
                stamps.append(frame.pts)
                step = frame.duration or step
                if frame.key_frame and frame.pts is not None:
                    keys.append(frame.pts)
        if not stamps:
            raise VideoUndecodable("No frame of the video can be decoded; export it again and check that it plays.")
        known = np.asarray([s for s in stamps if s is not None], dtype=np.int64)
        usual = step or _usual_step(known, stream)
        # AVI tells when frames are decoded, not when they are shown: the times are right then, their order is not.
        unique = len(np.unique(known)) == len(stamps)
        pts = np.sort(known) if unique else _mended(stamps, usual)
        return Timeline(
            time_base=stream.time_base,
            pts=pts,
            keys=np.unique(np.asarray(keys or [int(pts[0])], dtype=np.int64)),
            last_duration=usual,
            exact=pts.tolist() == stamps,
        )


def _mended(stamps: list[int | None], usual: int) -> NDArray[np.int64]:
    """Times that increase: those that are missing or step back follow the frame before them at the usual distance."""
    pts = np.empty(len(stamps), dtype=np.int64)
    for index, stamp in enumerate(stamps):
        previous = int(pts[index - 1]) if index else None
        if previous is None:
            pts[index] = stamp or 0
        else:
            pts[index] = stamp if stamp is not None and stamp > previous else previous + usual
    return pts


def _usual_step(pts: NDArray[np.int64], stream: Any) -> int:
    """Median distance of frames; where there is one frame, one over the frame rate."""
    if len(pts) > 1:
        return max(1, int(np.median(np.diff(np.sort(pts)))))
    rate = Fraction(stream.average_rate or 25)
    return max(1, round(1 / (rate * Fraction(stream.time_base))))
