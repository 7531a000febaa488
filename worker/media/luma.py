"""Takes the luma plane out of a decoded frame, exactly as the video stores it."""

from typing import Any

import numpy as np
from av import VideoFormat
from numpy.typing import NDArray

from jobs.errors import VideoUnsupported
from models.base import Matrix
from models.color import luma_weights
from worker.media.frames import Codes

_PACKED_LUMA = {"yuyv422": 0, "yvyu422": 0, "uyvy422": 1}
"""Packed 4:2:2 at 8 bits: which of each two bytes is luma."""
_HIGH_BITS = {"p010le": "yuv420p10le", "p210le": "yuv422p10le", "p410le": "yuv444p10le"}
"""Formats that keep 10 bits in the upper bits of 16: the planar twin, to which swscale shifts without loss."""


def is_rgb(format: VideoFormat) -> bool:
    """Whether the frames hold R, G, B or a palette instead of luma."""
    return bool(format.is_rgb or format.has_palette)


def is_gray(format: VideoFormat) -> bool:
    return str(format.name).startswith(("gray", "ya8", "ya16", "mono"))


def coded_bits(format: VideoFormat) -> int:
    """Bits per luma sample in the video, before anything is converted.

    Raises:
        VideoUnsupported: floating-point, Bayer or other samples that are no luma codes.
    """
    if format.is_bayer or "f16" in format.name or "f32" in format.name or format.name.startswith("xyz"):
        raise VideoUnsupported(
            f"The video's pixel format {format.name} is not supported; convert it to 8 or 10-bit Y'CbCr."
        )
    if format.has_palette or format.name.startswith("mono"):
        return 8
    return int(max(c.bits for c in format.components))


def bit_depth(format: VideoFormat) -> int:
    """8 or 10: the depth at which luma is handed out."""
    return 8 if coded_bits(format) <= 8 else 10


def conversion_note(format: VideoFormat) -> str | None:
    """What `luma_codes` changes, as a sentence for the user; None where luma is handed out as stored."""
    bits = coded_bits(format)
    if is_rgb(format):
        return (
            f"The video stores R'G'B' ({format.name}); its luma was computed at {bit_depth(format)} bits, full range."
        )
    if bits > 10:
        return f"The video has {bits} bits per sample; its luma was rounded to 10 bits."
    if bits == 9:
        return "The video has 9 bits per sample; its luma is stored at 10 bits without loss."
    return None


def luma_codes(frame: Any, *, matrix: Matrix) -> Codes:
    """The luma plane of a decoded frame.

    For Y'CbCr and gray of 8 or 10 bits the stored codes, bit for bit. 9 bits are scaled by 2; more than 10 bits are
    rounded to 10. R'G'B' gives full-range luma by `matrix`, so that equal R, G and B keep their code.

    Returns:
        [H, W] uint8 for 8 bits, uint16 in 0..1023 for 10 bits, independent of the frame.
    """
    format = frame.format
    if is_rgb(format):
        return _from_rgb(frame, matrix=matrix)
    name = format.name
    if name in _PACKED_LUMA:
        row = _plane(frame, columns=2 * frame.width, dtype=np.dtype(np.uint8))
        return np.ascontiguousarray(row[:, _PACKED_LUMA[name] :: 2])
    if name in _HIGH_BITS:
        return luma_codes(frame.reformat(format=_HIGH_BITS[name]), matrix=matrix)
    if name.startswith("mono"):
        return luma_codes(frame.reformat(format="gray"), matrix=matrix)
    bits = coded_bits(format)
    if name in ("ya8", "ya16le", "ya16be"):
        dtype = np.dtype(np.uint8 if bits == 8 else (">u2" if format.is_big_endian else "<u2"))
        return _to_depth(_plane(frame, columns=2 * frame.width, dtype=dtype)[:, ::2], bits=bits)
    if not _has_luma_plane(frame):
        return luma_codes(frame.reformat(format="yuv444p" if bits <= 8 else "yuv444p10le"), matrix=matrix)
    dtype = np.dtype(np.uint8 if bits <= 8 else (">u2" if format.is_big_endian else "<u2"))
    return _to_depth(_plane(frame, columns=frame.width, dtype=dtype), bits=bits)


def _has_luma_plane(frame: Any) -> bool:
    """Whether plane 0 is luma and nothing else."""
    return [c.plane for c in frame.format.components if not c.is_alpha].count(0) == 1


def _plane(frame: Any, *, columns: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A view of plane 0 without the padding at the end of its lines; valid while the frame is."""
    plane = frame.planes[0]
    rows = np.frombuffer(plane, dtype=np.uint8).reshape(-1, plane.line_size)[: frame.height]
    return rows[:, : columns * dtype.itemsize].view(dtype)


def _to_depth(codes: NDArray[Any], *, bits: int) -> Codes:
    if bits <= 8:
        return np.array(codes, dtype=np.uint8)
    if bits <= 10:
        return np.array(codes, dtype=np.uint16) * np.uint16(2 ** (10 - bits))
    shift = bits - 10
    rounded = (codes.astype(np.uint32) + (1 << (shift - 1))) >> shift
    return np.asarray(np.minimum(rounded, 1023), dtype=np.uint16)


def _from_rgb(frame: Any, *, matrix: Matrix) -> Codes:
    deep = bit_depth(frame.format) == 10
    weights = luma_weights(matrix)
    rgb = frame.to_ndarray(format="rgb48le" if deep else "rgb24")
    luma = rgb @ np.asarray((weights.red, weights.green, weights.blue), dtype=np.float32)
    if deep:
        return np.asarray(np.rint(luma * (1023 / 65535)), dtype=np.uint16)
    return np.asarray(np.rint(luma), dtype=np.uint8)
