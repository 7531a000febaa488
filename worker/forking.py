"""RQ's worker, told how long a silence means death, what to clean up after a killed execution, and to survive Redis."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import structlog
from rq import Worker, worker_registration

from jobs.connection import REDIS_AWAY
from jobs.dispatch import WORKER_LOST_DETAIL, advance
from jobs.errors import WorkerLost
from jobs.log_context import log_lines_about
from jobs.process import die_with_parent
from jobs.queue import SERIALIZER, JobQueue
from jobs.record import TERMINAL_STATUSES
from jobs.uploads import drop_unwanted_input
from worker.media.decoder import use_decoder
from worker.media.decoding_process import DecodingProcesses
from worker.workplace import ASSIGNMENT, Assignment, Workplace

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline
    from rq import Queue
    from rq.executions import Execution
    from rq.job import Job
    from rq.registry import StartedJobRegistry

HEARTBEAT_SECONDS = 3
SILENCE_SECONDS = 12
"""After it a worker is held for dead: four beats missed, and as long as Redis may take to start again. The beating
process does nothing else, so a busy machine does not silence it. RQ's own rules would wait a minute more."""
MAINTENANCE_SECONDS = 3
"""How often an idle worker looks for the jobs of dead ones; a dozen small commands to Redis."""
SECOND_THOUGHT = timedelta(seconds=1)
"""Two signals closer together are one: a terminal and a supervisor may both have sent it."""

log = structlog.stdlib.get_logger("retint.worker")


class _Task(NamedTuple):
    """What an entry of the queue is for."""

    job_id: str
    piece: int | None


