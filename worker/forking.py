"""RQ's worker, told how long a silence means death, what to clean up after a killed execution, and to survive Redis."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import redis.exceptions
import structlog
from rq import Worker, worker_registration

from jobs.errors import WorkerLost
from jobs.housekeeping import WORKER_LOST_DETAIL
from jobs.process import die_with_parent
from jobs.queue import SERIALIZER, JobQueue
from jobs.record import TERMINAL_STATUSES
from worker.execution import ASSIGNMENT, Assignment, Workplace

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline
    from rq import Queue
    from rq.executions import Execution
    from rq.job import Job

HEARTBEAT_SECONDS = 5
SILENCE_SECONDS = 25
"""After it a worker is held for dead: five beats missed. RQ's own rules would wait a minute more."""
MAINTENANCE_SECONDS = 15

_REDIS_AWAY = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)
log = structlog.stdlib.get_logger("retint.worker")


class ForkingWorker(Worker):
    """Takes one job at a time and forks a process for it, which dies with the worker."""

    def __init__(
        self,
        queue_names: Sequence[str],
        *,
        connection: Redis,
        queue: JobQueue,
        workplace: Workplace,
        on_heartbeat: Callable[[], None],
    ) -> None:
        self._jobs = queue
        self._workplace = workplace
        self._on_heartbeat = on_heartbeat
        super().__init__(
            list(queue_names),
            connection=connection,
            serializer=SERIALIZER,
            worker_ttl=SILENCE_SECONDS,
            job_monitoring_interval=HEARTBEAT_SECONDS,
            maintenance_interval=MAINTENANCE_SECONDS,
            log_job_description=False,
        )

    @property
    def is_stopping(self) -> bool:
        """Whether a signal asked the worker to stop."""
        return self._shutdown_requested_date is not None

    # The process of an execution

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        die_with_parent(signal.SIGKILL, parent_pid=self.pid)
        super().main_work_horse(job, queue)

    def perform_job(self, job: Job, queue: Queue, execution: Execution) -> bool:
        ASSIGNMENT.set(Assignment(execution_id=execution.id, workplace=self._workplace))
        return super().perform_job(job, queue, execution)

    # After it died

    def handle_job_failure(
        self,
        job: Job,
        queue: Queue,
        started_job_registry: Any = None,
        exc_string: str = "",
        execution: Execution | None = None,
    ) -> None:
        """An execution died, by our hand or another's: free its files, and try again where that can help."""
        stopped = self._stopped_job_id == job.id
        status, _ = self._workplace.repository.status(job.id)
        if status is None or status in TERMINAL_STATUSES:
            # Canceled, out of time, or deleted: nothing is left to try.
            job.retries_left = 0
        retried = bool(job.should_retry) and not stopped
        if execution is not None:
            self._workplace.store.discard_execution(job.id, execution.id)
        if execution is not None and retried:
            self._workplace.repository.release(job.id, execution.id)
        super().handle_job_failure(job, queue, started_job_registry, exc_string, execution)
        if not retried and not stopped:
            owner = execution.id if execution is not None else None
            self._workplace.repository.fail(job.id, owner, WorkerLost(WORKER_LOST_DETAIL))
        log.warning("execution_died", job_id=job.id, stopped=stopped, tried_again=retried)

    # Signs of life

    @property
    def dequeue_timeout(self) -> int:
        """The worker beats each time that waiting for a job ends."""
        return HEARTBEAT_SECONDS

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:  # noqa: ARG002
        return SILENCE_SECONDS

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:  # noqa: ARG002
        super().heartbeat(SILENCE_SECONDS, pipeline)
        if pipeline is None:
            self._register_again()
            self._on_heartbeat()

    def maintain_heartbeats(self, job: Job, execution: Execution) -> None:
        """RQ's own would give up the worker, and with it the job, where Redis is away for a moment."""
        try:
            super().maintain_heartbeats(job, execution)
            self._register_again()
            self._on_heartbeat()
        except _REDIS_AWAY as error:
            log.warning("redis_away", job_id=job.id, cause=str(error))

    def _register_again(self) -> None:
        """A worker whose key ran out while Redis was away was taken off the list, and RQ would leave it off."""
        if not self.connection.sismember(self.redis_workers_keys, self.key):
            self.connection.hset(self.key, mapping=cast("Any", self.serialize()))
            worker_registration.register(self)

    # Jobs of other workers that died

    def clean_registries(self) -> None:
        self._jobs.recover_abandoned()
        for queue in self.queues:
            worker_registration.clean_worker_registry(queue)
            queue.intermediate_queue.cleanup(self, queue)
        self.last_cleaned_at = cast("Any", datetime.now(UTC))  # RQ types it as None


def work_until_stopped(make_worker: Callable[[], ForkingWorker]) -> None:
    """Work until a signal says stop: SIGTERM or SIGINT once lets the job at hand end, twice kills it.

    RQ's worker quits where Redis goes away at the wrong moment; a fresh one then takes over.
    """
    away = False
    while True:
        worker: ForkingWorker | None = None
        try:
            worker = make_worker()
            worker.work(logging_level="WARNING")
            away = False
        except _REDIS_AWAY as error:
            if not away:
                log.warning("redis_away", cause=str(error), pid=os.getpid())
            away = True
        if worker is not None and worker.is_stopping:
            return
        # The old worker's handlers would speak to a Redis that is away.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        time.sleep(1.0)
