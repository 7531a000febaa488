"""Waiting for a job, without the waiting: decides when to ask again, and when to give up."""

from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Generic, TypeVar

from retint.calls import Call, Kind
from retint.connection import LONG_POLL_SECONDS
from retint.conversation import Pause, Steps, Tell, ask
from retint.errors import JobCanceled, JobFailed, RetintError, WaitTimedOut
from retint.models import Task
from retint.outage import Outage

R = TypeVar("R", bound=Task)

PAUSE_SECONDS = 0.5
"""Least time between two questions, for servers that answer at once."""


def wait_for(poll: "Poll[R]", *, on_progress: Callable[[R], None] | None) -> Steps[R]:
    """Ask until it has succeeded, and tell whenever it has changed; raises as `Poll` does."""
    last: R | None = None
    while True:
        try:
            record = yield from ask(poll.ask())
        except RetintError as error:
            yield Pause(poll.failed(error))
            continue
        if on_progress is not None and record != last:
            yield Tell(partial(on_progress, record))
        last = record
        pause = poll.answered(record)
        if pause is None:
            return record
        yield Pause(pause)


class Poll(Generic[R]):
    """One wait. Ask, then tell `answered` or `failed`; each returns the seconds to sleep before asking again."""

    def __init__(
        self,
        kind: Kind[R],
        record_id: str,
        *,
        timeout: float | None,
        patience: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._kind = kind
        self._record_id = record_id
        self._timeout = timeout
        self._clock = clock
        self._outage = Outage(patience=patience, clock=clock)
        self._started = self._asked = clock()
        self._first = True

    def ask(self) -> Call[R]:
        """The next call. The first is answered at once, so that progress shows at once."""
        self._asked = self._clock()
        if self._first:
            return self._kind.get(self._record_id)
        return self._kind.get(self._record_id, wait=max(1, int(min(LONG_POLL_SECONDS, self._left()))))

    def answered(self, record: R) -> float | None:
        """None: it has succeeded.

        Raises:
            JobFailed, JobCanceled: it ended otherwise.
            WaitTimedOut: the time is over.
        """
        self._outage.over()
        self._first = False
        if record.status == "failed":
            raise JobFailed(record)
        if record.status == "canceled":
            raise JobCanceled(record)
        if record.finished:
            return None
        elapsed = self._clock() - self._asked
        return self._pause(PAUSE_SECONDS - elapsed)

    def failed(self, error: RetintError) -> float:
        """Raises:
        RetintError: `error` itself; see `Outage.failed`.
        WaitTimedOut: the time is over.
        """
        return self._pause(self._outage.failed(error))

    def _left(self) -> float:
        if self._timeout is None:
            return float("inf")
        return self._started + self._timeout - self._clock()

    def _pause(self, seconds: float) -> float:
        left = self._left()
        if left <= 0:
            assert self._timeout is not None
            raise WaitTimedOut(self._record_id, seconds=self._timeout)
        return max(0.0, min(seconds, left))
