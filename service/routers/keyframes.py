"""`/v1/keyframes`: which frames of a video are worth coloring."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import structlog
from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi import Path as PathParameter

from jobs.cancellation import cancel_job, delete_job
from jobs.errors import (
    InvalidRequest,
    JobAlreadyFinished,
    JobExpired,
    JobNotFinished,
    JobNotFound,
    StoreUnavailable,
    Unauthorized,
    UploadUnfinished,
    VariantNotFound,
)
from jobs.identifiers import new_keyframes_id
from jobs.record import Keyframe, Keyframes
from jobs.store import RemoteFile
from service.accepted import ACCEPTED_HEADERS, SUBMISSION_PROBLEMS, accept
from service.conditions import matches
from service.dependencies import PLAIN_BODY, IdempotencyKey, IfNoneMatch, IfRange, Range, ServicesDep, ViewerDep, Wait
from service.file_answer import (
    BYTES,
    FILE_RESPONSES,
    answer_file,
    find_published,
    finished_variant,
    gone,
)
from service.form import FOR_KEYFRAMES
from service.keyframes_description import CANCELED_KEYFRAMES_CONTENT, KEYFRAMES_CONTENT, KEYFRAMES_FORM
from service.looking import LOOK_RESPONSES, answer_look
from service.problems import describe_problems
from service.submitting import submit

log = structlog.stdlib.get_logger("retint.api")
router = APIRouter(prefix="/v1/keyframes", tags=["keyframes"])

PICTURE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture.",
        "content": {"image/png": BYTES, "application/octet-stream": BYTES},
        "headers": {
            "ETag": {"schema": {"type": "string"}, "description": "Stays as long as the picture does."},
            "Content-Disposition": {"schema": {"type": "string"}, "description": "A file name to save it under."},
        },
    },
    304: {"description": "The client has it: `If-None-Match` names its ETag."},
    **describe_problems(
        Unauthorized, JobNotFound, VariantNotFound, JobNotFinished, JobExpired, InvalidRequest, StoreUnavailable
    ),
}


@router.post(
    "",
    dependencies=[PLAIN_BODY],
    operation_id="create_keyframes",
    summary="Find the frames worth coloring",
    status_code=202,
    response_model=Keyframes,
    response_description="The search, queued.",
    openapi_extra={"requestBody": KEYFRAMES_FORM},
    responses={
        202: {
            "content": KEYFRAMES_CONTENT,
            "headers": ACCEPTED_HEADERS,
        },
        **describe_problems(*SUBMISSION_PROBLEMS, UploadUnfinished),
    },
)
async def create_keyframes(
    request: Request,
    response: Response,
    services: ServicesDep,
    viewer: ViewerDep,
    idempotency_key: IdempotencyKey,
) -> Keyframes:
    """Send a monochrome video. Of each of its shots one frame is chosen: sharp, like the rest of the shot, near its
    start.

    Color the pictures in another program, keep their names, and send them as `references` of a job. A search counts as
    a job where jobs are limited.
    """
    record_id = new_keyframes_id()
    with services.uploads.one():
        submitted = await submit(
            request,
            services,
            form=FOR_KEYFRAMES,
            viewer=viewer,
            record_id=record_id,
            idempotency_key=idempotency_key,
            check_options=lambda _: None,
            make=lambda upload: Keyframes(
                id=record_id,
                status="queued",
                filename=upload.filename,
                options=upload.options,
                created_at=datetime.now(UTC),
            ),
            find=services.repository.get_keyframes,
        )
    record = submitted.record
    if record.id == record_id:
        log.info("keyframes_created", job_id=record_id)
    return accept(response, submitted, location=request.url_for("get_keyframes", keyframes_id=record.id))


@router.get(
    "/{keyframes_id}",
    operation_id="get_keyframes",
    summary="Look at keyframes",
    response_model=Keyframes,
    response_description="The search as it stands, and what it found.",
    responses={
        **LOOK_RESPONSES,
        200: {"content": KEYFRAMES_CONTENT, **LOOK_RESPONSES[200]},
        **describe_problems(Unauthorized, JobNotFound, JobExpired, InvalidRequest),
    },
)
async def get_keyframes(
    keyframes_id: str,
    request: Request,
    services: ServicesDep,
    viewer: ViewerDep,
    wait: Wait = 0,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """With `wait`, answers when something has changed (from the state of `If-None-Match`, or else from now), or after
    so many seconds; a finished search answers at once."""
    look = partial(services.repository.look, keyframes_id, kind="keyframes", viewer=viewer)
    return await answer_look(request, services, look, wait=wait, if_none_match=if_none_match)


@router.get(
    "/{keyframes_id}/content",
    operation_id="get_keyframes_content",
    summary="Download all keyframes",
    response_class=Response,
    responses=FILE_RESPONSES,
)
@router.head(
    "/{keyframes_id}/content",
    operation_id="head_keyframes_content",
    summary="Look at the archive without downloading it",
    response_class=Response,
    responses=FILE_RESPONSES,
)
async def get_keyframes_content(
    keyframes_id: str,
    request: Request,
    services: ServicesDep,
    viewer: ViewerDep,
    range_header: Range = None,
    if_range: IfRange = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """A zip of all pictures, named by shot and frame, and of `keyframes.json`, which says what each of them is."""
    record = await to_thread.run_sync(partial(services.repository.get_keyframes, keyframes_id, viewer=viewer))
    return await answer_file(
        request, services, record, "archive", range_header=range_header, if_range=if_range, if_none_match=if_none_match
    )


@router.get(
    "/{keyframes_id}/frames/{frame}",
    operation_id="get_keyframe_picture",
    summary="Download one keyframe",
    response_class=Response,
    responses=PICTURE,
)
def get_picture(
    keyframes_id: str,
    frame: Annotated[int, PathParameter(ge=0, description="Number of the frame in the video, from 0.")],
    services: ServicesDep,
    viewer: ViewerDep,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The picture as a PNG; `keyframes` lists which frames there are."""
    record = services.repository.get_keyframes(keyframes_id, viewer=viewer)
    archive = finished_variant(record, "archive")
    keyframe = _keyframe(record, frame)
    headers = {"ETag": f'"{archive.sha256[:32]}-{frame}"', "Cache-Control": "private, no-cache"}
    if matches(if_none_match, etag=headers["ETag"]):
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = f'inline; filename="{keyframe.name}"'
    headers["X-Content-Type-Options"] = "nosniff"
    picture = find_published(services, record.id, Path(keyframe.name).stem)
    try:
        # Also out of object storage: the web page paints on it, and its scripts may not read what comes from elsewhere.
        content = picture.read() if isinstance(picture, RemoteFile) else picture.read_bytes()
        return Response(content, media_type="image/png", headers=headers)
    except FileNotFoundError as error:
        raise gone(record.id) from error


