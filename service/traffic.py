"""Counts what this API process answers, and adds it to the counts of all processes every few seconds."""

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from itertools import product

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs.metrics import HTTP_LATENCY, HTTP_REQUESTS, Tally
from jobs.metrics_store import MetricsStore

FLUSH_SECONDS = 5.0
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Anything else counts as OTHER: a caller may invent methods without end."""
NO_ROUTE = "none"
WENT_AWAY = 499
"""As nginx has it, where the client was gone before the answer began."""


class Traffic:
    """The counts of one process. Threads may share it."""

    def __init__(self, store: MetricsStore, *, watchers: Callable[[], int]) -> None:
        self._store = store
        self._watchers = watchers
        self._process = uuid.uuid4().hex
        self._tally = Tally()
        self._flushing = threading.Lock()
        self._batch: Mapping[str, float] = {}
        self._token = ""

    def count(self, *, method: str, route: str, status: int, seconds: float) -> None:
        self._tally.count(HTTP_REQUESTS, labels=(method, route, str(status)))
        self._tally.observe(HTTP_LATENCY, seconds, labels=(method, route))

    def flush(self) -> None:
        """Add what was counted to the counts in Redis, once: what fails is sent again under the same token.

        Raises:
            One of `jobs.connection.REDIS_AWAY`: nothing is lost; the next call does it.
        """
        with self._flushing:
            if not self._batch:
                self._batch, self._token = self._tally.take(), uuid.uuid4().hex
            if self._batch:
                self._store.add(self._batch, token=self._token)
                self._batch = {}
            self._store.report_api_process(self._process, watchers=self._watchers())

    def leave(self) -> None:
        """The last flush of a process that ends; raises as `flush`."""
        self.flush()
        self._store.forget_api_process(self._process)


class CountRequests:
    """ASGI middleware. Place it outside of what answers for errors, so that it sees every answer."""

    def __init__(self, app: ASGIApp, *, traffic: Traffic) -> None:
        self._app = app
        self._traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        begun: tuple[int, float] | None = None

        async def send_and_note(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start" and begun is None:
                begun = message["status"], time.perf_counter() - started
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            status, seconds = begun or (WENT_AWAY, time.perf_counter() - started)
            method = scope["method"] if scope["method"] in METHODS else "OTHER"
            self._traffic.count(method=method, route=route_of(scope), status=status, seconds=seconds)


def route_of(scope: Scope) -> str:
    """The template of the route that took the request, such as `/v1/jobs/{job_id}`: there are only so many."""
    return str(getattr(scope.get("route"), "path", NO_ROUTE))


def failures_at_zero(routes: Iterable[BaseRoute]) -> Mapping[str, float]:
    """Counts of 0, by field, for all failures of the server: what is there from the start, an alert sees growing.

    Any route may fail (500) or find Redis away (503); what else it may answer, it describes.
    """
    tally = Tally()
    for route in routes:
        if isinstance(route, APIRoute):
            described = {int(status) for status in route.responses}
            for method, status in product(route.methods or (), {500, 503, *(one for one in described if one >= 500)}):
                tally.count(HTTP_REQUESTS, labels=(method, route.path, str(status)), amount=0)
    return tally.take()
