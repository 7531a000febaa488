"""The end of the server: calls that it cuts are told so, and their last answers are waited for."""

import asyncio

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs.errors import NotReady
from service.problems import problem_response, request_id_of
from service.under_way import UnderWay

RETRY_SECONDS = 5

log = structlog.stdlib.get_logger("retint.api")


class CallsUnderWay(UnderWay):
    """Those of one server."""

    def __init__(self) -> None:
        super().__init__()
        self.stopping = False
        """Whether the server was told to stop."""

    def stop(self) -> None:
        self.stopping = True


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
