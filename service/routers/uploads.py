"""`/v1/uploads`: uploads that go on where they broke off, by tus 1.0."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import structlog
from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Request, Response

from jobs.errors import (
    ChecksumMismatch,
    ChecksumUnsupported,
    InvalidRequest,
    PayloadTooLarge,
    StoreFull,
    StoreUnavailable,
    TusVersionUnsupported,
    Unauthorized,
    UnsupportedMediaType,
    UploadExpired,
    UploadIncomplete,
    UploadLocked,
    UploadNotFound,
    UploadOffsetMismatch,
)
from jobs.options import StrictModel
from jobs.resumable import ResumableUpload, UploadInfo, UploadWriter
from service.body import declared_length
from service.dependencies import PLAIN_BODY, Services, ServicesDep, ViewerDep
from service.disk_space import DiskSpace
from service.examples import content_of
from service.intake import too_large
from service.problems import describe_problems
from service.resuming import KEPT, claimed, receive
from service.tus import (
    ALGORITHMS,
    EXTENSIONS,
    OFFSET_STREAM,
    PATH,
    VERSION,
    parse_checksum,
    parse_metadata,
    require_version,
    upload_headers,
)
from service.tus_description import (
    BODY,
    OFFSET,
    STANDING,
    VERSION_PARAMETER,
    ChecksumHeader,
    ContentType,
    MetadataHeader,
)

log = structlog.stdlib.get_logger("retint.api")
router = APIRouter(prefix=PATH, tags=["uploads"])
BY_PROTOCOL = [Depends(require_version)]
"""Dependency of the calls that tus defines; GET is for people, and OPTIONS to ask for the version."""


class UploadStatus(StrictModel):
    """A resumable upload as it stands."""

    id: str
    """What the part `video_upload` of `POST /v1/jobs` takes, once it is finished."""
    length: int
    """Bytes that it will have."""
    offset: int
    """Bytes that are here."""
    finished: bool
    """Whether all are."""
    filename: str | None
    """As `Upload-Metadata` gave it; null where it did not."""
    created_at: datetime
    expires_at: datetime
    """When it goes, if nothing more comes."""


UPLOAD_CONTENT = content_of(
    UploadStatus(
        id="upload_5f1c9b2e7a4d60318c2b9e55",
        length=1_500_000_000,
        offset=600_000_000,
        finished=False,
        filename="film.mkv",
        created_at=datetime(2026, 11, 23, 12, 0, tzinfo=UTC),
        expires_at=datetime(2026, 11, 24, 12, 3, tzinfo=UTC),
    )
)


@router.options(
    "",
    operation_id="discover_uploads",
    summary="Ask what of tus is spoken here",
    status_code=204,
    response_class=Response,
    response_description="`Tus-Version`, `Tus-Extension`, `Tus-Max-Size` and `Tus-Checksum-Algorithm` say.",
    responses=describe_problems(Unauthorized, InvalidRequest),
)
def discover(services: ServicesDep) -> Response:
    return Response(
        status_code=204,
        headers={
            "Tus-Version": VERSION,
            "Tus-Extension": EXTENSIONS,
            "Tus-Max-Size": str(services.settings.max_upload_bytes),
            "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
        },
    )


@router.post(
    "",
    dependencies=[*BY_PROTOCOL, PLAIN_BODY],
    operation_id="create_upload",
    summary="Begin a resumable upload",
    status_code=201,
    response_description="The upload; `Location` is where its bytes go, with PATCH.",
    openapi_extra={"parameters": [VERSION_PARAMETER], "requestBody": BODY},
    responses={
        201: {
            "content": UPLOAD_CONTENT,
            "headers": {"Location": {"schema": {"type": "string"}, "description": "Where the upload is."}, **STANDING},
        },
        **describe_problems(
            Unauthorized,
            TusVersionUnsupported,
            InvalidRequest,
            ChecksumUnsupported,
            UnsupportedMediaType,
            PayloadTooLarge,
            UploadIncomplete,
            UploadLocked,
            ChecksumMismatch,
            StoreFull,
            StoreUnavailable,
        ),
    },
)
async def create_upload(
    request: Request,
    response: Response,
    services: ServicesDep,
    viewer: ViewerDep,
    upload_length: Annotated[int, Header(ge=0, description="Bytes of the whole file; it cannot be told later.")],
    upload_metadata: MetadataHeader = "",
    upload_checksum: ChecksumHeader = None,
    content_type: ContentType = "",
) -> UploadStatus:
    """The call may carry the first bytes, or all of them, as `application/offset+octet-stream`."""
    if upload_length > services.settings.max_upload_bytes:
        raise too_large(services.settings)
    has_body = declared_length(request) > 0 or "transfer-encoding" in request.headers
    if has_body:
        _require_offset_stream(content_type)
    checksum = parse_checksum(upload_checksum)
    info = UploadInfo(
        owner=viewer or "",
        length=upload_length,
        filename=parse_metadata(upload_metadata).filename,
        metadata=upload_metadata,
        created_at=datetime.now(UTC),
    )
    space = _space(services, kept="Nothing was made.")
    await to_thread.run_sync(space.require, upload_length)
    with space.full_is_told():
        upload = await to_thread.run_sync(services.resumable.create, info)
    log.info("upload_created", upload_id=upload.id, bytes=upload_length)
    if has_body:
        async with _writing(services, upload.id, viewer) as writer:
            await receive(request, writer, space=_space(services), checksum=checksum)
        upload = await _look(services, upload.id, viewer)
    response.headers.update(upload_headers(upload))
    response.headers["Location"] = str(request.url_for("get_upload", upload_id=upload.id).path)
    return _status(upload)


@router.head(
    "/{upload_id}",
    dependencies=BY_PROTOCOL,
    operation_id="get_upload_offset",
    openapi_extra={"parameters": [VERSION_PARAMETER]},
    summary="Ask where an upload stands, to go on with it",
    response_class=Response,
    response_description="`Upload-Offset` is where to go on.",
    responses={
        200: {"headers": {**STANDING, "Upload-Length": {**OFFSET, "description": "Bytes that it will have."}}},
        **describe_problems(
            Unauthorized,
            TusVersionUnsupported,
            UploadNotFound,
            UploadExpired,
            UploadLocked,
            InvalidRequest,
            StoreUnavailable,
        ),
    },
)
async def head_upload(upload_id: str, services: ServicesDep, viewer: ViewerDep) -> Response:
    """Whoever asks is about to go on: a call that still writes is ended, so that the offset stays true. To watch an
    upload, use GET."""
    async with _writing(services, upload_id, viewer):
        upload = await _look(services, upload_id, viewer)
    headers = {**upload_headers(upload), "Upload-Length": str(upload.info.length)}
    if upload.info.metadata:
        headers["Upload-Metadata"] = upload.info.metadata
    return Response(headers=headers)


@router.patch(
    "/{upload_id}",
    dependencies=[*BY_PROTOCOL, PLAIN_BODY],
    operation_id="append_to_upload",
    summary="Send bytes of an upload",
    status_code=204,
    response_class=Response,
    response_description="They are here; `Upload-Offset` is where the next go.",
    openapi_extra={"parameters": [VERSION_PARAMETER], "requestBody": {**BODY, "required": True}},
    responses={
        204: {"headers": STANDING},
        **describe_problems(
            Unauthorized,
            TusVersionUnsupported,
            InvalidRequest,
            ChecksumUnsupported,
            UnsupportedMediaType,
            PayloadTooLarge,
            UploadNotFound,
            UploadExpired,
            UploadOffsetMismatch,
            UploadIncomplete,
            UploadLocked,
            ChecksumMismatch,
            StoreFull,
            StoreUnavailable,
        ),
    },
)
async def append_to_upload(
    upload_id: str,
    request: Request,
    services: ServicesDep,
    viewer: ViewerDep,
    upload_offset: Annotated[int, Header(ge=0, description="Where the bytes go: the upload's own offset.")],
    upload_checksum: ChecksumHeader = None,
    content_type: ContentType = "",
) -> Response:
    """If the connection breaks, what came is kept: ask for the offset with HEAD and go on from there. Bytes with a
    checksum are kept only as a whole."""
    _require_offset_stream(content_type)
    checksum = parse_checksum(upload_checksum)
    # Looked at before, too, so that a call that comes late takes nothing over.
    _require_offset(upload_offset, stands_at=(await _look(services, upload_id, viewer)).offset)
    async with _writing(services, upload_id, viewer) as writer:
        _require_offset(upload_offset, stands_at=writer.offset)
        await receive(request, writer, space=_space(services), checksum=checksum)
    upload = await _look(services, upload_id, viewer)
    if upload.finished:
        log.info("upload_finished", upload_id=upload_id, bytes=upload.offset)
    return Response(status_code=204, headers=upload_headers(upload))


@router.delete(
    "/{upload_id}",
    dependencies=BY_PROTOCOL,
    operation_id="delete_upload",
    openapi_extra={"parameters": [VERSION_PARAMETER]},
    summary="Delete an upload",
    status_code=204,
    response_class=Response,
    response_description="It is gone.",
    responses=describe_problems(
        Unauthorized,
        TusVersionUnsupported,
        UploadNotFound,
        UploadExpired,
        UploadLocked,
        InvalidRequest,
        StoreUnavailable,
    ),
)
async def delete_upload(upload_id: str, services: ServicesDep, viewer: ViewerDep) -> None:
    """Jobs that were made from it keep their video."""
    async with _writing(services, upload_id, viewer):
        await to_thread.run_sync(services.resumable.delete, upload_id)
    log.info("upload_deleted", upload_id=upload_id)


@router.get(
    "/{upload_id}",
    operation_id="get_upload",
    summary="Look at an upload",
    response_description="The upload as it stands.",
    responses={
        200: {"content": UPLOAD_CONTENT},
        **describe_problems(Unauthorized, UploadNotFound, UploadExpired, InvalidRequest),
    },
)
def get_upload(upload_id: str, response: Response, services: ServicesDep, viewer: ViewerDep) -> UploadStatus:
    """Disturbs nobody, unlike HEAD."""
    response.headers["Cache-Control"] = "no-store"
    return _status(services.resumable.look(upload_id, viewer=viewer))


@asynccontextmanager
async def _writing(services: Services, upload_id: str, viewer: str | None) -> AsyncIterator[UploadWriter]:
    # What is left of the bytes may be stored when the writer is closed.
    with services.uploads.one(), _space(services).full_is_told():
        async with claimed(services.resumable, upload_id, viewer=viewer) as writer:
            yield writer


async def _look(services: Services, upload_id: str, viewer: str | None) -> ResumableUpload:
    return await to_thread.run_sync(partial(services.resumable.look, upload_id, viewer=viewer))


def _space(services: Services, *, kept: str = KEPT) -> DiskSpace:
    return DiskSpace(services.store, min_free_bytes=services.settings.min_free_bytes, kept=kept)


def _require_offset(offset: int, *, stands_at: int) -> None:
    if offset != stands_at:
        raise UploadOffsetMismatch(
            f"The upload stands at offset {stands_at}, and the call begins at {offset}. Ask for the offset with HEAD "
            "and send the bytes from there on."
        )


def _require_offset_stream(content_type: str) -> None:
    if content_type.partition(";")[0].strip().lower() != OFFSET_STREAM:
        given = f"the content type {content_type}" if content_type else "no content type"
        raise UnsupportedMediaType(f"The bytes of an upload come with {given}; expected {OFFSET_STREAM}.")


def _status(upload: ResumableUpload) -> UploadStatus:
    return UploadStatus(
        id=upload.id,
        length=upload.info.length,
        offset=upload.offset,
        finished=upload.finished,
        filename=upload.info.filename,
        created_at=upload.info.created_at,
        expires_at=upload.expires_at,
    )
