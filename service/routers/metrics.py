"""`/metrics`: for Prometheus."""

from contextlib import suppress

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from jobs.connection import REDIS_AWAY
from jobs.errors import InvalidRequest, Unauthorized
from service.dependencies import ServicesDep
from service.problems import describe_problems

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
def get_metrics(services: ServicesDep) -> Response:
    """Counts are of all API processes and workers since Redis's data began. Where Redis is away, `retint_redis_up` is 0
    and most of the rest is missing."""
    with suppress(*REDIS_AWAY):  # the answer says so
        services.traffic.flush()
    return Response(
        generate_latest(services.metrics), media_type=CONTENT_TYPE_PLAIN_0_0_4, headers={"Cache-Control": "no-store"}
    )
