"""`/v1/jobs/{id}/content`: the finished files, whole or in ranges."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import anyio
from anyio import to_thread
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from jobs.errors import (
    FieldError,
    InvalidRequest,
    JobExpired,
    JobNotFinished,
    JobNotFound,
    RangeNotSatisfiable,
    Unauthorized,
    VariantNotFound,
)
from jobs.record import TERMINAL_STATUSES, Job, Variant
from service.conditions import ByteRange, OutsideFile, matches, requested_range
from service.dependencies import ServicesDep, ViewerDep
from service.page import CONTENT_SECURITY_POLICY
from service.problems import describe_problems, problem_response, request_id_of

CHUNK_BYTES = 256 * 1024
REPORT_SECURITY_POLICY = f"{CONTENT_SECURITY_POLICY}; img-src data:; sandbox"
"""A report shows names that users chose; whatever it holds, it runs nothing."""

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

BINARY: dict[str, Any] = {
    "description": "The file.",
    "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
    "headers": {
        "ETag": {"schema": {"type": "string"}, "description": "The file's SHA-256."},
        "Content-Disposition": {"schema": {"type": "string"}, "description": "A file name to save it under."},
    },
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: BINARY,
    206: {**BINARY, "description": "The part that `Range` asks for."},
    304: {"description": "The client has it: `If-None-Match` names its ETag."},
    **describe_problems(
        Unauthorized, JobNotFound, VariantNotFound, JobNotFinished, JobExpired, RangeNotSatisfiable, InvalidRequest
    ),
}


@router.get(
    "/{job_id}/content",
    operation_id="get_job_content",
    summary="Download a result",
    response_class=Response,
    responses=RESPONSES,
)
@router.head(
    "/{job_id}/content",
    operation_id="head_job_content",
    summary="Look at a result without downloading it",
    response_class=Response,
    responses=RESPONSES,
)
async def get_content(
    job_id: str,
    request: Request,
    services: ServicesDep,
    viewer: ViewerDep,
    variant: Annotated[
        str, Query(description="`video`, `comparison`, `preview`, `report` or `report_json`.")
    ] = "video",
    range_header: Annotated[str | None, Header(alias="Range", description="One range of bytes.")] = None,
    if_range: Annotated[str | None, Header(description="Send the range only if the ETag is still this.")] = None,
    if_none_match: Annotated[str | None, Header(description="304 if the ETag is this.")] = None,
) -> Response:
    """The color video, or another variant that the job made; `variants` in the job lists them.

    The ETag is the file's hash, so that an interrupted download can go on with `Range` and `If-Range`.
    """
    job = await to_thread.run_sync(partial(services.repository.get, job_id, viewer=viewer))
    found = _finished_variant(job, variant)
    try:
        path = await to_thread.run_sync(services.store.variant_path, job_id, found.name)
        file = await anyio.open_file(path, "rb")
    except (FileNotFoundError, VariantNotFound) as error:
        # The record is there and the file is not: it went with its job, between the two looks.
        raise JobExpired(f"The files of job {job_id} are gone. Send the video again.") from error
    headers = _headers(job, found, path=path)
    if matches(if_none_match, etag=headers["ETag"]):
        await file.aclose()
        return Response(status_code=304, headers={name: headers[name] for name in ("ETag", "Cache-Control")})
    try:
        part = requested_range(range_header, size=found.bytes, if_range=if_range, etag=headers["ETag"])
    except OutsideFile:
        await file.aclose()
        return problem_response(
            RangeNotSatisfiable(f"The file has {found.bytes} bytes; the range {range_header} begins behind its end."),
            request_id=request_id_of(request),
            headers={"Content-Range": f"bytes */{found.bytes}"},
        )
    status = 200
    if part is not None:
        status, headers["Content-Range"] = 206, f"bytes {part.first}-{part.last}/{found.bytes}"
    headers["Content-Length"] = str(found.bytes if part is None else part.length)
    if request.method == "HEAD":
        await file.aclose()
        return Response(status_code=status, headers=headers)
    return StreamingResponse(_read(file, part or ByteRange(0, found.bytes - 1)), status_code=status, headers=headers)


def _finished_variant(job: Job, name: str) -> Variant:
    """The variant that is asked for.

    Raises:
        JobNotFinished, VariantNotFound
    """
    if job.status not in TERMINAL_STATUSES:
        raise JobNotFinished(
            f"Job {job.id} is {job.status}; its files are there when it has succeeded. Poll it with ?wait=30.",
            retry_after=2,
        )
    for variant in job.variants:
        if variant.name == name:
            return variant
    there = ", ".join(variant.name for variant in job.variants)
    reason = f"It has: {there}." if there else f"It is {job.status} and has none."
    raise VariantNotFound(
        f"Job {job.id} has no variant {name[:64]!r}. {reason}", errors=[FieldError("#/query/variant", reason)]
    )


def _headers(job: Job, variant: Variant, *, path: Path) -> dict[str, str]:
    headers = {
        "Content-Type": variant.media_type,
        "ETag": f'"{variant.sha256}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'inline; filename="{job.id}-{variant.name}{path.suffix}"',
        "X-Content-Type-Options": "nosniff",
    }
    if variant.media_type.startswith("text/html"):
        headers["Content-Security-Policy"] = REPORT_SECURITY_POLICY
    return headers


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
