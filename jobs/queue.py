"""The queue that workers take jobs from: RQ, with ids alone and JSON instead of pickle."""

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import cast

from redis import Redis
from redis.exceptions import LockError
from rq import Queue, Retry, Worker
from rq.command import send_stop_job_command
from rq.exceptions import DuplicateJobError, InvalidJobOperation, NoSuchJobError
from rq.job import Job as QueuedJob
from rq.job import JobStatus
from rq.timeouts import TimerDeathPenalty

from jobs.settings import Settings

FUNCTION = "worker.execution.run"
"""By name, since this room never imports the worker."""
SERIALIZER = "json"
JOB_TIMEOUT_SECONDS = 30 * 24 * 3600
"""Only a last resort: the worker derives a deadline from the video and keeps it itself."""
RESULT_TTL_SECONDS = 60
FAILURE_TTL_SECONDS = 3600
_ALIVE = (JobStatus.QUEUED, JobStatus.STARTED, JobStatus.SCHEDULED, JobStatus.DEFERRED)


class JobQueue:
    """Raises one of `jobs.connection.REDIS_AWAY` where Redis cannot serve."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._retries = settings.retries
        # Timer, not signal: the API and its housekeeping use the queue outside the main thread.
        self._queue = Queue(
            settings.queue_name, connection=redis, serializer=SERIALIZER, death_penalty_class=TimerDeathPenalty
        )

    def enqueue(self, job_id: str) -> None:
        """Put the job at the end; nothing happens where it is in the queue or being worked on."""
        try:
            self._queue.enqueue_call(
                FUNCTION,
                args=(job_id,),
                job_id=job_id,
                unique=True,
                timeout=JOB_TIMEOUT_SECONDS,
                result_ttl=RESULT_TTL_SECONDS,
                failure_ttl=FAILURE_TTL_SECONDS,
                # A raising job never reaches RQ (worker.execution answers for it), so only lost workers are retried.
                retry=Retry(max=self._retries) if self._retries else None,
                description=f"colorize {job_id}",
            )
        except DuplicateJobError:
            return

    def waiting_ids(self) -> list[str]:
        """The jobs that wait, the next one first."""
        return self._queue.get_job_ids()

    def length(self) -> int:
        """How many jobs wait."""
        return len(self._queue)

    def stop(self, job_id: str) -> None:
        """Take a waiting job out, or have a running one killed; nothing happens where it is neither.

        A job caught between waiting and running is stopped by its record: no execution can claim an ended job.
        """
        queued = self._fetch(job_id)
        if queued is None:
            return
        try:
            if queued.worker_name and queued.get_status(refresh=False) == JobStatus.STARTED:
                send_stop_job_command(self._redis, job_id, serializer=SERIALIZER)
            elif queued.get_status(refresh=False) in _ALIVE:
                queued.delete()
        except (InvalidJobOperation, NoSuchJobError):
            return

    def is_alive(self, job_id: str) -> bool:
        """Whether the job waits, runs, or will be tried again."""
        queued = self._fetch(job_id)
        if queued is not None and queued.get_status(refresh=False) in _ALIVE:
            return True
        # RQ's word on a job is the last that any of its executions gave; what is being worked on stands by itself.
        running = self._redis.zrangebyscore(self._queue.started_job_registry.key, time.time(), "+inf")
        return any(entry.startswith(f"{job_id}:".encode()) for entry in cast("list[bytes]", running))

    def is_known(self, job_id: str) -> bool:
        """Whether the queue still remembers the job, alive or not."""
        return QueuedJob.exists(job_id, connection=self._redis)

    def recover_abandoned(self) -> None:
        """Queue the jobs of dead workers again, or give them up where they have no retries left.

        The API and the workers do this; the lock keeps two from queueing a job twice. RQ's own lock would outlive its
        holder by 15 minutes.
        """
        lock = self._redis.lock(f"{self._queue.name}:recovering", timeout=30, blocking=False)
        if lock.acquire():
            try:
                self._queue.started_job_registry.cleanup()
            finally:
                with suppress(LockError):
                    lock.release()

    def worker_count(self) -> int:
        """Workers whose heart beats."""
        keys = Worker.all_keys(queue=self._queue)
        return int(self._redis.exists(*keys)) if keys else 0

    def has_worker_on(self, host: str) -> bool:
        """Whether the heart of a worker on that machine, or in that container, beats."""
        hosts = (self._redis.hget(key, "hostname") for key in Worker.all_keys(queue=self._queue))
        return host.encode() in cast("Iterator[bytes | None]", hosts)

    def ping(self) -> bool:
        return bool(self._redis.ping())

    def _fetch(self, job_id: str) -> QueuedJob | None:
        try:
            return QueuedJob.fetch(job_id, connection=self._redis, serializer=SERIALIZER)
        except NoSuchJobError:
            return None
