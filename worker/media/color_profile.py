"""Pictures whose numbers mean other colors than those of sRGB, as their files say by a color profile (ICC.1)."""

import warnings
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from worker.media.frames import Rgb

# Else the formats are imported with the first picture, by when a confined process cannot read them any more.
Image.init()

_SRGB: Any = ImageCms.createProfile("sRGB")
_NEXT_TO_NOTHING = 3
"""Codes of 255 that profiles of sRGB itself differ by, as many programs write them."""


def as_srgb(rgb: Rgb, *, file: bytes) -> Rgb:
    """`rgb` [H, W, 3], as `file` holds it, in sRGB; itself where there is no profile of R'G'B', or one of sRGB."""
    transform = _transform_of(file)
    if transform is None:
        return rgb
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    probe = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    if np.abs(_applied(transform, probe).astype(int) - probe).max() <= _NEXT_TO_NOTHING:
        return rgb
    return _applied(transform, rgb)


def _transform_of(file: bytes) -> Any:
    """From the file's profile to sRGB; None where it has none that can be used."""
    try:
        with warnings.catch_warnings():
            # Of large pictures, which are refused by their number of pixels elsewhere; only the header is read.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(BytesIO(file)) as picture:
                found = picture.info.get("icc_profile")
        if not found:
            return None
        profile = ImageCms.ImageCmsProfile(BytesIO(found))
        if profile.profile.xcolor_space.strip() != "RGB":
            return None
        return ImageCms.buildTransform(profile, _SRGB, "RGB", "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC)
    except (OSError, SyntaxError, ValueError, ImageCms.PyCMSError):
        # What Pillow cannot read has been read by OpenCV: its colors are taken as they are.
        return None


def _applied(transform: Any, rgb: Rgb) -> Rgb:
    changed = ImageCms.applyTransform(Image.fromarray(np.ascontiguousarray(rgb)), transform)
    return np.asarray(changed, np.uint8)
