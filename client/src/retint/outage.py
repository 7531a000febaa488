"""Sitting out the time in which a server is away, as while it restarts, or has no room. Does no I/O."""

from collections.abc import Callable, Collection
from time import monotonic

from retint.errors import APIError, ConnectionFailed, RetintError, ServerError, Unavailable

PATIENCE_SECONDS = 300.0
PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0


class Outage:
    """What went wrong in a row since something last went well."""

    def __init__(self, *, patience: float, clock: Callable[[], float] = monotonic) -> None:
        """`patience`: seconds that a row of failures may last."""
        self._patience = patience
        self._clock = clock
        self._since: float | None = None
        self._failures = 0

    def over(self) -> None:
        """Something went well."""
        self._since, self._failures = None, 0

    def failed(self, error: RetintError, *, passing: Collection[str] = ()) -> float:
        """The seconds to wait before asking again: longer each time, or as the server asks.

        `passing` are codes of problems that are over soon, beside those that always may be.

        Raises:
            RetintError: `error` itself, where asking again cannot help, or not within the patience.
        """
        if not (_may_pass(error) or (isinstance(error, APIError) and error.code in passing)):
            raise error
        now = self._clock()
        self._since = now if self._since is None else self._since
        self._failures += 1
        asked = error.retry_after if isinstance(error, APIError) else None
        own = min(PAUSE_SECONDS * 2.0 ** min(self._failures - 1, 10), LONGEST_PAUSE_SECONDS)
        pause = own if asked is None else asked
        if now + pause > self._since + self._patience:
            raise error
        return pause


def _may_pass(error: RetintError) -> bool:
    """A 500 may be one bad moment of the server; other answers of its kind, as of a wrong address, stay."""
    if isinstance(error, ConnectionFailed):
        return error.transient
    return isinstance(error, Unavailable) or (isinstance(error, ServerError) and error.status == 500)
