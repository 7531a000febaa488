"""Finds clips with known colors on disk, for `worker.evaluation`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jobs.errors import ClipUnusable

InputChoice = Literal["luma", "gray"]
"""What is colorized: the luma of the true colors, or the clip's own monochrome video."""

PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
VIDEOS = {".mp4", ".mkv", ".mov", ".webm", ".avi", ".ts", ".m4v", ".mpg", ".mpeg"}


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip whose colors are known. Each source is a video file or a folder of pictures."""

    name: str
    truth: Path
    mono: Path | None
    """What is colorized; absent: the BT.601 luma of `truth`."""
    reference: Path | None
    """The first frame in color; absent: the first frame of `truth`."""


def find_clips(paths: list[Path], *, source: InputChoice | None) -> list[Clip]:
    """The clips at `paths`: videos, folders of frames, folders with truth, and folders of all of these.

    `source` None takes the clip's own monochrome video where it has one.

    Raises:
        ClipUnusable: a path holds no clip, or one without a monochrome video where `source` is "gray".
    """
    clips = [clip for path in paths for clip in _clips_at(path, source=source)]
    if source == "gray":
        for clip in clips:
            if clip.mono is None:
                raise ClipUnusable(f"{clip.name} has no gray.* or mono.*; leave out --input, or give --input luma.")
    return clips


def _clips_at(path: Path, *, source: InputChoice | None) -> list[Clip]:
    if path.is_file() and path.suffix.lower() in VIDEOS:
        return [Clip(name=path.stem, truth=path, mono=None, reference=None)]
    if not path.is_dir():
        raise ClipUnusable(f"{path} is no clip; give a video, a folder of color frames, or a folder of such folders.")
    truth = _named(path, "truth")
    if truth is not None:
        mono = None if source == "luma" else _named(path, "gray") or _named(path, "mono")
        return [Clip(name=path.name, truth=truth, mono=mono, reference=_reference(path))]
    if pictures_in(path):
        return [Clip(name=path.name, truth=path, mono=None, reference=None)]
    inside = sorted(p for p in path.iterdir() if p.is_dir() or p.suffix.lower() in VIDEOS)
    if not inside:
        raise ClipUnusable(
            f"{path} holds no clip; a clip is a video, a folder of color frames, or a folder with truth."
        )
    return [clip for entry in inside for clip in _clips_at(entry, source=source)]


def _named(folder: Path, stem: str) -> Path | None:
    """The video `stem`.* or the folder of pictures `stem` in `folder`."""
    if (folder / stem).is_dir():
        return folder / stem
    return next((p for p in sorted(folder.glob(f"{stem}.*")) if p.suffix.lower() in VIDEOS), None)


def _reference(folder: Path) -> Path | None:
    """`reference.png`, or the first picture in `references`."""
    if (folder / "reference.png").is_file():
        return folder / "reference.png"
    inside = folder / "references"
    return next(iter(pictures_in(inside)), None) if inside.is_dir() else None


def pictures_in(folder: Path) -> list[Path]:
    """The picture files right in `folder`, by name."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES)
