"""What a call sends, read from disk as it is sent."""

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial

import httpx

from retint.threads import in_thread


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """Serves both of httpx's clients; each loop starts anew. Beside an event loop it is read in threads."""

    def __init__(
        self,
        pieces: Callable[[], Iterator[bytes]],
        *,
        length: int,
        content_type: str,
        on_sent: Callable[[int], None] | None = None,
    ) -> None:
        """`length`: bytes in all; `on_sent` is called with how many of them were taken so far."""
        self._pieces = pieces
        self._on_sent = on_sent
        self.headers = {"Content-Type": content_type, "Content-Length": str(length)}

    def __iter__(self) -> Iterator[bytes]:
        sent = 0
        for piece in self._pieces():
            yield piece
            sent += len(piece)
            self._tell(sent)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        sent = 0
        pieces = self._pieces()
        while (piece := await in_thread(partial(next, pieces, None))) is not None:
            yield piece
            sent += len(piece)
            self._tell(sent)

    def _tell(self, sent: int) -> None:
        if self._on_sent is not None:
            self._on_sent(sent)
