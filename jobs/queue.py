"""The queue that workers take jobs from: RQ, with ids alone and JSON instead of pickle.

A job is an entry of its own, under its id, while it is planned and again when it is put together; in between each of
its pieces is one. Not RQ's dependencies do the waiting: what is through is known by `jobs.pieces`, and `jobs.dispatch`
puts in what can be done now, after every piece and every few seconds. An entry that Redis lost, or one whose end nobody
heard of, is put in again then, where a dependent of RQ's would wait for ever; and a long film has but a few entries in
the queue at a time, so that other jobs get their turn.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, cast

import structlog
from redis import Redis
from redis.exceptions import LockError
from rq import Queue, Retry, Worker
from rq.command import send_stop_job_command
from rq.exceptions import DuplicateJobError, InvalidJobOperation, NoSuchJobError
from rq.job import Job as QueuedJob
from rq.job import JobStatus
from rq.timeouts import TimerDeathPenalty

from jobs.record_keys import RecordKeys
from jobs.settings import Settings

FUNCTION = "worker.execution.run"
"""By name, since this room never imports the worker."""
PIECE_FUNCTION = "worker.execution.run_piece"
SERIALIZER = "json"
JOB_TIMEOUT_SECONDS = 30 * 24 * 3600
"""Only a last resort: the worker derives a deadline from the video and keeps it itself."""
RESULT_TTL_SECONDS = 60
FAILURE_TTL_SECONDS = 3600
_ALIVE = (JobStatus.QUEUED, JobStatus.STARTED, JobStatus.SCHEDULED, JobStatus.DEFERRED)

log = structlog.stdlib.get_logger("retint.jobs")


class JobQueue:
    """Raises one of `jobs.connection.REDIS_AWAY` where Redis cannot serve."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._retries = settings.retries
        # Timer, not signal: the API and its housekeeping use the queue outside the main thread.
        self._queue = Queue(
            settings.queue_name, connection=redis, serializer=SERIALIZER, death_penalty_class=TimerDeathPenalty
        )

    def enqueue(self, job_id: str, *, first: bool = False) -> None:
        """Put the job at the end, or before all that wait; nothing happens where it is in the queue or being worked
        on."""
        self._put(job_id, FUNCTION, (job_id,), first=first)

    def enqueue_piece(self, job_id: str, number: int) -> None:
        """Put a piece of a job at the end; nothing happens where it is in the queue or being worked on."""
        # First noted, then put in: whoever stops the job finds all that there are.
        self._redis.sadd(self._pieces(job_id), number)
        self._put(piece_entry(job_id, number), PIECE_FUNCTION, (job_id, number))

    def pieces_in_queue(self, job_id: str) -> set[int]:
        """Pieces that were put in and may wait or be worked on still."""
        members = cast("set[bytes]", self._redis.smembers(self._pieces(job_id)))
        return {int(member) for member in members}

    def forget_piece(self, job_id: str, number: int) -> None:
        """A piece has ended."""
        self._redis.srem(self._pieces(job_id), number)

    def _put(self, entry: str, function: str, args: tuple[str | int, ...], *, first: bool = False) -> None:
        # One at a time: of two that find a former entry done with, the second would take away the first one's new one.
        lock = self._redis.lock(f"{self._queue.name}:putting:{entry}", timeout=30, blocking_timeout=10)
        if not lock.acquire():
            return
        try:
            if not self.is_alive(entry):
                self._put_anew(entry, function, args, first=first)
        finally:
            with suppress(LockError):
                lock.release()

    def _put_anew(self, entry: str, function: str, args: tuple[str | int, ...], *, first: bool) -> None:
        former = self._fetch(entry)
        if former is not None:
            self._delete(former)
        else:
            # A worker that was just beginning what was taken out has written into it, and RQ would call it a duplicate.
            self._redis.delete(QueuedJob.key_for(entry))
        with suppress(DuplicateJobError):
            self._queue.enqueue_call(
                function,
                args=args,
                job_id=entry,
                unique=True,
                at_front=first,
                timeout=JOB_TIMEOUT_SECONDS,
                result_ttl=RESULT_TTL_SECONDS,
                failure_ttl=FAILURE_TTL_SECONDS,
                # A raising job never reaches RQ (worker.execution answers for it), so only lost workers are retried.
                retry=Retry(max=self._retries) if self._retries else None,
                description=f"colorize {entry}",
            )

    def waiting_ids(self) -> list[str]:
        """The jobs that wait, the next one first."""
        return self._queue.get_job_ids()

    def length(self) -> int:
        """How many jobs wait."""
        return len(self._queue)

    def stop(self, job_id: str) -> None:
        """Take a waiting job out with its pieces, or have them killed where they run; nothing happens where nothing is.

        What is caught between waiting and running is stopped by the record: no execution can claim an ended job.
        """
        for number in self.pieces_in_queue(job_id):
            self._stop(piece_entry(job_id, number))
        self._redis.delete(self._pieces(job_id))
        self._stop(job_id)

    def _stop(self, entry: str) -> None:
        queued = self._fetch(entry)
        if queued is None:
            return
        try:
            if queued.worker_name and queued.get_status(refresh=False) == JobStatus.STARTED:
                send_stop_job_command(self._redis, entry, serializer=SERIALIZER)
            elif queued.get_status(refresh=False) in _ALIVE:
                self._delete(queued)
        except (InvalidJobOperation, NoSuchJobError):
            return

    def is_alive(self, entry: str) -> bool:
        """Whether a job, or a piece, waits, runs, or will be tried again."""
        queued = self._fetch(entry)
        if queued is not None and queued.get_status(refresh=False) in _ALIVE:
            return True
        # RQ's word on a job is the last that any of its executions gave; what is being worked on stands by itself.
        running = self._redis.zrangebyscore(self._queue.started_job_registry.key, time.time(), "+inf")
        return any(one.startswith(f"{entry}:".encode()) for one in cast("list[bytes]", running))

    def is_lost(self, entry: str) -> bool:
        """Whether the workers of a job, or of a piece, died on every try."""
        queued = self._fetch(entry)
        return queued is not None and queued.get_status(refresh=False) == JobStatus.FAILED

    def forget_lost(self, job_id: str, numbers: Iterable[int]) -> None:
        """Let a job and its pieces be tried as if they never had been."""
        for entry in (job_id, *(piece_entry(job_id, number) for number in numbers)):
            if self.is_lost(entry):
                queued = self._fetch(entry)
                if queued is not None:
                    self._delete(queued)

    def recover_abandoned(self) -> None:
        """Queue the jobs of dead workers again, or give them up where they have no retries left.

        The API and the workers do this; the lock keeps two from queueing a job twice. RQ's own lock would outlive its
        holder by 15 minutes.
        """
        lock = self._redis.lock(f"{self._queue.name}:recovering", timeout=30, blocking=False)
        if lock.acquire():
            try:
                self._queue.started_job_registry.cleanup(exception_handlers=[_tell_of_abandoned])
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

    def _pieces(self, job_id: str) -> str:
        return RecordKeys(self._queue.name).pieces_in_queue(job_id)

    def _delete(self, queued: QueuedJob) -> None:
        try:
            queued.delete()
        except ValueError:
            # Of a worker that died an execution is listed longer than its record lives; RQ stumbles over that.
            self._redis.delete(queued.execution_registry.key)
            queued.delete()

    def _fetch(self, entry: str) -> QueuedJob | None:
        try:
            return QueuedJob.fetch(entry, connection=self._redis, serializer=SERIALIZER)
        except NoSuchJobError:
            return None


def piece_entry(job_id: str, number: int) -> str:
    """The id of a piece in the queue."""
    return f"{job_id}-{number}"


def _tell_of_abandoned(queued: QueuedJob, *_: object) -> None:
    """A worker that was killed outright, or its machine with it, says nothing any more."""
    job_id, *piece = cast("list[Any]", queued.args)
    about = {"job_id": job_id, **({"piece": str(piece[0])} if piece else {})}
    log.warning("execution_abandoned", worker=queued.worker_name, cause="its worker died, or was silent", **about)
