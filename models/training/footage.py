"""What is trained on: short clips, and photos set in motion."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from models.motion import warp
from models.moved_reference import smooth_motion

CLIP_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm")
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png")
SHORTEST_CLIP = 5
"""Frames."""
MOVED_SIDE = 320
"""Side in pixels of the moving pictures that photos become."""
MOVED_FRAMES = 10
SLOWER, FASTER = 0.45, 0.7
"""Of the motion that tuning gives its samples at once, a frame: what is behind, and what is in front."""


class NoFootage(Exception):
    """There is nothing to train on."""


@dataclass(frozen=True, slots=True)
class Footage:
    """A shot in luma and chroma."""

    luma: NDArray[np.uint8]
    """[T, H, W], full range; H and W are multiples of 4."""
    chroma: NDArray[np.uint8]
    """[T, H/2, W/2, 2], Cr and Cb around 128."""

    def taken(self, frames: Sequence[int]) -> Self:
        """These frames alone, in this order."""
        return replace(self, luma=self.luma[list(frames)], chroma=self.chroma[list(frames)])

    def scaled(self, factor: float) -> Self:
        """Of `factor` times the size, above 0, to the nearest multiples of 4."""
        width, height = (max(4, round(side * factor / 4) * 4) for side in self.luma.shape[:0:-1])
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        chroma = np.stack([cv2.resize(plane, (width // 2, height // 2), interpolation=how) for plane in self.chroma])
        return replace(
            self,
            luma=np.stack([cv2.resize(plane, (width, height), interpolation=how) for plane in self.luma]),
            chroma=chroma,
        )


@dataclass(frozen=True, slots=True)
class Library:
    clips: Sequence[Footage]
    photos: Sequence[Path]


@dataclass(frozen=True, slots=True)
class Footages:
    """What runs are drawn from."""

    library: Library
    photos_share: float
    """Of the draws, photos set in motion; all, where there are no clips."""

    def draw(self, random: np.random.Generator) -> Footage:
        """A whole clip, or a photo set in motion.

        Raises:
            ValueError: a photo cannot be decoded.
        """
        clips, photos = self.library.clips, self.library.photos
        if photos and (not clips or random.random() < self.photos_share):
            return move_photos(photos, random=random)
        return clips[int(random.integers(len(clips)))]


def read_library(folders: Sequence[Path], *, hold_out: Sequence[str] = ()) -> Library:
    """Decode the clips below `folders` and list the photos; names that match one of `hold_out` are left out, and
    pictures that are none.

    Raises:
        NoFootage: there is no clip of `SHORTEST_CLIP` frames and no photo.
    """
    files = sorted(path for folder in folders for path in folder.rglob("*") if not _matches(path.stem, hold_out))
    clips = [read_clip(path) for path in files if path.suffix.lower() in CLIP_SUFFIXES]
    photos = [path for path in files if path.suffix.lower() in PHOTO_SUFFIXES and cv2.haveImageReader(str(path))]
    library = Library(clips=[clip for clip in clips if len(clip.luma) >= SHORTEST_CLIP], photos=photos)
    if not library.clips and not library.photos:
        raise NoFootage(
            f"There are no clips of {SHORTEST_CLIP} frames or more and no photos in {', '.join(map(str, folders))}."
        )
    return library


def _matches(stem: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(stem, pattern) for pattern in patterns)


def read_clip(path: Path) -> Footage:
    """All frames of a color clip; it is held in memory, so it should be short."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        found, frame = capture.read()
        if not found:
            break
        frames.append(split(np.asarray(frame, np.uint8)))
    if not frames:
        return Footage(luma=np.zeros((0, 4, 4), np.uint8), chroma=np.zeros((0, 2, 2, 2), np.uint8))
    return Footage(luma=np.stack([luma for luma, _ in frames]), chroma=np.stack([chroma for _, chroma in frames]))


