"""The headers of tus 1.0, the protocol of resumable uploads, as pure functions of their values."""

import base64
import binascii
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Annotated, get_args

from fastapi import Header
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs.checksum import Checksum, ChecksumAlgorithm
from jobs.errors import ChecksumUnsupported, FieldError, InvalidRequest, TusVersionUnsupported
from jobs.resumable import ResumableUpload
from service.file_name import shown_name

PATH = "/v1/uploads"
VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,termination,expiration,checksum"
ALGORITHMS: tuple[ChecksumAlgorithm, ...] = get_args(ChecksumAlgorithm)
OFFSET_STREAM = "application/offset+octet-stream"


@dataclass(frozen=True, slots=True)
class Metadata:
    """What `Upload-Metadata` says of a file, as far as it is used here."""

    filename: str | None = None
    """A name to show, never a path."""


class TusLayer:
    """ASGI middleware: every answer at `/v1/uploads` names the version, errors of any kind included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not (scope["path"] == PATH or scope["path"].startswith(f"{PATH}/")):
            await self._app(scope, receive, send)
            return

        async def send_with_version(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Tus-Resumable"] = VERSION
                if message["status"] == TusVersionUnsupported.status:
                    MutableHeaders(scope=message)["Tus-Version"] = VERSION
            await send(message)

        # For clients behind a proxy that lets no PATCH or DELETE through.
        override = Headers(scope=scope).get("X-HTTP-Method-Override")
        if override is not None and scope["method"] == "POST":
            scope = {**scope, "method": override.upper()}
        await self._app(scope, receive, send_with_version)


def require_version(
    tus_resumable: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> None:
    """Dependency of every call that the protocol defines, but for OPTIONS, which is how a client asks for the version.

    Raises:
        TusVersionUnsupported
    """
    if tus_resumable != VERSION:
        given = "lacks the header `Tus-Resumable`" if tus_resumable is None else f"speaks tus {tus_resumable[:64]!r}"
        raise TusVersionUnsupported(
            f"The call {given}; this server speaks version {VERSION}. Send the header `Tus-Resumable: {VERSION}`, or "
            "use a tus client, which does."
        )


def upload_headers(upload: ResumableUpload) -> dict[str, str]:
    """How an upload stands."""
    return {
        "Upload-Offset": str(upload.offset),
        "Upload-Expires": format_datetime(upload.expires_at, usegmt=True),
        "Cache-Control": "no-store",
    }


def parse_metadata(header: str) -> Metadata:
    """Read pairs of a key and its value in base64, separated by commas; a value may be absent.

    Raises:
        InvalidRequest
    """
    values: dict[str, str] = {}
    for pair in header.split(",") if header.strip() else ():
        key, _, value = pair.strip().partition(" ")
        if key == "" or not key.isascii():
            raise _invalid("Upload-Metadata", "A pair of `Upload-Metadata` has no key of ASCII characters.")
        if key in values:
            raise _invalid("Upload-Metadata", f"`Upload-Metadata` has the key {key!r} twice.")
        try:
            values[key] = base64.b64decode(value.strip(), validate=True).decode(errors="replace")
        except (binascii.Error, ValueError):
            raise _invalid(
                "Upload-Metadata", f"The value of {key!r} in `Upload-Metadata` is not base64, as tus wants it."
            ) from None
    return Metadata(filename=shown_name(values.get("filename", "")))


def parse_checksum(header: str | None) -> Checksum | None:
    """Read the name of an algorithm and a checksum in base64.

    Raises:
        ChecksumUnsupported: this server does not have the algorithm.
        InvalidRequest: the checksum is none.
    """
    if not header:
        return None
    name, _, value = header.strip().partition(" ")
    for algorithm in ALGORITHMS:
        if algorithm == name:
            break
    else:
        raise ChecksumUnsupported(
            f"`Upload-Checksum` names the algorithm {name[:64]!r}, which this server does not have; send one of "
            f"{', '.join(ALGORITHMS)}."
        )
    try:
        return Checksum(algorithm, base64.b64decode(value.strip(), validate=True))
    except (binascii.Error, ValueError):
        raise _invalid(
            "Upload-Checksum", f"The checksum in `Upload-Checksum` is not base64; expected: {name} BASE64."
        ) from None


def _invalid(header: str, detail: str) -> InvalidRequest:
    return InvalidRequest(detail, errors=[FieldError(f"#/header/{header.lower()}", detail)])
