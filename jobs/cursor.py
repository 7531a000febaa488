"""Page cursors: where in an index a page ends. Every text of their form is a place, so that none can be wrong."""

import re

from jobs.errors import InvalidRequest

CURSOR_PATTERN = "^[0-9]{17}-[A-Za-z0-9_-]{1,64}$"


def encode_cursor(member: str) -> str:
    """`member` of an index, as `jobs.record_codec.index_member` makes them."""
    return member.replace(":", "-", 1)


def decode_cursor(cursor: str) -> bytes:
    """Raises `InvalidRequest` where the text is none of ours."""
    if re.fullmatch(CURSOR_PATTERN, cursor) is None:
        raise InvalidRequest("`after` is no page cursor. Give the `next` of the page before, unchanged.")
    return cursor.replace("-", ":", 1).encode()
