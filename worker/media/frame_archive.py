"""Writes the `frames` variant: every color frame as a PNG, in one zip."""

import contextlib
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from jobs.errors import StorageFull
from worker.media.constant_rate import exact_times
from worker.media.frames import Codes, LumaFrame, VideoInfo
from worker.media.stills import png_of, to_deep_rgb, to_rgb
from worker.media.storage import DISK_FULL, is_disk_full
from worker.media.timeline import Timeline

LIST = "frames.json"


class FrameArchive:
    """A zip of PNGs named by the number of their frame, as decoded: at the film's size, before rotation and sample
    aspect, with 16 bits per sample where the film has more than 8. `frames.json` tells when each is shown.

    It is written as a film is, in segments that are joined. A few hundred bytes per frame are held, for the directory.
    """

    def __init__(self, *, info: VideoInfo, timeline: Timeline) -> None:
        self._info = info
        self._timeline, _ = exact_times(timeline, stated=info.frame_rate)

    def open_segment(self, path: Path) -> "FrameSegment":
        """The pictures of some frames in a row, for `join`.

        Raises:
            StorageFull: no space is left.
        """
        return FrameSegment(path, info=self._info)

    def join(self, path: Path, segments: Sequence[Path], *, on_frame: Callable[[], None] = lambda: None) -> None:
        """Write the archive. `segments` hold all frames of the film, in order; `on_frame` may raise to stop it.

        Raises:
            StorageFull: no space is left; no file remains, as with every other failure.
        """
        with _written(path), _open(path) as archive:
            for segment in segments:
                with zipfile.ZipFile(segment) as pictures:
                    for entry in pictures.infolist():
                        on_frame()
                        archive.writestr(entry, pictures.read(entry))
            names = archive.namelist()
            with archive.open(zipfile.ZipInfo(LIST), "w") as file:
                for place, name in enumerate(names):
                    file.write(b"[\n" if place == 0 else b",\n")
                    frame = number_in(name)
                    told = {"name": name, "frame": frame, "time_seconds": self._timeline.seconds(frame)}
                    file.write(json.dumps(told).encode())
                file.write(b"\n]\n")


class FrameSegment:
    """Takes frames in presentation order; a context manager that leaves no file behind when its block raises."""

    def __init__(self, path: Path, *, info: VideoInfo) -> None:
        self._path = path
        self._info = info
        with _written(path):
            self._archive = _open(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            with _written(self._path):
                self._archive.close()
            return
        # The file goes anyway, and the failure that led here is what matters.
        with contextlib.suppress(OSError):
            self._archive.close()
        self._path.unlink(missing_ok=True)

    def write(self, frame: LumaFrame, chroma: Codes) -> None:
        """Add one frame. `chroma` is [2, h, w] of any size: codes of Cb and Cr at the source's bit depth and range.

        Raises:
            StorageFull: no space is left.
        """
        picture = (to_rgb if self._info.bit_depth == 8 else to_deep_rgb)(frame.luma, chroma, info=self._info)
        with _written(self._path):
            # Without the time of day, which a plain name would carry: the same film makes the same file.
            self._archive.writestr(zipfile.ZipInfo(name_of(frame.index)), png_of(picture))


def name_of(frame: int) -> str:
    """File name of a frame's picture."""
    return f"frame-{frame:06d}.png"


def number_in(name: str) -> int:
    """The number of the frame whose picture has that name."""
    return int(name.removeprefix("frame-").removesuffix(".png"))


def _open(path: Path) -> zipfile.ZipFile:
    # PNG is compressed already.
    return zipfile.ZipFile(path, "w", compression=zipfile.ZIP_STORED)


@contextlib.contextmanager
def _written(path: Path) -> Iterator[None]:
    """A failure to write leaves no file behind, and a full disk is told as one."""
    try:
        yield
    except BaseException as failure:
        path.unlink(missing_ok=True)
        if is_disk_full(failure):
            raise StorageFull(DISK_FULL) from failure
        raise
