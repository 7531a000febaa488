"""Brings a reference of any size and shape to the video's."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from jobs.errors import ReferenceNotColor
from worker.media.frames import Rgb, VideoInfo

SAME_SHAPE = 0.03
"""Difference of aspect, relative, that is stretched away: rounding, and 1.78 for 16:9."""
_ANAMORPHIC = 1.5
"""Aspects farther apart than this are no longer taken for the same picture stretched by its pixels' shape, where the
video does not tell that shape."""
_BAR_LUMA = 24
"""Of 255: letterbox bars are darker in every pixel; video black of a careless conversion is 16."""
_SMALLEST_PICTURE = 0.4
"""Share of a side that is left between bars at least; less is a dark picture, not a letterbox."""
LEAST_CHROMA = 4.0
"""Of 255: how far a color reference's most colored half percent is from gray at least. JPEG leaves 1 or 2 on gray."""
_MEASURED_SIDE = 256
_LEAST_SHOWN = 0.4
"""Share of a frame's side that a picture of its middle shows at least."""


@dataclass(frozen=True, slots=True)
class Fitting:
    """One way to bring a reference to the video's shape."""

    picture: Rgb
    note: str | None
    """What was done, for the user; None where nothing had to be."""
    guessed: bool = False
    """Whether it shows the middle of a frame alone, and colors beyond that are only carried on from its edges."""


def require_color(picture: Rgb, *, name: str) -> None:
    """Raise where a reference is gray.

    Raises:
        ReferenceNotColor: its chroma nowhere differs from gray by more than noise.
    """
    found = chroma_reach(picture)
    if found < LEAST_CHROMA:
        raise ReferenceNotColor(
            f"The reference {name} is gray: its strongest color is {found:.1f} of 255 codes away from gray, where at "
            f"least {LEAST_CHROMA:.0f} are expected. Color the frame first, then use it."
        )


def chroma_reach(picture: Rgb) -> float:
    """How far from gray, in codes of 255, the half percent of `picture` with the most color is at least."""
    scale = min(1.0, _MEASURED_SIDE / max(picture.shape[:2]))
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    chroma = cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb)[..., 1:].astype(np.float32) - 128
    return float(np.percentile(np.abs(chroma).max(axis=-1), 99.5))


def fittings(picture: Rgb, *, info: VideoInfo) -> Iterator[Fitting]:
    """Yield every way to bring `picture` to the shape of a video, the likeliest first.

    The pictures are of the video's shape, as it is stored or as it is shown, not of its size: either is stretched to
    the frame. Which one is right, the video's luma decides.
    """
    width, height = info.width, info.height
    found = f"{picture.shape[1]}x{picture.shape[0]}"
    wanted = f"{width}x{height}"
    stored = width / height
    # The pixels of pictures are square, those of an anamorphic film only once it is shown.
    shown = stored * float(info.sample_aspect)
    if picture.shape[:2] == (height, width):
        yield Fitting(picture, None)
        return
    if alike(picture, stored):
        yield Fitting(picture, f"fitted from {found} to {wanted}")
        return
    stretched = Fitting(picture, f"fitted from {found} to {wanted}, stretched to the video's shape")
    as_shown = alike(picture, shown)
    if as_shown:
        yield stretched
    inner = without_bars(picture)
    own_aspect = picture.shape[1] / picture.shape[0]
    # What is said of the pixels' shape may be wrong, so that the stored shape is tried too.
    for aspect in (stored,) if as_shown else dict.fromkeys((shown, stored)):
        if inner.shape != picture.shape:
            yield Fitting(
                center_crop(inner, aspect=aspect), f"fitted from {found} to {wanted}, the black bars around it cut away"
            )
        yield Fitting(center_crop(picture, aspect=aspect), f"fitted from {found} to {wanted}, its middle cut out")
        if _LEAST_SHOWN < own_aspect / aspect < 1 / _LEAST_SHOWN:
            yield Fitting(
                surrounded(picture, aspect=aspect, border=cv2.BORDER_CONSTANT),
                f"fitted from {found} to {wanted} as the picture between the frame's black bars",
            )
            yield Fitting(
                surrounded(picture, aspect=aspect, border=cv2.BORDER_REPLICATE),
                f"fitted from {found} to {wanted} as the middle of a frame, its edges continued",
                guessed=True,
            )
    if not as_shown and 1 / _ANAMORPHIC < own_aspect / stored < _ANAMORPHIC:
        yield stretched
    if any(alike(np.rot90(picture), aspect) for aspect in (stored, shown)):
        # Films of a phone are stored on their side; what a player shows, and a user colors, stands upright.
        for turns, way in ((1, "left"), (3, "right")):
            turned = np.ascontiguousarray(np.rot90(picture, turns))
            yield Fitting(turned, f"fitted from {found} to {wanted}, turned {way}")


def without_bars(picture: Rgb) -> Rgb:
    """`picture` without the dark bars around it, itself where it has none."""
    light = picture.max(axis=-1) > _BAR_LUMA
    # A few specks of dust in a bar do not make it picture.
    rows = np.flatnonzero(light.mean(axis=1) > 0.02)
    columns = np.flatnonzero(light.mean(axis=0) > 0.02)
    if rows.size == 0 or columns.size == 0:
        return picture
    inner = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if min(inner.shape[0] / picture.shape[0], inner.shape[1] / picture.shape[1]) < _SMALLEST_PICTURE:
        return picture
    return inner


def center_crop(picture: Rgb, *, aspect: float) -> Rgb:
    """The largest middle part of `picture` whose width over height is `aspect`, to the pixel."""
    height, width = picture.shape[:2]
    new_width = min(width, max(1, round(height * aspect)))
    new_height = min(height, max(1, round(width / aspect)))
    top, left = (height - new_height) // 2, (width - new_width) // 2
    return picture[top : top + new_height, left : left + new_width]


def surrounded(picture: Rgb, *, aspect: float, border: int) -> Rgb:
    """`picture` in the middle of the smallest one around it whose width over height is `aspect`, to the pixel; what is
    around it is black or as its edges are, by OpenCV's kind of `border`."""
    height, width = picture.shape[:2]
    across = max(0, round(height * aspect) - width)
    down = max(0, round(width / aspect) - height)
    edges = (down // 2, down - down // 2, across // 2, across - across // 2)
    return np.asarray(cv2.copyMakeBorder(picture, *edges, border), np.uint8)


def alike(picture: Rgb, aspect: float) -> bool:
    """Whether width over height of `picture` is `aspect`, but for rounding."""
    height, width = picture.shape[:2]
    # A pixel more or less is rounding, however small the picture.
    tolerance = max(SAME_SHAPE, 1.0 / min(height, width))
    return bool(abs(width / height / aspect - 1) <= tolerance)
