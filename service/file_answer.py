"""The answer with a finished file: whole or in ranges, the same for jobs and for keyframes."""

from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread
from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from jobs.errors import (
    FieldError,
    InvalidRequest,
    JobExpired,
    JobNotFinished,
    JobNotFound,
    RangeNotSatisfiable,
    StoreUnavailable,
    Unauthorized,
    VariantNotFound,
)
from jobs.record import TERMINAL_STATUSES, Record, Variant
from jobs.store import Presentation, RemoteFile
from service.conditions import ByteRange, OutsideFile, matches, requested_range
from service.dependencies import Services
from service.download_name import disposition, download_name
from service.page import CONTENT_SECURITY_POLICY
from service.problems import describe_problems, problem_response, request_id_of

CHUNK_BYTES = 256 * 1024
CACHE_CONTROL = "private, no-cache"
REPORT_SECURITY_POLICY = f"{CONTENT_SECURITY_POLICY}; img-src data:; sandbox"
"""A report shows names that users chose; whatever it holds, it runs nothing."""

BYTES: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
HANDED_ON = ("text/html", "application/json", "image/png")
"""Reports and single pictures are small, and go through here also where object storage has them: that knows nothing of
the policy above, and scripts of the web page may not read what comes from another address."""

BINARY: dict[str, Any] = {
    "description": "The file.",
    # Generators of clients know the second as bytes, and most know neither the first nor the types of videos.
    "content": {"*/*": BYTES, "application/octet-stream": BYTES},
    "headers": {
        "ETag": {"schema": {"type": "string"}, "description": "The file's SHA-256."},
        "Content-Disposition": {"schema": {"type": "string"}, "description": "A file name to save it under."},
    },
}
REDIRECT: dict[str, Any] = {
    "description": "The file, unless it is a report or a picture, is in object storage, at `Location` for a while. "
    "Follow it with the same method and `Range`, and without the key.",
    "headers": {"Location": {"schema": {"type": "string"}, "description": "Where the file is."}},
}
FILE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: BINARY,
    206: {**BINARY, "description": "The part that `Range` asks for."},
    304: {"description": "The client has it: `If-None-Match` names its ETag."},
    307: REDIRECT,
    **describe_problems(
        Unauthorized,
        JobNotFound,
        VariantNotFound,
        JobNotFinished,
        JobExpired,
        RangeNotSatisfiable,
        InvalidRequest,
        StoreUnavailable,
    ),
}


async def answer_file(
    request: Request,
    services: Services,
    record: Record,
    name: str,
    *,
    range_header: str | None,
    if_range: str | None,
    if_none_match: str | None,
) -> Response:
    """The file of the variant `name`, or the part of it that is asked for.

    Raises:
        JobNotFinished, VariantNotFound, JobExpired
    """
    variant = finished_variant(record, name)
    if matches(if_none_match, etag=_etag(variant)):
        return Response(status_code=304, headers={"ETag": _etag(variant), "Cache-Control": CACHE_CONTROL})
    found = await to_thread.run_sync(find_published, services, record.id, variant.name)
    if isinstance(found, RemoteFile):
        headers = _headers(record, variant, suffix=Path(found.name).suffix)
        answer = partial(_remote, found, record_id=record.id, method=request.method, variant=variant, headers=headers)
        return await to_thread.run_sync(answer)
    headers = _headers(record, variant, suffix=found.suffix)
    try:
        file = await anyio.open_file(found, "rb")
    except FileNotFoundError as error:
        raise gone(record.id) from error
    try:
        part = requested_range(range_header, size=variant.bytes, if_range=if_range, etag=headers["ETag"])
    except OutsideFile:
        await file.aclose()
        return problem_response(
            RangeNotSatisfiable(f"The file has {variant.bytes} bytes; the range {range_header} begins behind its end."),
            request_id=request_id_of(request),
            headers={"Content-Range": f"bytes */{variant.bytes}"},
        )
    status = 200
    if part is not None:
        status, headers["Content-Range"] = 206, f"bytes {part.first}-{part.last}/{variant.bytes}"
    headers["Content-Length"] = str(variant.bytes if part is None else part.length)
    if request.method == "HEAD":
        await file.aclose()
        return Response(status_code=status, headers=headers)
    return StreamingResponse(_read(file, part or ByteRange(0, variant.bytes - 1)), status_code=status, headers=headers)


