"""The end of the server: calls that it cuts are told so, and their last answers are waited for."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs.errors import NotReady
from service.problems import problem_response, request_id_of

RETRY_SECONDS = 5

log = structlog.stdlib.get_logger("retint.api")


class CallsUnderWay:
    """Counts the calls of one server.

    Uvicorn cancels what runs too long while it stops, and ends without waiting for what the cancellation sets off.
    """

    def __init__(self) -> None:
        self._count = 0
        self.stopping = False
        """Whether the server was told to stop."""

    def stop(self) -> None:
        self.stopping = True

    @contextmanager
    def one(self) -> Iterator[None]:
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1

    async def ended(self, *, seconds: float) -> None:
        """Return when none is left, or after so many seconds."""
        with anyio.move_on_after(seconds):
            while self._count > 0:
                await anyio.sleep(0.02)


class CountCalls:
    """ASGI middleware. Place it around all others: a call ends when its answer is on its way."""

    def __init__(self, app: ASGIApp, *, calls: CallsUnderWay) -> None:
        self._app = app
        self._calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._calls.one():
            await self._app(scope, receive, send)


class AnswerCutCalls:
    """ASGI middleware. Place it inside of the request log. An answer that has begun breaks off."""

    def __init__(self, app: ASGIApp, *, calls: CallsUnderWay) -> None:
        self._app = app
        self._calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def send_and_note(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except asyncio.CancelledError:
            if scope["type"] != "http" or not self._calls.stopping:
                raise
            log.warning("call_cut", method=scope["method"], path=scope["path"])
            if not begun:
                error = NotReady(
                    "The server stops, and gave this call up in the middle. Send it again in a few seconds.",
                    retry_after=RETRY_SECONDS,
                )
                await problem_response(error, request_id=request_id_of(Request(scope)))(scope, receive, send)
