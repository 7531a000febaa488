"""Interlaced film: which field of a frame is shown first, read from frames and written to them.

PyAV 18 shows of a frame's fields that there are two, and lets nobody set it; FFmpeg's filters know and do the rest.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import av
from av.filter import Graph

from worker.media.frames import FieldOrder

_FRAMES_LOOKED_AT = 25
"""Before a film is taken for progressive whose stream says otherwise: films begin in black, or with a title."""
ORDER_CODES: dict[FieldOrder, int] = {"top": 2, "bottom": 3}
"""FFmpeg's AVFieldOrder, for streams whose frames are stored whole."""
_PROGRESSIVE = (0, 1)
"""Codes of a stream that says so, or nothing."""


def find_order(first: Any, following: Iterator[Any], *, stated: int) -> FieldOrder | None:
    """Which field is shown first, as the frames say: DV says it nowhere else, and film on DVD is progressive in a
    stream that says otherwise. None where they are progressive.

    `first` is the first frame; of those `following` it, some are decoded where the stream's `stated` AVFieldOrder
    contradicts it.
    """
    looked_at = 1 if stated in _PROGRESSIVE else _FRAMES_LOOKED_AT
    frames = itertools.chain((first,), following)
    try:
        interlaced = next((f for f in itertools.islice(frames, looked_at) if f.interlaced_frame), None)
    except av.error.FFmpegError:
        # Whoever decodes all frames reports what is damaged.
        return None
    if interlaced is None:
        return None
    # The filter passes no frame on but such whose top field comes first.
    graph = _Filter(interlaced, "select", "eq(interlace_type,TOPFIRST)")
    return "top" if graph.applied(interlaced) else "bottom"


class FieldMark:
    """Marks frames of one size and format as interlaced."""

    def __init__(self, order: FieldOrder) -> None:
        self._mode = "tff" if order == "top" else "bff"
        self._filter: _Filter | None = None

    def marked(self, frame: Any) -> Any:
        self._filter = self._filter or _Filter(frame, "setfield", self._mode)
        return self._filter.applied(frame)


class _Filter:
    """One of FFmpeg's filters, for frames like `frame`."""

    def __init__(self, frame: Any, name: str, argument: str) -> None:
        self._graph = Graph()
        self._graph.threads = 1
        source = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
        )
        chosen, sink = self._graph.add(name, argument), self._graph.add("buffersink")
        source.link_to(chosen)
        chosen.link_to(sink)
        self._graph.configure()

    def applied(self, frame: Any) -> Any | None:
        """The frame that comes out; None where none does."""
        self._graph.push(frame)
        try:
            return self._graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return None