def _remote(file: RemoteFile, *, record_id: str, method: str, variant: Variant, headers: Mapping[str, str]) -> Response:
    if not variant.media_type.startswith(HANDED_ON):
        return redirect(file, method=method, media_type=variant.media_type, headers=headers)
    try:
        content = b"" if method == "HEAD" else file.read()
    except FileNotFoundError as error:
        raise gone(record_id) from error
    whole = {**headers, "Accept-Ranges": "none", "Content-Length": str(variant.bytes)}
    return Response(content, headers=whole)


def redirect(file: RemoteFile, *, method: str, media_type: str, headers: Mapping[str, str]) -> Response:
    """Send the client to where the file is; ranges are asked for there. `headers`: of an answer with the file."""
    presentation = Presentation(
        method="HEAD" if method == "HEAD" else "GET",
        media_type=media_type,
        # A browser heeds the `download` of a link only where the file is of the same site, and would leave the page.
        disposition=headers["Content-Disposition"].replace("inline", "attachment", 1),
    )
    # The address runs out, so that nobody may keep it.
    return Response(status_code=307, headers={"Location": file.address(presentation), "Cache-Control": "no-store"})


def find_published(services: Services, record_id: str, stem: str) -> Path | RemoteFile:
    """The file of that name, of the execution that the record names.

    Raises:
        JobExpired
    """
    _, execution_id = services.repository.status(record_id)
    try:
        return services.store.find_result(record_id, execution_id, stem)
    except (VariantNotFound, JobNotFound) as error:
        # The record was there and the file is not: it went with its job, between the two looks.
        raise gone(record_id) from error


def gone(record_id: str) -> JobExpired:
    return JobExpired(f"The files of {record_id} are gone. Send the video again.")


def finished_variant(record: Record, name: str) -> Variant:
    """The variant that is asked for.

    Raises:
        JobNotFinished, VariantNotFound
    """
    if record.status not in TERMINAL_STATUSES:
        raise JobNotFinished(
            f"{record.id} is {record.status}; its files are there when it has succeeded. Poll it with ?wait=30.",
            retry_after=2,
        )
    for variant in record.variants:
        if variant.name == name:
            return variant
    there = ", ".join(variant.name for variant in record.variants)
    reason = f"It has: {there}." if there else f"It is {record.status} and has none."
    raise VariantNotFound(
        f"{record.id} has no variant {name[:64]!r}. {reason}", errors=[FieldError("#/query/variant", reason)]
    )


def _headers(record: Record, variant: Variant, *, suffix: str) -> dict[str, str]:
    headers = {
        "Content-Type": variant.media_type,
        "ETag": _etag(variant),
        "Accept-Ranges": "bytes",
        "Cache-Control": CACHE_CONTROL,
        "Content-Disposition": disposition(download_name(record, variant.name, suffix=suffix)),
        "X-Content-Type-Options": "nosniff",
    }
    if variant.media_type.startswith("text/html"):
        headers["Content-Security-Policy"] = REPORT_SECURITY_POLICY
    return headers


def _etag(variant: Variant) -> str:
    return f'"{variant.sha256}"'


async def _read(file: anyio.AsyncFile[bytes], part: ByteRange) -> AsyncIterator[bytes]:
    """The bytes of `part`; closes `file`, which stays readable though its job be deleted meanwhile."""
    try:
        await file.seek(part.first)
        left = part.length
        while left > 0 and (chunk := await file.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk
    finally:
        with anyio.CancelScope(shield=True):
            await file.aclose()
