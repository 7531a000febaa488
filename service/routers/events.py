"""`/v1/jobs/{id}/events`: a job as it changes."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from jobs.errors import InvalidRequest, JobExpired, JobNotFound, Unauthorized
from service.dependencies import ServicesDep, ViewerDep
from service.problems import describe_problems
from service.watching import answer_watch

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.get(
    "/{job_id}/events",
    operation_id="watch_job",
    summary="Watch a job",
    response_class=Response,
    responses={
        200: {
            "description": "`snapshot`: the job. `change`: the top-level fields that changed, with their new values. "
            "`end`: the job, which changes no more. `deleted`: it is gone. After these two nothing comes.",
            "content": {"text/event-stream": {}},
        },
        204: {"description": "The client has seen the end: nothing will come, and an EventSource asks no more."},
        **describe_problems(Unauthorized, JobNotFound, JobExpired, InvalidRequest),
    },
)
@router.head("/{job_id}/events", include_in_schema=False)
async def watch_job(
    job_id: str,
    request: Request,
    services: ServicesDep,
    viewer: ViewerDep,
    last_event_id: Annotated[
        str | None, Header(description="Go on behind this event, as an EventSource does by itself.")
    ] = None,
) -> Response:
    """Begins with the whole job, sends what changes as it does, and ends with the job.

    A client that comes back with `Last-Event-ID` gets what it missed instead of the whole job, or the whole job where
    that is too long ago. Treat ids as names: they tell nothing.
    """
    look = partial(services.repository.look, job_id, kind="jobs", viewer=viewer)
    return await answer_watch(request, services, look, viewer=viewer, last_event_id=last_event_id)