def split(picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Luma [H, W] and chroma [H/2, W/2, 2] of a B'G'R' picture, cut to multiples of 4."""
    height, width = picture.shape[:2]
    planes = cv2.cvtColor(picture[: height // 4 * 4, : width // 4 * 4], cv2.COLOR_BGR2YCrCb)
    half = (planes.shape[1] // 2, planes.shape[0] // 2)
    return np.array(planes[..., 0], np.uint8), np.asarray(
        cv2.resize(planes[..., 1:], half, interpolation=cv2.INTER_AREA), np.uint8
    )


def aged(footage: Footage, *, random: np.random.Generator) -> Footage:
    """What time, bad copies and a printer's lamp do to luma: blur, grain, flicker, other contrast."""
    gain, lift = random.uniform(0.8, 1.25), random.uniform(-30, 30)
    blur, grain, flicker = random.uniform(0, 1.5), random.uniform(0, 6), random.uniform(0, 6)
    lumas = []
    for luma in footage.luma.astype(np.float32):
        changed = (luma - 127.5) * gain + 127.5 + lift + random.normal(0, 1) * flicker
        if blur > 0.3:
            changed = np.asarray(cv2.GaussianBlur(changed, (0, 0), blur), np.float32)
        changed = changed + random.normal(0, grain, changed.shape)
        lumas.append(np.clip(np.rint(changed), 0, 255).astype(np.uint8))
    return Footage(luma=np.stack(lumas), chroma=footage.chroma)


def move_photos(photos: Sequence[Path], *, random: np.random.Generator) -> Footage:
    """One photo moved smoothly, with a part of another moving differently in front of it.

    Raises:
        ValueError: a photo cannot be decoded.
    """
    behind, front = (_square(photos[int(random.integers(len(photos)))], random=random) for _ in range(2))
    side = MOVED_SIDE
    shape = _blob(side, random=random)
    motion_behind = SLOWER * smooth_motion(side, side, random=random)
    motion_front = FASTER * smooth_motion(side, side, random=random)
    noise = random.uniform(0, 3)
    lumas, chromas = [], []
    for step in range(MOVED_FRAMES):
        covered = cv2.GaussianBlur(warp(shape, motion_front * step), (3, 3), 0)[..., None]
        moved = warp(behind, motion_behind * step) * (1 - covered) + warp(front, motion_front * step) * covered
        luma, chroma = split(np.clip(moved, 0, 255).astype(np.uint8))
        grain = random.normal(0, noise, luma.shape)
        lumas.append(np.clip(luma + grain, 0, 255).astype(np.uint8))
        chromas.append(chroma)
    return Footage(luma=np.stack(lumas), chroma=np.stack(chromas))


def _square(path: Path, *, random: np.random.Generator) -> NDArray[np.float32]:
    picture = cv2.imread(str(path))
    if picture is None:
        raise ValueError(f"{path} is no picture that can be read.")
    height, width = picture.shape[:2]
    side = min(MOVED_SIDE, height, width)
    top, left = random.integers(height - side + 1), random.integers(width - side + 1)
    cut = picture[top : top + side, left : left + side]
    return np.asarray(cv2.resize(cut, (MOVED_SIDE, MOVED_SIDE)), np.float32)


def _blob(side: int, *, random: np.random.Generator) -> NDArray[np.float32]:
    """[side, side] in 0..1: an ellipse with a ragged edge."""
    mask = np.zeros((side, side), np.float32)
    middle = tuple(int(value) for value in random.integers(60, side - 60, 2))
    axes = tuple(int(value) for value in random.integers(25, 80, 2))
    cv2.ellipse(mask, middle, axes, float(random.uniform(0, 180)), 0, 360, 1.0, -1)
    ragged = cv2.resize(random.normal(0, 0.25, (10, 10)).astype(np.float32), (side, side))
    return np.asarray(cv2.GaussianBlur(mask + ragged, (5, 5), 0) > 0.5, np.float32)
