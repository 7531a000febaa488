"""Waiting for a job, without the waiting: decides when to ask again, and when to give up. Does no I/O."""

from collections.abc import Callable
from time import monotonic

from retint.calls import Call, get_job
from retint.connection import LONG_POLL_SECONDS
from retint.errors import ConnectionFailed, JobCanceled, JobFailed, RetintError, ServerError, Unavailable, WaitTimedOut
from retint.models import Job

PAUSE_SECONDS = 0.5
"""Least time between two questions, for servers that answer at once."""
OUTAGE_SECONDS = 300.0
"""How long a server may be away, as while it restarts, before waiting for it ends."""
LONGEST_PAUSE_SECONDS = 15.0


class Poll:
    """One wait. Ask, then tell `answered` or `failed`; each returns the seconds to sleep before asking again."""

    def __init__(
        self,
        job_id: str,
        *,
        timeout: float | None,
        on_progress: Callable[[Job], None] | None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._job_id = job_id
        self._timeout = timeout
        self._on_progress = on_progress
        self._clock = clock
        self._started = self._asked = clock()
        self._away_since: float | None = None
        self._failures = 0
        self._last: Job | None = None

    def ask(self) -> Call[Job]:
        """The next call. The first is answered at once, so that progress shows at once."""
        self._asked = self._clock()
        if self._last is None:
            return get_job(self._job_id)
        return get_job(self._job_id, wait=max(1, int(min(LONG_POLL_SECONDS, self._left()))))

    def answered(self, job: Job) -> float | None:
        """None: the job has succeeded.

        Raises:
            JobFailed, JobCanceled: it ended otherwise.
            WaitTimedOut: the time is over.
        """
        self._away_since, self._failures = None, 0
        if self._on_progress is not None and job != self._last:
            self._on_progress(job)
        self._last = job
        if job.status == "failed":
            raise JobFailed(job)
        if job.status == "canceled":
            raise JobCanceled(job)
        if job.finished:
            return None
        elapsed = self._clock() - self._asked
        return self._pause(PAUSE_SECONDS - elapsed)

    def failed(self, error: RetintError) -> float:
        """An outage is sat out, longer each time, as the server asks where it does.

        Raises:
            RetintError: `error` itself, where asking again cannot help or the outage lasts too long.
            WaitTimedOut: the time is over.
        """
        if not isinstance(error, ConnectionFailed | Unavailable) and not _is_internal(error):
            raise error
        now = self._clock()
        self._away_since = now if self._away_since is None else self._away_since
        if now - self._away_since > OUTAGE_SECONDS:
            raise error
        self._failures += 1
        asked = error.retry_after if isinstance(error, Unavailable) else None
        pause = asked if asked is not None else PAUSE_SECONDS * 2.0 ** min(self._failures - 1, 10)
        return self._pause(min(pause, LONGEST_PAUSE_SECONDS))

    def _left(self) -> float:
        if self._timeout is None:
            return float("inf")
        return self._started + self._timeout - self._clock()

    def _pause(self, seconds: float) -> float:
        left = self._left()
        if left <= 0:
            assert self._timeout is not None
            raise WaitTimedOut(self._job_id, seconds=self._timeout)
        return max(0.0, min(seconds, left))


def _is_internal(error: RetintError) -> bool:
    """A 500 may be one bad moment of the server; a foreign answer is a wrong address."""
    return isinstance(error, ServerError) and error.status == 500