def _task_of(job: Job) -> _Task:
    job_id, *piece = cast("Sequence[Any]", job.args)
    return _Task(job_id, piece[0] if piece else None)


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
        self._handing_back = False
        self._exit_status: int | None = None
        self._task: _Task | None = None
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

    # Signals

    def handle_warm_shutdown_request(self) -> None:
        if self.horse_pid and self._task is not None:
            log.info("worker_stopping", job_id=self._task.job_id, then="its job goes on; stop again to end that")

    def request_force_stop(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """The second signal: give the job at hand back to the queue. RQ's own would leave it until it is missed."""
        if self._shutdown_requested_date is None or datetime.now(UTC) - self._shutdown_requested_date < SECOND_THOUGHT:
            return
        self._handing_back = True
        if self.horse_pid:
            # The main loop sees it die, and `handle_job_failure` does the rest.
            self.kill_horse()

    # The process of an execution

    def kill_horse(self, sig: signal.Signals = signal.SIGKILL) -> None:
        """End the process of the execution at hand, where it is there yet; what it has started dies with it.

        RQ's own kills its process group, which is the worker's, with all who share it, until the process has left it.
        """
        if self.horse_pid:
            with suppress(ProcessLookupError):
                os.kill(self.horse_pid, sig)

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        """Ends the process whatever happens: what is raised out of it would go on as a second worker in here."""
        try:
            die_with_parent(signal.SIGKILL, parent_pid=self.pid)
            if self._handing_back:
                os._exit(1)
            if self._workplace.confined:
                # Now, while there is no thread yet and the GPU is not used: what is forked here can be forked again.
                use_decoder(DecodingProcesses())
            super().main_work_horse(job, queue)
        except BaseException:
            log.exception("execution_not_started", job_id=_task_of(job).job_id)
        finally:
            os._exit(1)

    def execute_job(self, job: Job, queue: Queue) -> None:
        # A stop that came just as an execution ended by itself must not be taken for the cause of death of the next.
        self._stopped_job_id = None
        self._task = _task_of(job)
        super().execute_job(job, queue)

    def perform_job(self, job: Job, queue: Queue, execution: Execution) -> bool:
        ASSIGNMENT.set(Assignment(execution_id=execution.id, workplace=self._workplace))
        return super().perform_job(job, queue, execution)

    # After it ended

    def handle_job_success(
        self, job: Job, queue: Queue, started_job_registry: StartedJobRegistry, execution: Execution
    ) -> None:
        if self._is_given_up(job, execution):
            self._leave_to_others(job, execution)
        else:
            super().handle_job_success(job, queue, started_job_registry, execution)

    def handle_job_failure(
        self,
        job: Job,
        queue: Queue,
        started_job_registry: Any = None,
        exc_string: str = "",
        execution: Execution | None = None,
    ) -> None:
        """An execution died, by our hand or another's: free its files, and try again where that can help."""
        if execution is not None and self._is_given_up(job, execution):
            self._leave_to_others(job, execution)
            return
        task = _task_of(job)
        repository = self._workplace.repository
        status, _ = repository.status(task.job_id)
        stopped = self._stopped_job_id == job.id
        ended = status is None or status in TERMINAL_STATUSES
        handed_back = self._handing_back and not stopped and not ended
        if ended:
            # Canceled, out of time, or deleted: nothing is left to try.
            job.retries_left = 0
        elif handed_back:
            # Nothing is wrong with it, so that it costs no try; and it has waited for its turn already.
            job.retries_left = (job.retries_left or 0) + 1
            job.enqueue_at_front_on_retry = True
        retried = bool(job.should_retry) and not stopped
        if execution is not None:
            # Where it died so early that it had not taken the job off there itself.
            queue.intermediate_queue.remove(job.id)
            self._workplace.store.discard_execution(task.job_id, execution.id)
        if execution is not None and retried:
            if task.piece is None:
                repository.release(task.job_id, execution.id)
            else:
                repository.pieces.release(task.job_id, task.piece, execution.id)
        super().handle_job_failure(job, queue, started_job_registry, exc_string, execution)
        if not retried and not stopped:
            self._fail_as_lost(task, execution)
        drop_unwanted_input(task.job_id, repository=repository, store=self._workplace.store)
        with log_lines_about(task.job_id, repository):
            if handed_back:
                log.info("job_handed_back", cause="this worker stops")
            elif stopped or ended:
                log.info("execution_stopped", cause=f"the job is {status or 'deleted'}")
            else:
                log.warning("execution_died", exit_status=self._exit_status, tried_again=retried)

    def _fail_as_lost(self, task: _Task, execution: Execution | None) -> None:
        repository = self._workplace.repository
        if task.piece is not None:
            # It finds that the queue has given the piece up, and whether the job waits for it still.
            advance(task.job_id, repository=repository, queue=self._jobs)
            return
        owner = execution.id if execution is not None else None
        if repository.fail(task.job_id, owner, WorkerLost(WORKER_LOST_DETAIL)):
            self._jobs.stop(task.job_id)

    def handle_work_horse_killed(self, job: Job, retpid: int, ret_val: int | None, rusage: Any) -> None:  # noqa: ARG002
        """Keep how it died for our own line; negative: by which signal."""
        self._exit_status = None if ret_val is None else os.waitstatus_to_exitcode(ret_val)

    def _is_given_up(self, job: Job, execution: Execution) -> bool:
        """Whether the queue missed this worker's beats, held the execution for dead and has handed the job on.

        What RQ knows of the job is about another execution then, or about the job waiting for one.
        """
        return self.connection.zscore(job.started_job_registry.key, execution.composite_key) is None

    def _leave_to_others(self, job: Job, execution: Execution) -> None:
        """Clean up after an execution that was given up, and after nothing else."""
        if self._stopped_job_id == job.id:
            self._stopped_job_id = None
        job_id = _task_of(job).job_id
        self._workplace.store.discard_execution(job_id, execution.id)
        with self.connection.pipeline() as pipeline:
            self.cleanup_execution(job, pipeline=pipeline, execution=execution)
            pipeline.execute()
        with log_lines_about(job_id, self._workplace.repository):
            log.info("execution_given_up", cause="this worker was silent, and its job was handed on")

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
        except REDIS_AWAY as error:
            log.warning("redis_away", job_id=_task_of(job).job_id, cause=str(error))

    def _register_again(self) -> None:
        """A worker whose key ran out while Redis was away is off the list, or on it with a key that only tells of its
        last beat; RQ would leave it so."""
        known = self.connection.hexists(self.key, "hostname")
        if not known or not self.connection.sismember(self.redis_workers_keys, self.key):
            self.connection.hset(self.key, mapping=cast("Any", self.serialize()))
            worker_registration.register(self)

    # What others left that died

    def clean_registries(self) -> None:
        self._jobs.recover_abandoned()
        for queue in self.queues:
            worker_registration.clean_worker_registry(queue)
            queue.intermediate_queue.cleanup(self, queue)
        self._workplace.store.tidy()
        self.last_cleaned_at = cast("Any", datetime.now(UTC))  # RQ types it as None


def work_until_stopped(make_worker: Callable[[], ForkingWorker]) -> None:
    """Work until a signal says stop: SIGTERM or SIGINT once lets the job at hand end, twice gives it back.

    RQ's worker quits where Redis goes away at the wrong moment; a fresh one then takes over.
    """
    away = False
    while True:
        worker: ForkingWorker | None = None
        try:
            worker = make_worker()
            # What RQ warns of, the worker says in its own words.
            worker.work(logging_level="ERROR")
            away = False
        except REDIS_AWAY as error:
            if not away:
                log.warning("redis_away", cause=str(error), pid=os.getpid())
            away = True
        if worker is not None and worker.is_stopping:
            return
        # The old worker's handlers would speak to a Redis that is away.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        time.sleep(1.0)
