"""`/v1/colorings`: a picture in, and strokes of color on it; the whole picture in color out."""

from datetime import UTC, datetime
from functools import partial

import structlog
from anyio import to_thread
from fastapi import APIRouter, Request, Response

from jobs.cancellation import delete_job
from jobs.errors import (
    InvalidRequest,
    JobExpired,
    JobNotFound,
    StoreUnavailable,
    TooManyReferences,
    Unauthorized,
)
from jobs.identifiers import new_coloring_id
from jobs.record import Coloring
from service.accepted import ACCEPTED_HEADERS, SUBMISSION_PROBLEMS, accept
from service.coloring_form import COLORING_CONTENT, COLORING_FORM
from service.dependencies import PLAIN_BODY, IdempotencyKey, IfNoneMatch, IfRange, Range, ServicesDep, ViewerDep, Wait
from service.file_answer import FILE_RESPONSES, answer_file
from service.form import BY_STROKES
from service.looking import LOOK_RESPONSES, answer_look
from service.problems import describe_problems
from service.submitting import submit

log = structlog.stdlib.get_logger("retint.api")
router = APIRouter(prefix="/v1/colorings", tags=["colorings"])


@router.post(
    "",
    dependencies=[PLAIN_BODY],
    operation_id="create_coloring",
    summary="Color a picture by strokes",
    status_code=202,
    response_model=Coloring,
    response_description="The coloring, queued before all jobs.",
    openapi_extra={"requestBody": COLORING_FORM},
    responses={
        202: {
            "content": COLORING_CONTENT,
            "headers": ACCEPTED_HEADERS,
        },
        **describe_problems(*SUBMISSION_PROBLEMS, TooManyReferences),
    },
)
async def create_coloring(
    request: Request,
    response: Response,
    services: ServicesDep,
    viewer: ViewerDep,
    idempotency_key: IdempotencyKey,
) -> Coloring:
    """The strokes are spread over the picture along the edges of its luma (Levin et al. 2004), in seconds; its luma
    stays as it is. The result serves as a reference of a job. A coloring counts as a job where jobs are limited."""
    record_id = new_coloring_id()
    with services.uploads.one():
        submitted = await submit(
            request,
            services,
            form=BY_STROKES,
            viewer=viewer,
            record_id=record_id,
            idempotency_key=idempotency_key,
            check_options=lambda _: None,
            make=lambda upload: Coloring(
                id=record_id,
                status="queued",
                filename=upload.filename,
                options=upload.options,
                created_at=datetime.now(UTC),
            ),
            find=services.repository.get_coloring,
        )
    record = submitted.record
    if record.id == record_id:
        log.info("coloring_created", job_id=record_id)
    return accept(response, submitted, location=request.url_for("get_coloring", coloring_id=record.id))


@router.get(
    "/{coloring_id}",
    operation_id="get_coloring",
    summary="Look at a coloring",
    response_model=Coloring,
    response_description="The coloring as it stands.",
    responses={
        **LOOK_RESPONSES,
        200: {"content": COLORING_CONTENT, **LOOK_RESPONSES[200]},
        **describe_problems(Unauthorized, JobNotFound, JobExpired, InvalidRequest),
    },
)
async def get_coloring(
    coloring_id: str,
    request: Request,
    services: ServicesDep,
    viewer: ViewerDep,
    wait: Wait = 0,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """With `wait`, answers when something has changed (from the state of `If-None-Match`, or else from now), or after
    so many seconds; a finished coloring answers at once."""
    look = partial(services.repository.look, coloring_id, kind="colorings", viewer=viewer)
    return await answer_look(request, services, look, wait=wait, if_none_match=if_none_match)


@router.get(
    "/{coloring_id}/content",
    operation_id="get_coloring_content",
    summary="Download the colored picture",
    response_class=Response,
    responses=FILE_RESPONSES,
)
@router.head(
    "/{coloring_id}/content",
    operation_id="head_coloring_content",
    summary="Look at the picture without downloading it",
    response_class=Response,
    responses=FILE_RESPONSES,
)
async def get_coloring_content(
    coloring_id: str,
    request: Request,
    services: ServicesDep,
    viewer: ViewerDep,
    range_header: Range = None,
    if_range: IfRange = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """A PNG at the size of the picture that was sent."""
    record = await to_thread.run_sync(partial(services.repository.get_coloring, coloring_id, viewer=viewer))
    return await answer_file(
        request, services, record, "picture", range_header=range_header, if_range=if_range, if_none_match=if_none_match
    )


@router.delete(
    "/{coloring_id}",
    operation_id="delete_coloring",
    summary="Delete a coloring and its files",
    status_code=204,
    response_description="It is gone.",
    response_class=Response,
    responses=describe_problems(Unauthorized, JobNotFound, JobExpired, InvalidRequest, StoreUnavailable),
)
def delete(coloring_id: str, services: ServicesDep, viewer: ViewerDep) -> None:
    """Stops it first if it runs."""
    services.repository.get_coloring(coloring_id, viewer=viewer)
    delete_job(coloring_id, repository=services.repository, queue=services.queue, store=services.store)
    log.info("coloring_deleted", job_id=coloring_id)
