"""`/metrics`: for Prometheus."""

from contextlib import suppress
from functools import partial
from typing import Annotated

import structlog
from anyio import move_on_after, to_thread
from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from jobs.connection import REDIS_AWAY
from jobs.errors import InvalidRequest, Unauthorized
from service.auth import asks_for_keys, bearer, identify_caller
from service.dependencies import Services, ServicesDep
from service.problems import describe_problems

REDIS_SECONDS = 4.0
"""How long Redis may take to say that it is there. Prometheus waits ten seconds for the whole answer."""

log = structlog.stdlib.get_logger("retint.api")
router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    operation_id="get_metrics",
    summary="Numbers for Prometheus",
    response_class=Response,
    response_description="Prometheus's text format, the same from every API process.",
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        **describe_problems(Unauthorized, InvalidRequest),
    },
)
async def get_metrics(
    request: Request,
    services: ServicesDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> Response:
    """Counts are of all API processes and workers since Redis's data began. While Redis is away no key can be checked:
    anybody is told that `retint_redis_up` is 0, and what else is known without Redis and is of no user."""
    write = partial(_everything, request, services, credentials)
    if not await _redis_answers(services):
        write = partial(generate_latest, services.metrics_without_redis)
    text = await to_thread.run_sync(write, limiter=services.scrapes)
    return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4, headers={"Cache-Control": "no-store"})


async def _redis_answers(services: Services) -> bool:
    try:
        # Given up after a while: looking up its name may take longer than any time-out of the connection.
        with move_on_after(REDIS_SECONDS):
            await to_thread.run_sync(services.looks.ping, limiter=services.scrapes, abandon_on_cancel=True)
            return True
    except REDIS_AWAY as error:
        log.warning("redis_unavailable", cause=str(error))
    return False


def _everything(request: Request, services: Services, credentials: HTTPAuthorizationCredentials | None) -> bytes:
    if asks_for_keys(services.settings):
        identify_caller(request, credentials, keys=services.keys, sessions=services.sessions)
    with suppress(*REDIS_AWAY):  # the answer says so
        services.traffic.flush()
    return generate_latest(services.metrics)
