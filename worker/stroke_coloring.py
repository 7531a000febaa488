"""Colors one picture by strokes that somebody has painted on it."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from jobs.errors import PictureUndecodable, ReferenceUndecodable, StrokesUnusable
from jobs.options import ColoringOptions
from models.base import Matrix
from models.color import rgb_to_ycbcr, ycbcr_to_rgb
from models.strokes import Strokes, color_by_strokes
from worker.failures import failures_for_users
from worker.fitting import alike
from worker.media.frames import Rgb
from worker.media.stills import read_image, write_png
from worker.observer import Observer
from worker.task import VariantFile

_MATRIX: Matrix = "bt601"
"""Of JPEG, and of pictures that say nothing else."""
_OPAQUE = 128
"""Alpha of 8 bits from which a pixel of the strokes counts as painted; a brush's soft rim does not."""


@dataclass(frozen=True, slots=True)
class StrokesTask:
    """One picture to color, as files."""

    picture: Path
    strokes: Path
    """A PNG with transparency, in the shape of the picture: where it is opaque, its color is wanted."""
    options: ColoringOptions
    folder: Path


def color_picture(task: StrokesTask, *, observer: Observer) -> VariantFile:
    """Write the picture in color: its own luma, and chroma from the strokes.

    Raises:
        PictureUndecodable: the picture cannot be read.
        StrokesUnusable: the strokes cannot, have another shape, or none is painted.
        StorageFull: no space is left.
    """
    with failures_for_users():
        observer.check()
        observer.entered("colorizing")
        gray = _planes(_read_picture(task.picture))
        height, width = gray.shape[1:]
        strokes = _read_strokes(task.strokes, size=(height, width))
        observer.check()
        luma = rgb_to_ycbcr(gray, matrix=_MATRIX)[0]
        chroma = color_by_strokes(luma, strokes)
        rgb = ycbcr_to_rgb(torch.cat((luma[None], within_gamut(luma, chroma))), matrix=_MATRIX).clamp(0, 1)
        path = task.folder / "picture.png"
        write_png(path, (rgb * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())
    return VariantFile("picture", path, "image/png")


def within_gamut(luma: Tensor, chroma: Tensor) -> Tensor:
    """Chroma [2, H, W] made paler where R, G or B would leave 0..1 at its luma [H, W]: a color that is cut off there
    changes its hue, and the picture's luma with it."""
    colors = ycbcr_to_rgb(torch.cat((torch.zeros_like(luma)[None], chroma)), matrix=_MATRIX)
    room = torch.where(colors > 0, 1 - luma, luma)
    share = (room / colors.abs().clamp(min=1e-6)).amin(0)
    return chroma * share.clamp(0, 1)


def _read_picture(path: Path) -> Rgb:
    try:
        return read_image(path)
    except ReferenceUndecodable as error:
        raise PictureUndecodable(
            "The picture to color cannot be read, or it is too large; send a whole PNG, JPEG, WebP or TIFF file."
        ) from error


def _read_strokes(path: Path, *, size: tuple[int, int]) -> Strokes:
    try:
        read = read_image(path, transparent=True)
    except ReferenceUndecodable as error:
        raise StrokesUnusable(
            "The strokes cannot be read; send a PNG of 8 bits with transparency, painted where a color is wanted."
        ) from error
    height, width = size
    if not alike(read, width / height):
        raise StrokesUnusable(
            f"The strokes are {read.shape[1]}x{read.shape[0]}, the picture is {width}x{height}: another shape, "
            "which would put them in other places. Paint them on the picture itself, at any size of its shape."
        )
    if read.shape[:2] != size:
        # Nearest: between two strokes there is nothing painted, and no third color.
        read = np.asarray(cv2.resize(read, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
    painted = torch.from_numpy(read[..., 3] >= _OPAQUE)
    if not bool(painted.any()):
        raise StrokesUnusable("Nothing is painted in the strokes; paint at least one, and send them again.")
    chroma = rgb_to_ycbcr(_planes(read[..., :3]), matrix=_MATRIX)[1:]
    return Strokes(chroma=chroma, painted=painted)


def _planes(rgb: Rgb) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1).to(torch.float32) / 255
