"""A layer around the app where no key is asked for and loopback is listened on: answers to this machine's names alone.

Whoever reads a page in a browser on this machine lets it call `http://its-own-name:8000`, and its owner can have that
name lead to 127.0.0.1 (DNS rebinding). To the browser that is a call within one site, so that no `Sec-Fetch-Site` warns
and the page may read what comes back; but the name stands in `Host`, which no script can set.
"""

import re

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from jobs.errors import MisdirectedRequest
from service.auth import is_loopback
from service.problems import problem_response, request_id_of

NAME_AND_PORT = re.compile(r"(\[[^\[\]]*\]|[^:]*)(:[0-9]*)?")


class OwnHost:
    """ASGI middleware. Without `Host` (HTTP/1.0, as some health checks speak it) a call comes from no browser."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        foreign = None
        if scope["type"] == "http":
            foreign = next((host for host in Headers(scope=scope).getlist("host") if not is_own(host)), None)
        if foreign is None:
            await self._app(scope, receive, send)
            return
        error = MisdirectedRequest(
            f"The call's Host is {foreign[:100]!r}. This server asks for no key, so it answers to localhost, 127.0.0.1 "
            "and [::1] alone, lest a page of the web reach it. Use one of these; behind a proxy with a name of its own "
            "have the server ask for keys: RETINT_AUTH=on."
        )
        await problem_response(error, request_id=request_id_of(Request(scope)))(scope, receive, send)


def is_own(host: str) -> bool:
    """Whether the value of a `Host` names this machine, on whatever port."""
    found = NAME_AND_PORT.fullmatch(host)
    return found is not None and is_loopback(found[1].lower())
