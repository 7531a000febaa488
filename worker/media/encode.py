"""Writes the colored film: the luma planes as decoded, new chroma beside them, everything else copied."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from jobs.options import OutputOptions
from worker.media.encoding import choose_encoding
from worker.media.film import FilmFile
from worker.media.frames import Codes, LumaFrame, VideoInfo
from worker.media.tags import read_tags
from worker.media.timeline import Timeline, read_timeline


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
    Frames keep their times exactly in mp4 and mov; mkv counts milliseconds. Three things move all streams together:
    a broadcast (MPEG-TS, MPEG) and a film with negative times begin at zero, and mkv, which has no negative times,
    begins with the sound where the sound begins before the picture (AAC does, by 21 ms at 48 kHz).

    Raises:
        StorageFull: no space is left, here or while writing.
    """
    return VideoWriter(path, source=source, info=info, output=output, timeline=timeline or read_timeline(source))


class VideoWriter:
    """Takes frames in presentation order."""

    def __init__(self, path: Path, *, source: Path, info: VideoInfo, output: OutputOptions, timeline: Timeline) -> None:
        self._info = info
        self._encoding = choose_encoding(info, output=output)
        self.warnings: list[str] = list(self._encoding.warnings)
        """What could not be kept as it was, as sentences for the user; complete once the file is."""
        self._file = FilmFile(
            path,
            source=source,
            timeline=timeline,
            tags=read_tags(source, first_time=int(timeline.pts[0]) * timeline.time_base),
            encoding=self._encoding,
            matrix=info.matrix,
            rate=info.frame_rate,
            container=output.container,
            sound_only=False,
            warn=self.warnings.append,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._file.finish()
        else:
            self._file.abandon()

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
        if frame.luma.shape != self._encoding.size:
            raise ValueError(f"the luma plane is {frame.luma.shape}, expected {self._encoding.size}")
        if chroma.shape != (2, *self.chroma_size):
            raise ValueError(f"the chroma planes are {chroma.shape}, expected {(2, *self.chroma_size)}")
        colors = self._fitted(chroma, is_chroma=True)
        self._file.write((self._fitted(frame.luma, is_chroma=False), colors[0], colors[1]), frame)

    def _fitted(self, codes: Codes, *, is_chroma: bool) -> NDArray[Any]:
        """Codes at the encoding's depth and range: as they are, but for ProRes."""
        info, encoding = self._info, self._encoding
        if (encoding.bit_depth, encoding.full_range) == (info.bit_depth, info.full_range):
            return codes
        if encoding.full_range == info.full_range:
            return codes.astype(np.uint16) * np.uint16(2 ** (encoding.bit_depth - info.bit_depth))
        # ITU-T H.273: full range of any depth to limited range of 10 bits.
        peak = 2**info.bit_depth - 1
        if is_chroma:
            scaled = (codes.astype(np.float32) - 2 ** (info.bit_depth - 1)) * (896 / peak) + 512
        else:
            scaled = codes.astype(np.float32) * (876 / peak) + 64
        return np.asarray(np.rint(scaled), dtype=np.uint16)
