"""What a server that stops still has in hand."""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio


class UnderWay:
    """Counts what is under way, so that a server that stops can wait for it.

    Uvicorn cancels what runs too long while it stops, and ends without waiting for what the cancellation sets off.
    """

    def __init__(self) -> None:
        self._count = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1

    async def ended(self, *, seconds: float) -> None:
        """Return when nothing is left, or after so many seconds."""
        with anyio.move_on_after(seconds):
            while self._count > 0:
                await anyio.sleep(0.02)
