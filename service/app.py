"""Puts the HTTP front end together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version

import structlog
from anyio import CapacityLimiter
from fastapi import Depends, FastAPI

from jobs.admission import Admission, Limits
from jobs.connection import REDIS_AWAY, connect, connect_for_a_look
from jobs.errors import StartupError
from jobs.housekeeping import sweep, sweep_files
from jobs.idempotency import IdempotencyKeys
from jobs.keys import KeyRing
from jobs.metrics_store import MetricsStore
from jobs.queue import JobQueue
from jobs.repository import JobRepository
from jobs.sessions import SessionBook
from jobs.settings import Settings
from jobs.stores import open_store, open_uploads
from jobs.tracing import open_tracing
from service.auth import answers_to_own_names_alone, is_open_to_others, serves_nobody
from service.dependencies import Services, get_viewer
from service.early_answer import EarlyAnswers
from service.event_hub import EventHub
from service.exposition import make_registry, make_registry_without_redis
from service.head import AnswerHead
from service.log_ids import bind_ids
from service.openapi import describe
from service.own_host import OwnHost
from service.problems import install_problem_handlers
from service.query import require_known_query
from service.request_log import RequestLog
from service.routers import (
    colorings,
    content,
    events,
    health,
    jobs,
    keyframes,
    metrics,
    models,
    pages,
    session,
    stills,
    uploads,
)
from service.stopping import AnswerCutCalls, CallsUnderWay, CountCalls
from service.sweeper import sweeping
from service.tracing import TraceRequests
from service.traffic import FLUSH_SECONDS, CountRequests, Traffic, failures_at_zero
from service.tus import TusLayer
from service.under_way import UnderWay

log = structlog.stdlib.get_logger("retint.api")

OPEN_ROUTERS = (pages.router, session.router, health.router, metrics.router)
"""What asks for no key, or looks at it by itself."""
KEYED_ROUTERS = (
    jobs.router,
    events.router,
    content.router,
    keyframes.router,
    colorings.router,
    stills.router,
    uploads.router,
    models.router,
)
"""What asks for a key, where keys are asked for."""
SCRAPES = 4
"""How many calls of `/metrics` are answered at once; more wait."""
CLEANUP_SECONDS = 10.0
"""How long a server that stops waits for the files of cut uploads to go."""
FAREWELL_SECONDS = 3.0
"""How long it then waits for the answers to cut calls to arrive."""


def create_app(settings: Settings) -> FastAPI:
    """The app; Redis need not be there yet.

    Raises:
        StartupError: the settings name no Redis or no usable store.
    """
    services = _make_services(settings)
    if serves_nobody(settings, services.keys):
        # It starts all the same: where a supervisor starts it again and again, the first key could not be made beside
        # it, and a key that is made now counts at once.
        log.warning("no_key", cause="every call is refused until `retint keys create NAME` has made one")
    if is_open_to_others(settings):
        log.warning("open_to_everybody", host=settings.host, cause="RETINT_AUTH is off")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        def sweep_records() -> None:
            sweep(services.repository, services.queue, services.store, now=datetime.now(UTC))

        def sweep_store() -> None:
            services.resumable.sweep(datetime.now(UTC))
            sweep_files(services.repository, services.store, now=datetime.now(UTC))

        with (
            sweeping(sweep_records),
            sweeping(sweep_store, interval=services.store.sweep_seconds, name="files"),
            sweeping(services.traffic.flush, interval=FLUSH_SECONDS, name="metrics"),
        ):
            yield
            await services.uploads.ended(seconds=CLEANUP_SECONDS)
            await services.calls.ended(seconds=FAREWELL_SECONDS)
        services.tracing.close()
        with suppress(*REDIS_AWAY):  # the last seconds' counts are lost then
            services.traffic.leave()

    app = FastAPI(
        title="retint",
        version=version("retint-service"),
        description="Turns a black-and-white video plus one colored frame of it into a color video.",
        lifespan=lifespan,
        docs_url=None,  # Swagger's page loads scripts from outside addresses; routers/pages.py has one that does not
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    app.openapi = partial(describe, app)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    install_problem_handlers(app)
    app.add_middleware(AnswerHead)
    app.add_middleware(TraceRequests, tracing=services.tracing)
    if answers_to_own_names_alone(settings):
        app.add_middleware(OwnHost)
    app.add_middleware(AnswerCutCalls, calls=services.calls)
    app.add_middleware(RequestLog)
    app.add_middleware(CountRequests, traffic=services.traffic)
    app.add_middleware(TusLayer)
    app.add_middleware(EarlyAnswers)
    app.add_middleware(CountCalls, calls=services.calls)
    known_query = Depends(require_known_query)
    for router in OPEN_ROUTERS:
        app.include_router(router, dependencies=[known_query])
    for router in KEYED_ROUTERS:
        app.include_router(router, dependencies=[Depends(bind_ids), Depends(get_viewer), known_query])
    return app


def _make_services(settings: Settings) -> Services:
    if settings.redis_url is None:
        raise StartupError(
            "RETINT_REDIS_URL is not set. Set it to your Redis server's address, or run `retint serve`, which brings "
            "one."
        )
    redis = connect(settings.redis_url)
    looks = connect_for_a_look(settings.redis_url)
    metrics = MetricsStore(looks, settings)
    store = open_store(settings)
    routes = [route for router in (*OPEN_ROUTERS, *KEYED_ROUTERS) for route in router.routes]
    hub = EventHub(settings.redis_url, settings.queue_name)
    return Services(
        settings=settings,
        repository=JobRepository(redis, settings.queue_name, retention_seconds=settings.retention_seconds),
        keys=KeyRing(redis, settings.queue_name),
        sessions=SessionBook(redis, settings.queue_name),
        store=store,
        queue=JobQueue(redis, settings),
        events=hub,
        admission=Admission(redis, settings.queue_name, Limits.of(settings)),
        idempotency=IdempotencyKeys(redis, settings.queue_name),
        resumable=open_uploads(settings, store, redis),
        uploads=UnderWay(),
        calls=CallsUnderWay(),
        traffic=Traffic(metrics, watchers=lambda: hub.watched),
        metrics=make_registry(metrics, store=store, at_zero=failures_at_zero(routes)),
        metrics_without_redis=make_registry_without_redis(store),
        looks=looks,
        scrapes=CapacityLimiter(SCRAPES),
        tracing=open_tracing(settings, service="retint-api"),
    )
