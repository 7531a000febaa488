"""Says in a finished Matroska file in what shape its picture is shown.

FFmpeg's muxer takes that from a field of the stream which PyAV 18 leaves empty and cannot set; MP4 and MOV take it from
the codec's parameters. So it is written afterwards, as `mkvpropedit` does: the tracks grow by some bytes, and the
padding before them, which the muxer keeps for its table of contents, shrinks by as many. Nothing behind them moves.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Self

# Names of elements, RFC 9559.
_EBML = bytes.fromhex("1a45dfa3")
_SEGMENT = bytes.fromhex("18538067")
_SEEK_HEAD = bytes.fromhex("114d9b74")
_SEEK = bytes.fromhex("4dbb")
_SEEK_POSITION = bytes.fromhex("53ac")
_INFO = bytes.fromhex("1549a966")
_TRACKS = bytes.fromhex("1654ae6b")
_TRACK_ENTRY = bytes.fromhex("ae")
_VIDEO = bytes.fromhex("e0")
_PIXEL_WIDTH = bytes.fromhex("b0")
_PIXEL_HEIGHT = bytes.fromhex("ba")
_DISPLAY_WIDTH = bytes.fromhex("54b0")
_DISPLAY_HEIGHT = bytes.fromhex("54ba")
_DISPLAY_UNIT = bytes.fromhex("54b2")
_VOID = bytes.fromhex("ec")
_CHECKSUM = bytes.fromhex("bf")

_UNIT_RATIO = 3
"""The display size is a ratio; pixels are 0, and the default."""
_HEAD = frozenset({_SEEK_HEAD, _VOID, _INFO, _TRACKS})
_LARGEST_HEAD = 2**20
"""The tables before the pictures take some hundred bytes, and codecs' headers a few thousand at most."""


class UnknownLayout(Exception):
    """The file does not begin as FFmpeg's muxer has it, or its padding is used up."""


def state_shape(path: Path, sample_aspect: Fraction) -> None:
    """Write the display size of the first picture track whose pixels are `sample_aspect` times as wide as high, in
    place of what it says of it: in pixels where these come out whole, else as a ratio.

    Raises:
        UnknownLayout: the file is not laid out as expected; it stays as it is.
    """
    with path.open("r+b") as file:
        start, head = _read_head(file)
        changed = b"".join(element.data for element in _fitted(head, _with_shape(head, sample_aspect)))
        if len(changed) != sum(len(element.data) for element in head):
            raise UnknownLayout("its table of contents is stored with padding of its own")
        file.seek(start)
        file.write(changed)


@dataclass(frozen=True, slots=True)
class _Element:
    name: bytes
    size: bytes
    """The length of `content`, as stored."""
    content: bytes

    @classmethod
    def of(cls, name: bytes, content: bytes) -> Self:
        return cls(name=name, size=_stored_size(len(content)), content=content)

    @property
    def data(self) -> bytes:
        return self.name + self.size + self.content

    @property
    def children(self) -> "list[_Element]":
        return list(_parsed(self.content))

    @property
    def number(self) -> int:
        return int.from_bytes(self.content)

    def holding(self, children: "Sequence[_Element]") -> Self:
        """The same with other children, and a checksum that is theirs where it had one."""
        content = b"".join(child.data for child in children if child.name != _CHECKSUM)
        if any(child.name == _CHECKSUM for child in children):
            content = _Element.of(_CHECKSUM, zlib.crc32(content).to_bytes(4, "little")).data + content
        return replace(self, size=_stored_size(len(content)), content=content)


def _read_head(file: BinaryIO) -> tuple[int, list[_Element]]:
    """Where the segment's content begins, and its elements up to the tracks."""
    data = file.read(_LARGEST_HEAD)
    name, at, length = _header(data, 0)
    if name != _EBML:
        raise UnknownLayout("this is no Matroska file")
    name, at, _ = _header(data, at + length)
    if name != _SEGMENT:
        raise UnknownLayout("no segment follows the header")
    head: list[_Element] = []
    for element in _parsed(data[at:]):
        if element.name not in _HEAD:
            break
        head.append(element)
        if element.name == _TRACKS:
            return at, head
    raise UnknownLayout("the tracks do not come first")


def _parsed(data: bytes) -> Iterator[_Element]:
    at = 0
    while at < len(data):
        name, start, length = _header(data, at)
        if start + length > len(data):
            raise UnknownLayout("an element is longer than what holds it")
        yield _Element(name=name, size=data[at + len(name) : start], content=data[start : start + length])
        at = start + length


