"""`/healthz`, `/readyz`, `/version`: for machines that watch; open without a key."""

import platform
from importlib.metadata import version as installed_version
from typing import Literal

import structlog
from fastapi import APIRouter
from redis.exceptions import RedisError

from jobs.errors import FieldError, InvalidRequest, NotReady, StoreAway
from jobs.options import StrictModel
from service.dependencies import QueueDep, StoreDep
from service.examples import content_of
from service.problems import describe_problems

RETRY_SECONDS = 5

log = structlog.stdlib.get_logger("retint.api")
router = APIRouter(tags=["health"])


class Health(StrictModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(StrictModel):
    """Redis and the store answer, and a worker lives."""

    status: Literal["ready"] = "ready"
    workers: int
    """Workers that live."""


class Version(StrictModel):
    """What is running."""

    service: str
    """Version of the service."""
    api: str = "v1"
    """Version of the API, as in the addresses of its calls."""
    python: str
    """Version of Python."""


@router.get(
    "/healthz",
    operation_id="get_health",
    summary="Whether the process answers",
    responses={200: {"content": content_of(Health())}, **describe_problems(InvalidRequest, asks_redis=False)},
)
async def get_health() -> Health:
    """Answers at once, whatever other calls wait for."""
    # Hence a coroutine: a plain function needs one of the threads that a stalled Redis or store may hold, all of them.
    return Health()


@router.get(
    "/readyz",
    operation_id="get_readiness",
    summary="Whether Redis, the store and a worker are there",
    responses={200: {"content": content_of(Readiness(workers=1))}, **describe_problems(NotReady, InvalidRequest)},
)
def get_readiness(store: StoreDep, queue: QueueDep) -> Readiness:
    """Looks at Redis, at the store and for at least one live worker; a 503 says in `errors` which of them fails.

    It does not say that a job would be taken now: where Redis's memory or the store is nearly full, new jobs are
    refused (503 `redis_unavailable`, 507 `storage_full`), but what is there can still be looked at and downloaded.
    """
    problems: list[FieldError] = []
    workers = 0
    try:
        queue.ping()
        workers = queue.worker_count()
    except RedisError as error:
        log.warning("redis_unavailable", cause=str(error))
        problems.append(FieldError("#/redis", "Redis does not answer."))
    else:
        if workers == 0:
            problems.append(FieldError("#/workers", "No worker is running; start one with `retint worker`."))
    try:
        store.check_writable()
    except (OSError, StoreAway) as error:
        # Where it is and what it said is for the log: this call is open to everybody.
        log.warning("store_unavailable", cause=str(error))
        problems.append(FieldError("#/store", "Files cannot be written to the store; the log says why."))
    if problems:
        raise NotReady(" ".join(problem.detail for problem in problems), errors=problems, retry_after=RETRY_SECONDS)
    return Readiness(workers=workers)


@router.get(
    "/version",
    operation_id="get_version",
    summary="What is running",
    responses={
        200: {"content": content_of(Version(service="0.1.0", python="3.12.8"))},
        **describe_problems(InvalidRequest, asks_redis=False),
    },
)
async def get_version() -> Version:
    return Version(service=installed_version("retint-service"), python=platform.python_version())
