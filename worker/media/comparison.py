"""Writes the side-by-side video: the input in gray on the left, the result on the right."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.media.constant_rate import exact_times
from worker.media.encoding import KEYFRAME_SECONDS, Encoding, x264_params
from worker.media.film import join_segments
from worker.media.frames import Codes, LumaFrame, VideoInfo
from worker.media.segment import SegmentFile
from worker.media.tags import read_tags
from worker.media.timeline import Timeline

LARGEST_HALF = 960
"""Width of each half at most: both fit a full-HD screen."""

_CRF = "20"
_NEUTRAL = 128


class ComparisonOutput:
    """An H.264 4:2:0 8-bit MP4 that plays everywhere, with the film's timing and sound; written as a film is.

    Rotation is applied, so that the halves stand side by side. Fields, which do not survive scaling, are not kept.
    """

    def __init__(self, *, source: Path, info: VideoInfo, timeline: Timeline) -> None:
        """`info` and `timeline` describe `source`."""
        self._timeline, self._rate = exact_times(timeline, stated=info.frame_rate)
        self._source = source
        self._info = info
        self._tags = read_tags(source, first_time=self._timeline.first_time).upright()
        self._turns = info.quarter_turns
        height, width = (info.width, info.height) if self._turns % 2 else (info.height, info.width)
        scale = min(1.0, LARGEST_HALF / width)
        self._half = (_even(height * scale), _even(width * scale))

    def open_segment(self, path: Path) -> "ComparisonSegment":
        """As `VideoOutput.open_segment`."""
        height, width = self._half[0], 2 * self._half[1]
        group = max(1, min(250, round(float(self._info.frame_rate) * KEYFRAME_SECONDS)))
        file = SegmentFile(
            path,
            timeline=self._timeline,
            tags=self._tags,
            encoding=Encoding(
                codec="libx264",
                pixel_format="yuv420p",
                bit_depth=8,
                full_range=False,
                options={"preset": "veryfast", "crf": _CRF, "g": str(group), **x264_params()},
                size=(height, width),
                chroma_size=(height // 2, width // 2),
                warnings=(),
            ),
            matrix=self._info.matrix,
            rate=self._rate,
        )
        return ComparisonSegment(file, info=self._info, half=self._half, turns=self._turns)

    def join(self, path: Path, segments: Sequence[Path], *, on_frame: Callable[[], None] = lambda: None) -> None:
        """As `VideoOutput.join`; what the comparison lacks beside its picture is told by nobody."""
        join_segments(
            path,
            segments,
            source=self._source,
            timeline=self._timeline,
            tags=self._tags,
            rate=self._rate,
            container="mp4",
            sound_only=True,
            warn=lambda _: None,
            on_frame=on_frame,
        )


class ComparisonSegment:
    """Takes frames in presentation order; a context manager that leaves no file behind when its block raises."""

    def __init__(self, file: SegmentFile, *, info: VideoInfo, half: tuple[int, int], turns: int) -> None:
        self._file = file
        self._info = info
        self._half = half
        self._turns = turns

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._file.finish()
        else:
            self._file.abandon()

    def write(self, frame: LumaFrame, chroma: Codes, *, restored: Codes | None = None) -> None:
        """Encode one frame.

        `chroma` is [2, h, w] of any size: codes of Cb and Cr at the source's bit depth and range. `restored` is the
        result's luma [H, W] where it is not the input's.

        Raises:
            ValueError: the frame is not after the last.
            StorageFull: no space is left.
        """
        height, width = self._half
        left = self._fitted(frame.luma, height=height, width=width, is_chroma=False)
        right = left if restored is None else self._fitted(restored, height=height, width=width, is_chroma=False)
        neutral = np.full((height // 2, width // 2), _NEUTRAL, dtype=np.uint8)
        planes = [np.hstack((left, right))]
        for codes in chroma:
            color = self._fitted(codes, height=height // 2, width=width // 2, is_chroma=True)
            planes.append(np.hstack((neutral, color)))
        self._file.write(planes, frame)

    def _fitted(self, codes: NDArray[Any], *, height: int, width: int, is_chroma: bool) -> NDArray[np.uint8]:
        """A plane turned upright, at the size of its half, in limited-range 8-bit codes."""
        turned = np.ascontiguousarray(np.rot90(codes, self._turns))
        if turned.shape != (height, width):
            shrinks = height <= turned.shape[0] and width <= turned.shape[1]
            turned = cv2.resize(turned, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        info = self._info
        if info.bit_depth == 8 and not info.full_range:
            return np.asarray(turned, dtype=np.uint8)
        # ITU-T H.273; a table, since there are but 256 or 1024 codes.
        code = np.arange(2**info.bit_depth, dtype=np.float64)
        if not info.full_range:
            table = code / 2 ** (info.bit_depth - 8)
        elif is_chroma:
            table = (code - 2 ** (info.bit_depth - 1)) * (224 / code[-1]) + _NEUTRAL
        else:
            table = code * (219 / code[-1]) + 16
        return np.take(np.asarray(np.clip(np.rint(table), 0, 255), dtype=np.uint8), turned)


def _even(side: float) -> int:
    """The nearest even number, two at least."""
    return max(2, 2 * round(side / 2))
