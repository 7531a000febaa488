"""A layer around the app: gives every request an id, logs it in one line, and lets no traceback out."""

import re
import time
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import as_request_error, problem_response

HEADER = "X-Request-ID"
ACCEPTED_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
"""A caller's own id is taken over if it is harmless in logs and headers."""
QUIET_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
"""Probes and scrapes come every few seconds: logged for debugging alone, unless they fail."""

log = structlog.stdlib.get_logger("retint.api")


class RequestLog:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        request_id = given if ACCEPTED_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status: int | None = None

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        started = time.perf_counter()
        # A request may begin in what the one before it on the same connection has left behind.
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            log.info("client_went_away", method=scope["method"], path=scope["path"])
        except Exception as error:
            log.exception("request_failed", method=scope["method"], path=scope["path"])
            if status is not None:
                # The answer's head is out, so the status cannot change: break off, so that the client sees a cut.
                raise
            await problem_response(as_request_error(error), request_id=request_id)(scope, receive, send_with_id)
        finally:
            quiet = scope["path"] in QUIET_PATHS and status == 200
            (log.debug if quiet else log.info)(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                seconds=round(time.perf_counter() - started, 4),
            )
