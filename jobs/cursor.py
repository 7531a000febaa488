"""Opaque page cursors."""

import base64
import binascii

from jobs.errors import InvalidRequest


def encode_cursor(position: bytes) -> str:
    return base64.urlsafe_b64encode(position).decode().rstrip("=")


def decode_cursor(cursor: str) -> bytes:
    """Raises `InvalidRequest` where the text is none of ours."""
    try:
        position = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise _invalid() from error
    if b":" not in position:
        raise _invalid()
    return position


def _invalid() -> InvalidRequest:
    return InvalidRequest("`after` is no page cursor. Give the `next` of the page before, unchanged.")