def _header(data: bytes, at: int) -> tuple[bytes, int, int]:
    """An element's name, where its content starts, and how long it is."""
    # The zeros that a first byte begins with count the bytes that follow it (RFC 8794, section 4).
    middle = at + _width(data, at)
    start = middle + _width(data, middle)
    length = int.from_bytes(data[middle:start]) - (1 << 7 * (start - middle))
    return data[at:middle], start, length


def _width(data: bytes, at: int) -> int:
    if at >= len(data) or data[at] == 0:
        raise UnknownLayout("an element breaks off")
    return 9 - data[at].bit_length()


def _stored_size(length: int, *, width: int = 0) -> bytes:
    """In `width` bytes, or in as few as it takes; all ones mean that the length is unknown."""
    width = width or next(n for n in range(1, 9) if length < (1 << 7 * n) - 1)
    return ((1 << 7 * width) + length).to_bytes(width)


def _with_shape(head: Sequence[_Element], sample_aspect: Fraction) -> list[_Element]:
    *before, tracks = head
    entries = tracks.children
    for place, entry in enumerate(entries):
        if entry.name != _TRACK_ENTRY:
            continue
        facts = entry.children
        for index, video in enumerate(facts):
            if video.name == _VIDEO:
                facts[index] = video.holding(_shaped(video.children, sample_aspect))
                entries[place] = entry.holding(facts)
                return [*before, tracks.holding(entries)]
    raise UnknownLayout("no track is a picture's")


def _shaped(facts: Sequence[_Element], sample_aspect: Fraction) -> list[_Element]:
    stored = {fact.name: fact.number for fact in facts if fact.name in (_PIXEL_WIDTH, _PIXEL_HEIGHT)}
    if len(stored) != 2:
        raise UnknownLayout("the picture's track has no size")
    width, height = stored[_PIXEL_WIDTH] * sample_aspect, stored[_PIXEL_HEIGHT]
    shape = {_DISPLAY_WIDTH: int(width), _DISPLAY_HEIGHT: height}
    if width.denominator != 1:
        ratio = width / height
        shape = {_DISPLAY_WIDTH: ratio.numerator, _DISPLAY_HEIGHT: ratio.denominator, _DISPLAY_UNIT: _UNIT_RATIO}
    kept = [fact for fact in facts if fact.name not in (_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT)]
    return [*kept, *(_Element.of(name, _stored_number(number)) for name, number in shape.items())]


def _stored_number(number: int) -> bytes:
    return number.to_bytes(max(1, (number.bit_length() + 7) // 8))


def _fitted(head: Sequence[_Element], changed: Sequence[_Element]) -> list[_Element]:
    """`changed` in as many bytes as `head`: the padding gives what it takes, and the table of contents says where
    what stands behind the padding has gone."""
    grown = sum(len(element.data) for element in changed) - sum(len(element.data) for element in head)
    fitted = list(changed)
    padding = next((place for place, element in enumerate(fitted) if element.name == _VOID), None)
    left = -1 if padding is None else len(fitted[padding].data) - grown
    if padding is None or left < 2:
        raise UnknownLayout("there is no room for the display size")
    width = min(8, left - 1)
    length = left - 1 - width
    fitted[padding] = _Element(name=_VOID, size=_stored_size(length, width=width), content=bytes(length))
    moved = dict(zip(_starts(head), _starts(fitted), strict=True))
    return [_pointing(element, moved) if element.name == _SEEK_HEAD else element for element in fitted]


def _starts(elements: Sequence[_Element]) -> list[int]:
    """Where each begins, from the first one's beginning."""
    starts, at = [], 0
    for element in elements:
        starts.append(at)
        at += len(element.data)
    return starts


def _pointing(contents: _Element, moved: dict[int, int]) -> _Element:
    """The table of contents, as long as before, with the new places of what was moved."""
    return contents.holding(
        [
            entry.holding([_pointed(part, moved) for part in entry.children]) if entry.name == _SEEK else entry
            for entry in contents.children
        ]
    )


def _pointed(part: _Element, moved: dict[int, int]) -> _Element:
    if part.name != _SEEK_POSITION or part.number not in moved:
        return part
    return replace(part, content=moved[part.number].to_bytes(len(part.content)))
