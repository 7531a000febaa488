"""Conditional and range requests (RFC 9110, sections 13 and 14), as pure functions of header values."""

import re
from dataclasses import dataclass

SINGLE_RANGE = re.compile(r"bytes\s*=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ByteRange:
    first: int
    last: int
    """Inclusive, as in the header."""

    @property
    def length(self) -> int:
        return self.last - self.first + 1


class OutsideFile(Exception):
    """No byte of the range is in the file."""


def matches(if_none_match: str | None, *, etag: str) -> bool:
    """Whether the client has this already: `*` or a list of tags, compared weakly as RFC 9110 13.1.2 says."""
    if if_none_match is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or etag.removeprefix("W/") in tags


def requested_range(header: str | None, *, size: int, if_range: str | None, etag: str) -> ByteRange | None:
    """The part of a file of `size` bytes that is asked for; None is the whole file.

    A server may ignore a range: that is done with several ranges in one request, with a unit that is not bytes and with
    what cannot be read (RFC 9110 14.2). `If-Range` needs the strong tag itself; another value means the file changed.

    Raises:
        OutsideFile: the range begins behind the end.
    """
    if header is None or (if_range is not None and if_range.strip() != etag):
        return None
    match = SINGLE_RANGE.fullmatch(header.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first == "":  # the last so many bytes
        if int(last) == 0 or size == 0:
            raise OutsideFile
        return ByteRange(first=max(size - int(last), 0), last=size - 1)
    if last != "" and int(last) < int(first):
        return None
    if int(first) >= size:
        raise OutsideFile
    return ByteRange(first=int(first), last=min(int(last), size - 1) if last else size - 1)
