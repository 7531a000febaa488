"""A span for every request, a child of the caller's own where it sends `traceparent`."""

import structlog
from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs.spans import Tracing
from jobs.tracing import checked_traceparent, trace_id_of
from service.request_log import QUIET_PATHS
from service.traffic import route_of

_STATE = "traceparent"


class TraceRequests:
    """ASGI middleware. Place it inside of the request log, so that its lines name the trace."""

    def __init__(self, app: ASGIApp, *, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in QUIET_PATHS:
            await self._app(scope, receive, send)
            return
        method, state = scope["method"], scope.setdefault("state", {})
        given = checked_traceparent(Headers(scope=scope).get("traceparent", ""))
        about = {
            "http.request.method": method,
            "url.path": scope["path"],
            "request.id": str(state.get("request_id", "")),
        }
        with self._tracing.start(method, kind="server", parent=given, attributes=about) as span:
            state[_STATE] = span.traceparent
            if span.traceparent:
                structlog.contextvars.bind_contextvars(trace_id=trace_id_of(span.traceparent))

            async def send_and_note(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.note({"http.response.status_code": message["status"]})
                    if message["status"] >= 500:
                        span.fail(str(message["status"]))
                await send(message)

            try:
                await self._app(scope, receive, send_and_note)
            finally:
                span.rename(f"{method} {route_of(scope)}")
                span.note({"http.route": route_of(scope)})


def traceparent_of(request: Request) -> str:
    """What a span names as its parent to be a part of the request; empty where it is not traced."""
    return str(request.scope.get("state", {}).get(_STATE, ""))
