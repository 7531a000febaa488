"""Reads what a picture file says of itself, without decoding a pixel."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageHeader:
    kind: str
    width: int
    height: int
    frames: int
    """More than one: an animation or several pages."""
    complete: bool
    """Whether the file has its end."""


def read_header(data: bytes) -> ImageHeader | None:
    """The header of a PNG, JPEG, WebP, TIFF, GIF or BMP file; None for anything else, or a damaged header."""
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return _png(data)
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp(data)
        if data.startswith((b"GIF87a", b"GIF89a")):
            return _gif(data)
        if data.startswith((b"II*\x00", b"MM\x00*")):
            return _tiff(data)
        if data.startswith(b"BM"):
            width, height = struct.unpack_from("<ii", data, 18)
            return ImageHeader("BMP", width, abs(height), 1, complete=True)
    except (struct.error, IndexError):
        return None
    return None


def _png(data: bytes) -> ImageHeader:
    width, height = struct.unpack_from(">II", data, 16)
    frames, ended, at = 1, False, 8
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        if name == b"acTL":
            frames = struct.unpack_from(">I", data, at + 8)[0]
        ended |= name == b"IEND"
        at += 12 + length
    return ImageHeader("PNG", width, height, frames, complete=ended)


def _jpeg(data: bytes) -> ImageHeader:
    width = height = 0
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0xDA:
            break
        # SOF0 to SOF15 without the Huffman tables (C4), JPEG extensions (C8) and arithmetic tables (CC).
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return ImageHeader("JPEG", width, height, 1, complete=data.find(b"\xff\xd9", at) >= 0)


def _webp(data: bytes) -> ImageHeader:
    complete = struct.unpack_from("<I", data, 4)[0] + 8 <= len(data)
    kind = data[12:16]
    if kind == b"VP8X":
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
        return ImageHeader("WebP", width, height, max(1, _count_anmf(data)), complete=complete)
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return ImageHeader("WebP", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), 1, complete=complete)
    width, height = struct.unpack_from("<HH", data, 26)
    return ImageHeader("WebP", width & 0x3FFF, height & 0x3FFF, 1, complete=complete)


def _count_anmf(data: bytes) -> int:
    count, at = 0, 12
    while at + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        count += name == b"ANMF"
        at += 8 + length + (length & 1)
    return count


def _gif(data: bytes) -> ImageHeader:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    frames, ended = 0, False
    while at < len(data):
        block = data[at]
        if block == 0x3B:
            ended = True
            break
        if block == 0x21:
            at += 2
        elif block == 0x2C:
            frames += 1
            local = data[at + 9]
            at += 11 + (3 << ((local & 7) + 1) if local & 0x80 else 0)
        else:
            break
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    return ImageHeader("GIF", width, height, max(1, frames), complete=ended)


def _tiff(data: bytes) -> ImageHeader:
    order = "<" if data.startswith(b"II") else ">"
    width = height = 0
    pages = 0
    at = struct.unpack_from(order + "I", data, 4)[0]
    for tag, value, next_page in _tiff_entries(data, at, order):
        if next_page:
            pages += 1
        elif pages == 0 and tag == 256:
            width = value
        elif pages == 0 and tag == 257:
            height = value
    return ImageHeader("TIFF", width, height, max(1, pages), complete=True)


def _tiff_entries(data: bytes, at: int, order: str) -> Iterator[tuple[int, int, bool]]:
    """(tag, value, False) for each entry of each page, and (0, 0, True) after each page."""
    seen: set[int] = set()
    while at and at not in seen:
        seen.add(at)
        count = struct.unpack_from(order + "H", data, at)[0]
        for entry in range(count):
            place = at + 2 + 12 * entry
            tag, kind = struct.unpack_from(order + "HH", data, place)
            value = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, place + 8)[0]
            yield tag, value, False
        at = struct.unpack_from(order + "I", data, at + 2 + 12 * count)[0]
        yield 0, 0, True
