"""Tells whether a video file was cut off, by what its container announces."""

import struct
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import VideoUndecodable

_PADDING = 1024
"""Bytes by which writers of AVI miscount their own files."""
_STATES_DURATION = ("matroska", "flv")
_SAID_FROM = 1.0
"""Seconds missing at the end that are worth a word: rounding, and the padding of sound, are below."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a container says of its own length, and what was found."""

    announced_seconds: float | None
    found_seconds: float
    announced_frames: int
    found_frames: int
    damaged: bool
    """A packet was cut or could not be read."""


def refuse_truncated(found: Announcement, *, container: str, path: Path) -> None:
    """Refuse a file that ends before its announced end.

    MP4 and MOV list their frames, Matroska and FLV state a duration, AVI states its size; MPEG announces nothing.

    Raises:
        VideoUndecodable: the file is cut off; says at which second.
    """
    cut = found.damaged
    announced = found.announced_seconds
    if container.startswith("mov"):
        cut |= found.announced_frames > found.found_frames
    elif container.startswith(_STATES_DURATION) and announced is not None:
        # Containers round durations and sound may be padded: what is missing must be plain to see.
        cut |= announced - found.found_seconds > max(0.25, 0.01 * announced)
    elif container.startswith("avi"):
        size, seconds = _avi_header(path)
        cut |= path.stat().st_size + _PADDING < size
        announced = max(announced or 0.0, seconds)
    if cut:
        whole = "" if announced is None else f" of {announced:.1f} s"
        raise VideoUndecodable(
            f"The video file is cut off or damaged: it can be read up to {found.found_seconds:.1f} s{whole}. "
            "Copy or export it again and use the whole file."
        )


def about_missing_end(found: Announcement, *, container: str) -> str | None:
    """What to say of a film that `refuse_truncated` lets through although some of its end seems to be missing.

    Only Matroska and FLV leave room for it. Their duration is that of the stream that ends last, and so is what was
    found: sound or subtitles that go on longer than the picture are no missing end. A file that states none says
    nothing.
    """
    announced = found.announced_seconds
    if announced is None or not container.startswith(_STATES_DURATION):
        return None
    if announced - found.found_seconds <= _SAID_FROM:
        return None
    return (
        f"The video file says that it is {announced:.1f} s long, but ends at {found.found_seconds:.1f} s, so its end "
        "may be missing. What is there is used; if the original is longer, copy or upload it again."
    )


def _avi_header(path: Path) -> tuple[int, float]:
    """Bytes that the first RIFF chunk says it has, and seconds of picture by the main header; zeros where unknown."""
    with path.open("rb") as file:
        head = file.read(64)
    if len(head) < 64 or head[24:28] != b"avih":
        return 0, 0.0
    size: int = struct.unpack_from("<I", head, 4)[0] + 8
    microseconds: int = struct.unpack_from("<I", head, 32)[0]
    frames: int = struct.unpack_from("<I", head, 48)[0]
    return size, microseconds * frames / 1e6
