"""Answers that are there before the call's body has come: a refused client stops sending.

Uvicorn by itself reads all that still comes and throws it away, gigabytes perhaps.
"""

import anyio
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.body import declared_length

SMALL_BYTES = 1024 * 1024
"""So much more is let in and thrown away, so that the connection can be used again."""
LINGER_SECONDS = 2.0
"""How long the answer may take to arrive: closed at once, with bytes unread, it may be lost (RFC 9112, section 9.6)."""
SIP_SECONDS = 0.05
"""Pause between the pieces that are thrown away meanwhile, so that they are few."""


class EarlyAnswers:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(scope, receive)
        closing = False

        async def send_early(message: Message) -> None:
            nonlocal closing
            if message["type"] == "http.response.start" and body.much_is_left:
                closing = True
                MutableHeaders(scope=message)["Connection"] = "close"
            if not closing or message["type"] != "http.response.body" or message.get("more_body", False):
                await send(message)
                return
            await send({**message, "more_body": True})
            await body.sip()
            await send({"type": "http.response.body", "body": b""})

        await self._app(scope, body.receive, send_early)


class _Body:
    """Counts what comes."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        request = Request(scope)
        self._receive = receive
        self._left = declared_length(request)
        self._chunked = "transfer-encoding" in request.headers
        self._ended = False

    @property
    def much_is_left(self) -> bool:
        return not self._ended and (self._chunked or self._left > SMALL_BYTES)

    async def receive(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        return message

    async def sip(self) -> None:
        """Wait for the client to stop, but not for long."""
        with anyio.move_on_after(LINGER_SECONDS):
            while not self._ended:
                await self.receive()
                await anyio.sleep(SIP_SECONDS)
