"""Hands a request's body over in constant memory."""

from collections.abc import AsyncIterator, Callable

import anyio
from anyio import to_thread
from starlette.requests import ClientDisconnect, Request

from jobs.errors import UnsupportedMediaType, UploadIncomplete

CHUNK_BYTES = 1024 * 1024
"""Bytes handed to a thread at once: few enough to forget, many enough that the hand-over costs nothing."""
IDLE_SECONDS = 60.0
"""How long a client may send nothing before its upload is given up."""


async def pump(request: Request, write: Callable[[bytes], None], *, kept: str) -> None:
    """Call `write` in a thread with the body's chunks, the next only when the last is written: the client waits, not
    the memory. What came before the body broke off, or the call was canceled, is written too.

    `kept` is the sentence for a user whose upload breaks off: what became of what had come.

    Raises:
        UploadIncomplete: the connection ended, or nothing came for `IDLE_SECONDS`.
    """
    pending = bytearray()
    try:
        async for piece in _pieces(request, kept=kept):
            pending += piece
            if len(pending) >= CHUNK_BYTES:
                chunk = bytes(pending)
                pending.clear()
                await to_thread.run_sync(write, chunk)
    finally:
        if pending:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(write, bytes(pending))


async def _pieces(request: Request, *, kept: str) -> AsyncIterator[bytes]:
    stream = aiter(request.stream())
    try:
        while True:
            with anyio.fail_after(IDLE_SECONDS):
                piece = await anext(stream, None)
            if piece is None:
                return
            yield piece
    except ClientDisconnect as error:
        raise UploadIncomplete(f"The connection ended in the middle of the upload. {kept}") from error
    except TimeoutError as error:
        raise UploadIncomplete(
            f"No data came for {IDLE_SECONDS:.0f} seconds in the middle of the upload. {kept}"
        ) from error


async def require_plain_body(request: Request) -> None:
    """Dependency of the calls that read a body.

    Raises:
        UnsupportedMediaType: the body is compressed as a whole; stored as it is, it would be no film.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType(
            f"The body comes with the content encoding {encoding[:64]}; send it as it is, without `Content-Encoding`."
        )


def declared_length(request: Request) -> int:
    """`Content-Length`, or 0 where the body comes in chunks; only a first look, as the bytes are counted anyway."""
    value = request.headers.get("content-length", "0")
    return int(value) if value.isdecimal() and len(value) < 20 else 0
