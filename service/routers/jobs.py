"""`/v1/jobs`: make, look at, cancel, retry and delete jobs."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import structlog
from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response

from jobs.cancellation import cancel_job, delete_job
from jobs.cursor import CURSOR_PATTERN
from jobs.errors import (
    InvalidRequest,
    JobAlreadyFinished,
    JobExpired,
    JobNotFailed,
    JobNotFound,
    QueueFull,
    StoreUnavailable,
    TooManyJobs,
    TooManyReferences,
    Unauthorized,
    UploadUnfinished,
)
from jobs.identifiers import new_job_id
from jobs.options import JobOptions
from jobs.record import Job, Status
from jobs.record_reader import JobPage
from jobs.retrying import retry_job
from service.accepted import ACCEPTED_HEADERS, SUBMISSION_PROBLEMS, accept
from service.dependencies import PLAIN_BODY, IdempotencyKey, IfNoneMatch, RepositoryDep, ServicesDep, ViewerDep, Wait
from service.examples import CANCELED_JOB_CONTENT, JOB_CONTENT, JOB_PAGE_CONTENT
from service.form import TO_COLOR
from service.job_form import JOB_FORM
from service.looking import LOOK_RESPONSES, answer_look
from service.model_catalog import require_weights
from service.problems import describe_problems
from service.reusing import require_reuse_for_omissions
from service.submitting import submit
from service.webhook_target import require_callable_webhook

log = structlog.stdlib.get_logger("retint.api")
router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.post(
    "",
    dependencies=[PLAIN_BODY],
    operation_id="create_job",
    summary="Colorize a video",
    status_code=202,
    response_model=Job,
    response_description="The job, queued.",
    openapi_extra={"requestBody": JOB_FORM},
    responses={
        202: {
            "content": JOB_CONTENT,
            "headers": ACCEPTED_HEADERS,
        },
        **describe_problems(*SUBMISSION_PROBLEMS, TooManyReferences, UploadUnfinished),
    },
)
async def create_job(
    request: Request,
    response: Response,
    services: ServicesDep,
    viewer: ViewerDep,
    idempotency_key: IdempotencyKey,
) -> Job:
    """Send a monochrome video and one or more color frames of it; the parts may come in any order.

    The answer comes when the upload is stored and the job is queued. `Location` is where to poll it.
    """
    # Asked before the upload, so that a server without Redis says so before gigabytes are sent.
    catalog = await to_thread.run_sync(services.repository.read_catalog)
    job_id = new_job_id()

    def check_options(options: JobOptions) -> None:
        require_reuse_for_omissions(options)
        require_weights(options, catalog=catalog)
        require_callable_webhook(options, allowed=services.settings.webhook_allowed_networks)

    with services.uploads.one():
        submitted = await submit(
            request,
            services,
            form=TO_COLOR,
            viewer=viewer,
            record_id=job_id,
            idempotency_key=idempotency_key,
            check_options=check_options,
            make=lambda upload: Job(
                id=job_id,
                status="queued",
                filename=upload.filename,
                options=upload.options,
                created_at=datetime.now(UTC),
            ),
            find=services.repository.get,
        )
    job = submitted.record
    if job.id == job_id:
        log.info("job_created", job_id=job_id, model=job.options.model)
    return accept(response, submitted, location=request.url_for("get_job", job_id=job.id))


@router.get(
    "",
    operation_id="list_jobs",
    summary="List jobs, newest first",
    response_description="A page of jobs; `next` leads to the one after.",
    responses={200: {"content": JOB_PAGE_CONTENT}, **describe_problems(Unauthorized, InvalidRequest)},
)
def list_jobs(
    repository: RepositoryDep,
    viewer: ViewerDep,
    status: Annotated[Status | None, Query(description="Only jobs in this status.")] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Jobs per page.")] = 20,
    after: Annotated[
        str | None,
        Query(description="The `next` of the page before.", json_schema_extra={"pattern": CURSOR_PATTERN}),
    ] = None,
) -> JobPage:
    """Searches for keyframes and colorings are not among them; keep their ids."""
    return repository.list(status=status, limit=limit, after=after, viewer=viewer)


@router.get(
    "/{job_id}",
    operation_id="get_job",
    summary="Look at a job",
    response_model=Job,
    response_description="The job as it stands.",
    responses={
        **LOOK_RESPONSES,
        200: {"content": JOB_CONTENT, **LOOK_RESPONSES[200]},
        **describe_problems(Unauthorized, JobNotFound, JobExpired, InvalidRequest),
    },
)
async def get_job(
    job_id: str,
    request: Request,
    services: ServicesDep,
    viewer: ViewerDep,
    wait: Wait = 0,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """With `wait`, answers when the job has changed (from the state of `If-None-Match`, or else from now), or after so
    many seconds; a finished job answers at once."""
    look = partial(services.repository.look, job_id, kind="jobs", viewer=viewer)
    return await answer_look(request, services, look, wait=wait, if_none_match=if_none_match)


@router.post(
    "/{job_id}/cancel",
    operation_id="cancel_job",
    summary="Cancel a job",
    response_description="The job, canceled.",
    responses={
        200: {"content": CANCELED_JOB_CONTENT},
        **describe_problems(
            Unauthorized, JobNotFound, JobExpired, JobAlreadyFinished, InvalidRequest, StoreUnavailable
        ),
    },
)
def cancel(job_id: str, services: ServicesDep, viewer: ViewerDep) -> Job:
    """Stops a running job within seconds and removes what is half made. The record stays, and so do the video and the
    references where `keep_input` is true. Canceling twice is no error."""
    services.repository.get(job_id, viewer=viewer)
    cancel_job(job_id, repository=services.repository, queue=services.queue, store=services.store)
    log.info("job_canceled", job_id=job_id)
    return services.repository.get(job_id)


@router.post(
    "/{job_id}/retry",
    operation_id="retry_job",
    summary="Try a failed job again",
    status_code=202,
    response_description="The job, queued.",
    responses={
        202: {"content": JOB_CONTENT},
        **describe_problems(
            Unauthorized, JobNotFound, JobExpired, JobNotFailed, TooManyJobs, QueueFull, InvalidRequest
        ),
    },
)
def retry(job_id: str, services: ServicesDep, viewer: ViewerDep) -> Job:
    """Goes on where it stopped: shots that are done are not done again."""
    services.repository.get(job_id, viewer=viewer)
    services.admission.require_room(viewer or "")
    retry_job(job_id, repository=services.repository, queue=services.queue)
    log.info("job_retried", job_id=job_id)
    return services.repository.get(job_id)


@router.delete(
    "/{job_id}",
    operation_id="delete_job",
    summary="Delete a job and its files",
    status_code=204,
    response_description="It is gone.",
    response_class=Response,
    responses=describe_problems(Unauthorized, JobNotFound, JobExpired, InvalidRequest, StoreUnavailable),
)
def delete(job_id: str, services: ServicesDep, viewer: ViewerDep) -> None:
    """Cancels it first if it runs."""
    services.repository.get(job_id, viewer=viewer)
    delete_job(job_id, repository=services.repository, queue=services.queue, store=services.store)
    log.info("job_deleted", job_id=job_id)