@router.post(
    "/{keyframes_id}/cancel",
    operation_id="cancel_keyframes",
    summary="Cancel a search for keyframes",
    response_description="The search, canceled.",
    responses={
        200: {"content": CANCELED_KEYFRAMES_CONTENT},
        **describe_problems(
            Unauthorized, JobNotFound, JobExpired, JobAlreadyFinished, InvalidRequest, StoreUnavailable
        ),
    },
)
def cancel(keyframes_id: str, services: ServicesDep, viewer: ViewerDep) -> Keyframes:
    """Stops it within seconds and removes what is half made. The record stays, and so does the video where `keep_input`
    is true. Canceling twice is no error."""
    services.repository.get_keyframes(keyframes_id, viewer=viewer)
    cancel_job(keyframes_id, repository=services.repository, queue=services.queue, store=services.store)
    log.info("keyframes_canceled", job_id=keyframes_id)
    return services.repository.get_keyframes(keyframes_id)


@router.delete(
    "/{keyframes_id}",
    operation_id="delete_keyframes",
    summary="Delete keyframes and their files",
    status_code=204,
    response_description="They are gone.",
    response_class=Response,
    responses=describe_problems(Unauthorized, JobNotFound, JobExpired, InvalidRequest, StoreUnavailable),
)
def delete(keyframes_id: str, services: ServicesDep, viewer: ViewerDep) -> None:
    """Cancels the search first if it runs."""
    services.repository.get_keyframes(keyframes_id, viewer=viewer)
    delete_job(keyframes_id, repository=services.repository, queue=services.queue, store=services.store)
    log.info("keyframes_deleted", job_id=keyframes_id)


def _keyframe(record: Keyframes, frame: int) -> Keyframe:
    for keyframe in record.keyframes:
        if keyframe.frame == frame:
            return keyframe
    raise VariantNotFound(f"Frame {frame} is none of those chosen in {record.id}; its `keyframes` list them.")
