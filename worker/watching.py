"""Looks whether an execution's work is still its own, and ends a process that does not hear it; beside the work, in a
thread, so that neither waits for Redis."""

import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

import structlog

from jobs.connection import REDIS_AWAY
from jobs.errors import JobCanceled, RetintError, TimedOut

TICK_SECONDS = 0.25
"""Four writes a second at most, however often the pipeline speaks; and as old as `check` may be."""
PATIENCE_SECONDS = 1.5
"""For the pipeline to reach `check` once the work is not its own any more."""
UNWINDING_SECONDS = 10.0
"""For it to leave, once it has been told."""
DEADLINE_PATIENCE_SECONDS = 60.0

log = structlog.stdlib.get_logger("retint.worker")


def kill_this_process() -> None:
    """Without farewell: whatever hangs must not hold it up. The worker that forked it cleans up."""
    os.kill(os.getpid(), signal.SIGKILL)


class Watch(ABC):
    """As a context manager it runs a thread that ticks four times a second.

    What is told is left behind for the thread; where Redis is away for a while, the work goes on and the news are
    written later.
    """

    def __init__(
        self, *, job_id: str, seconds_allowed: float, clock: Callable[[], float], kill: Callable[[], None]
    ) -> None:
        self._job_id = job_id
        self._clock = clock
        self._kill = kill
        self._lock = threading.Lock()
        self._started = clock()
        self._deadline = self._started + seconds_allowed
        self._verdict: RetintError | None = None
        self._verdict_at = 0.0
        self._told = False
        self._redis_away = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    @abstractmethod
    def _speak(self, now: float) -> bool:
        """Write what there is to say, if there is something; whether the work is still this execution's."""

    @abstractmethod
    def _fail(self, failure: TimedOut) -> None:
        """End the job for a process that does not do it by itself."""

    def check(self) -> None:
        """Called by the work, once per frame at least.

        Raises:
            JobCanceled, TimedOut: it is to stop.
        """
        if self._verdict is not None:
            self._told = True
            raise self._verdict

    def tick(self) -> None:
        """Write the news, look whether the work is still this execution's, and end the process where it hangs."""
        now = self._clock()
        try:
            owned = self._speak(now)
            self._redis_away = False
        except REDIS_AWAY as error:
            if not self._redis_away:
                log.warning("redis_away", job_id=self._job_id, cause=str(error))
            self._redis_away, owned = True, True
        if self._verdict is None:
            self._judge(now, owned=owned)
        elif self._is_hung(now):
            self._end_hung_process()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        if error is not None and self._verdict is None:
            # What fails at once does so between two ticks, and the record is to say in which phase.
            with suppress(*REDIS_AWAY):
                self._speak(self._clock())

    def _run(self) -> None:
        stumbled = False
        while not self._stopping.wait(TICK_SECONDS):
            try:
                self.tick()
                stumbled = False
            except Exception:
                # Without this thread a job has no progress, no end and no deadline. Said once, not four times a second.
                if not stumbled:
                    log.exception("observer_stumbled", job_id=self._job_id)
                stumbled = True

    def _judge(self, now: float, *, owned: bool) -> None:
        if not owned:
            self._verdict = JobCanceled("The job was canceled, or another execution has taken it over.")
        elif now > self._deadline:
            hours = (self._deadline - self._started) / 3600
            self._verdict = TimedOut(
                f"The job was stopped after {hours:.1f} hours, far more than its video should need. "
                "Submit it in parts, or with a smaller `working_size`."
            )
        self._verdict_at = now

    def _is_hung(self, now: float) -> bool:
        since = now - self._verdict_at
        if isinstance(self._verdict, TimedOut):
            return since > DEADLINE_PATIENCE_SECONDS
        return since > (UNWINDING_SECONDS if self._told else PATIENCE_SECONDS)

    def _end_hung_process(self) -> None:
        log.warning("execution_hangs", job_id=self._job_id, verdict=str(self._verdict))
        if isinstance(self._verdict, TimedOut):
            try:
                self._fail(self._verdict)
            except REDIS_AWAY as error:
                # The next tick says it again: killed without a word, the job would only be retried.
                log.warning("redis_away", job_id=self._job_id, cause=str(error))
                return
        self._kill()
