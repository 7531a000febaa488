"""Takes the time of prediction alone, without that of decoding and preparing frames."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from torch import Tensor

from worker.canvas import Canvas
from worker.media.frames import LumaFrame, VideoInfo
from worker.propagation import FrameSource

Item = TypeVar("Item")


@dataclass(slots=True)
class Stopwatch:
    """Adds up the time spent inside of it, with `with`."""

    seconds: float = 0.0
    _started: float = 0.0

    def __enter__(self) -> None:
        self._started = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.monotonic() - self._started

    def timed(self, items: Iterator[Item]) -> Iterator[Item]:
        """Yield `items`, counting how long each takes to come."""
        while True:
            with self:
                item = next(items, None)
            if item is None:
                return
            yield item


@dataclass(frozen=True, slots=True)
class TimedSource:
    """A source whose own time is known, so that it can be taken off that of prediction."""

    source: FrameSource
    canvas: Canvas
    info: VideoInfo
    watch: Stopwatch = field(default_factory=Stopwatch)

    def frames(self, first: int = 0, last: int | None = None) -> Iterator[LumaFrame]:
        return self.watch.timed(self.source.frames(first, last))

    def reversed_frames(self, first: int = 0, last: int | None = None) -> Iterator[LumaFrame]:
        return self.watch.timed(self.source.reversed_frames(first, last))

    def luma(self, frame: LumaFrame) -> Tensor:
        with self.watch:
            return self.canvas.luma(frame, info=self.info)
