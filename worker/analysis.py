"""One look at every frame before the work: where the shots are, and what each frame looks like."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect import AdaptiveDetector, FrameTimecode

from worker.media.frames import LumaFrame, VideoInfo
from worker.signatures import SignatureFile, signature_of

ANALYSIS_WIDTH = 192
"""Width at which shots are detected: enough for cuts, and no more time than decoding takes."""

SHORTEST_SHOT = 8
"""Frames; a cut that would leave a shorter shot behind is not made, so that a flash does not cut one."""

_MIN_LUMA_CHANGE = 12.0
"""Mean change of 8-bit luma that a cut has at least. PySceneDetect's 15 is for the mean of hue, saturation and luma;
gray film changes in luma alone, and low-contrast scans change less."""

ShotsOption = Literal["auto", "single"] | Sequence[int]


@dataclass(frozen=True, slots=True)
class ShotRange:
    """A shot: frames `first` to `last`, both included."""

    first: int
    last: int

    def __contains__(self, frame: object) -> bool:
        return isinstance(frame, int) and self.first <= frame <= self.last

    def __len__(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the first pass over a video found."""

    shots: tuple[ShotRange, ...]
    """In order, without gaps, covering the video."""
    warnings: tuple[str, ...]


def unit_luma(frame: LumaFrame, *, info: VideoInfo, size: tuple[int, int]) -> NDArray[np.float32]:
    """Luma of a frame at `size` (height, width), [H, W] float32: black 0, white 1, averaged where it shrinks."""
    height, width = size
    luma: NDArray[Any] = frame.luma
    if luma.shape != size:
        luma = cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA)
    step = 2 ** (info.bit_depth - 8)
    black, span = (0.0, 2.0**info.bit_depth - 1) if info.full_range else (16.0 * step, 219.0 * step)
    return (luma.astype(np.float32) - np.float32(black)) / np.float32(span)


def analyze(
    frames: Iterable[LumaFrame],
    *,
    info: VideoInfo,
    shots: ShotsOption,
    signatures: SignatureFile,
    on_frame: Callable[[int], None],
) -> Analysis:
    """Cut a video into shots and append the signature of each frame to `signatures`.

    `shots` is `auto`, `single`, or the first frame of every shot but the first; `on_frame` is called with the number
    of frames seen so far.
    """
    detector = _CutDetector(info.frame_rate) if shots == "auto" else None
    width = min(ANALYSIS_WIDTH, info.width)
    size = (max(1, round(info.height * width / info.width)), width)
    count = 0
    for frame in frames:
        luma = unit_luma(frame, info=info, size=size)
        signatures.append(signature_of(luma))
        if detector is not None:
            detector.feed(frame.index, luma)
        count += 1
        on_frame(count)
    if detector is not None:
        return Analysis(shots=ranges(detector.cuts, frames=count), warnings=())
    cuts: Sequence[int] = () if isinstance(shots, str) else sorted(set(shots))
    beyond = [cut for cut in cuts if not 0 < cut < count]
    warnings = tuple(f"The cut at frame {cut} was left out: the video's frames are 0 to {count - 1}." for cut in beyond)
    return Analysis(shots=ranges([cut for cut in cuts if 0 < cut < count], frames=count), warnings=warnings)


def ranges(cuts: Sequence[int], *, frames: int) -> tuple[ShotRange, ...]:
    """Shots between `cuts` (ascending, each the first frame of a shot, none of them 0) in a video of `frames`."""
    starts = [0, *cuts]
    ends = [*(cut - 1 for cut in cuts), frames - 1]
    return tuple(ShotRange(first, last) for first, last in zip(starts, ends, strict=True))


class _CutDetector:
    """PySceneDetect's adaptive detector, fed with our own luma instead of reading the file by itself."""

    def __init__(self, frame_rate: Fraction) -> None:
        self._detector = AdaptiveDetector(luma_only=True, min_scene_len=SHORTEST_SHOT, min_content_val=_MIN_LUMA_CHANGE)
        self._frame_rate = float(frame_rate)
        self.cuts: list[int] = []

    def feed(self, index: int, luma: NDArray[np.float32]) -> None:
        gray = np.clip(luma * 255, 0, 255).astype(np.uint8)
        found = self._detector.process_frame(
            FrameTimecode(index, fps=self._frame_rate), cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)
        )
        self.cuts.extend(int(cut.frame_num) for cut in found)
