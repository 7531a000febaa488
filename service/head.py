"""HEAD wherever GET is (RFC 9110, section 9.3.2), without a route and a place in the description for each."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import takes


class AnswerHead:
    """ASGI middleware: HEAD is answered as GET, but for the content, where the path has no HEAD of its own.

    Place it inside of all others, so that they see the method that was sent.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] == "http" and scope["method"] == "HEAD"
        if not asked or takes("HEAD", scope=scope) or not takes("GET", scope=scope):
            await self._app(scope, receive, send)
            return

        async def send_without_content(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        as_get = {**scope, "method": "GET"}
        try:
            await self._app(as_get, receive, send_without_content)
        finally:
            # What counts calls by their route looks there.
            scope["route"] = as_get.get("route")
