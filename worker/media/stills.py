"""Single pictures: frames of the film as R'G'B', and the references that users send."""

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from jobs.errors import ReferenceUndecodable, StorageFull
from models.color import dequantize_chroma, dequantize_luma, ycbcr_to_rgb
from worker.media.color_profile import as_srgb
from worker.media.decoder import current_decoder
from worker.media.frames import Codes, Rgb, VideoInfo
from worker.media.image_header import read_header
from worker.media.storage import DISK_FULL, is_disk_full

DeepRgb = NDArray[np.uint16]
"""As `Rgb`, with all 16 bits used."""

STILL_WIDTH = 480
"""Of the small pictures of a film, at most."""

MAX_REFERENCE_PIXELS = 100_000_000
"""A 100-megapixel scan: 600 MB while it is read, 900 MB where it has 16 bits, 300 MB then. Larger than any film frame,
small enough for a worker."""


def to_rgb(luma: Codes, chroma: Codes | None = None, *, info: VideoInfo) -> Rgb:
    """A frame as a picture, by the range and matrix of its video.

    Args:
        luma: [H, W] codes.
        chroma: [2, h, w] codes of Cb and Cr at any size, brought to the luma's size bilinearly; None is gray.
        info: Facts of the video that the codes are of.
    """
    return np.ascontiguousarray(_samples(luma, chroma, info=info, most=255).astype(np.uint8))


def to_deep_rgb(luma: Codes, chroma: Codes, *, info: VideoInfo) -> DeepRgb:
    """As `to_rgb`, for films of more than 8 bits."""
    return np.ascontiguousarray(_samples(luma, chroma, info=info, most=65_535).astype(np.uint16))


def _samples(luma: Codes, chroma: Codes | None, *, info: VideoInfo, most: int) -> NDArray[np.int32]:
    """[H, W, 3] from 0 to `most`."""
    height, width = luma.shape
    # torch computes with 16 bits signed only; 1023 fits.
    y = dequantize_luma(torch.from_numpy(luma.astype(np.int16)), bit_depth=info.bit_depth, full_range=info.full_range)
    if chroma is None:
        cbcr = torch.zeros(2, height, width)
    else:
        planes = [
            cv2.resize(plane.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) for plane in chroma
        ]
        cbcr = dequantize_chroma(
            torch.from_numpy(np.stack(planes)), bit_depth=info.bit_depth, full_range=info.full_range
        )
    rgb = ycbcr_to_rgb(torch.cat((y[None], cbcr)), matrix=info.matrix)
    samples: NDArray[np.int32] = (rgb.clamp(0, 1) * most).round().to(torch.int32).permute(1, 2, 0).numpy()
    return samples


def as_shown(rgb: Rgb, *, info: VideoInfo, quarter_turns: int | None = None, most_width: int | None = None) -> Rgb:
    """A frame with square pixels and upright, as players show it; or turned by other `quarter_turns` counterclockwise
    than those that bring it upright.

    It is shrunk to that shape, never enlarged, so that no film makes it larger than its stored frames; and until it is
    at most `most_width` wide.
    """
    turns = info.quarter_turns if quarter_turns is None else quarter_turns
    height, width = rgb.shape[:2]
    wide, high = width * min(1, info.sample_aspect), height * min(1, 1 / info.sample_aspect)
    across = high if turns % 2 else wide
    scale = 1 if most_width is None else min(1, most_width / across)
    size = (max(1, round(wide * scale)), max(1, round(high * scale)))
    if size != (width, height):
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.ascontiguousarray(np.rot90(rgb, turns))


def png_of(rgb: Rgb | DeepRgb) -> bytes:
    """A picture as the content of a file."""
    return bytes(cv2.imencode(".png", np.ascontiguousarray(rgb[..., ::-1]))[1])


def still_of(rgb: Rgb, *, info: VideoInfo, quarter_turns: int | None = None) -> bytes:
    """A frame to look at while more is made, as `as_shown` and at most `STILL_WIDTH` wide: a JPEG of some 20 KB."""
    shown = as_shown(rgb, info=info, quarter_turns=quarter_turns, most_width=STILL_WIDTH)
    return bytes(cv2.imencode(".jpg", np.ascontiguousarray(shown[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 85])[1])


def write_png(path: Path, rgb: Rgb) -> None:
    """Write a picture.

    Raises:
        StorageFull: no space is left; no file remains.
    """
    try:
        path.write_bytes(png_of(rgb))
    except OSError as error:
        path.unlink(missing_ok=True)
        if is_disk_full(error):
            raise StorageFull(DISK_FULL) from error
        raise


def read_image(path: Path, *, max_pixels: int = MAX_REFERENCE_PIXELS, transparent: bool = False) -> Rgb:
    """Read a reference: PNG, JPEG, WebP, TIFF, BMP or GIF of one frame.

    The EXIF orientation is applied, transparency is dropped (`transparent`: it is the fourth channel, and what has none
    is none that can be read), 16 bits are rounded to 8, gray becomes equal R', G', B', and a color profile is converted
    to sRGB.

    Raises:
        ReferenceUndecodable: no picture, cut off or damaged, an animation, or of more than `max_pixels`.
    """
    if (decoder := current_decoder()) is not None:
        return decoder.read_image(path, max_pixels=max_pixels, transparent=transparent)
    data = path.read_bytes()
    name = path.name
    header = read_header(data)
    if header is None:
        raise ReferenceUndecodable(
            f"The reference {name} is not a picture that can be read; use a PNG, JPEG, WebP or TIFF file."
        )
    if header.frames > 1:
        raise ReferenceUndecodable(
            f"The reference {name} holds {header.frames} pictures (an animation or several pages); "
            "use the one colored frame as a PNG or JPEG file."
        )
    if header.width * header.height > max_pixels:
        raise ReferenceUndecodable(
            f"The reference {name} is {header.width}x{header.height}, more than {max_pixels:,} pixels; "
            "scale it down to the size of the video."
        )
    damaged = ReferenceUndecodable(
        f"The reference {name} is a {header.kind} file that is cut off or damaged; export it again and use that."
    )
    if not header.complete or header.width < 1 or header.height < 1:
        raise damaged
    try:
        wanted = cv2.IMREAD_UNCHANGED if transparent else cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
        bgr = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), wanted)
    except cv2.error as error:
        raise damaged from error
    if bgr is None:
        raise damaged
    if bgr.dtype == np.uint16:
        bgr = cv2.convertScaleAbs(bgr, alpha=255 / 65535)
    if bgr.dtype != np.uint8:
        raise ReferenceUndecodable(
            f"The reference {name} holds {bgr.dtype} samples; save it with 8 or 16 bits per channel."
        )
    if not transparent:
        return as_srgb(np.ascontiguousarray(bgr[..., ::-1]), file=data)
    if bgr.ndim != 3 or bgr.shape[2] != 4:
        raise ReferenceUndecodable(f"The picture {name} has no transparency; save it as a PNG that has.")
    return np.dstack([as_srgb(np.ascontiguousarray(bgr[..., 2::-1]), file=data), bgr[..., 3]])
