"""Two workers and one job: the first fell silent, the second has it now, and the first comes back."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis
from rq import Queue
from rq.executions import Execution
from rq.job import Job as QueuedJob
from rq.job import JobStatus

from jobs.connection import connect
from jobs.embedded_redis import embedded_redis
from jobs.errors import JobCanceled
from jobs.folder_store import FolderStore
from jobs.housekeeping import sweep, sweep_files
from jobs.options import JobOptions
from jobs.queue import SERIALIZER, JobQueue
from jobs.record import Job, Progress
from jobs.repository import JobRepository
from jobs.settings import Settings
from jobs.stores import open_store
from worker.forking import ForkingWorker
from worker.observer import Observer
from worker.task import ColorizationTask, VariantFile
from worker.workplace import Workplace

JOB = "job_1"


@dataclass
class Hall:
    """What two workers share."""

    redis: Redis
    settings: Settings
    repository: JobRepository
    queue: JobQueue
    store: FolderStore

    def worker(self, meanwhile: Callable[[], None]) -> ForkingWorker:
        """A worker that runs its jobs in this process; `meanwhile` happens while it colors."""

        def colorize(
            task: ColorizationTask, *, observer: Observer, device: str, weights_folder: Path
        ) -> tuple[VariantFile, ...]:
            meanwhile()
            raise JobCanceled("The job was canceled, or another execution has taken it over.")

        return ForkingWorker(
            [self.settings.queue_name],
            connection=self.redis,
            queue=self.queue,
            workplace=Workplace(self.settings, self.repository, self.store, self.queue, colorize),
            on_heartbeat=lambda: None,
        )

    def take(self, worker: ForkingWorker) -> tuple[QueuedJob, Execution]:
        """What a worker does before it forks."""
        self.rq_queue.remove(JOB)
        job = self.queued_job
        return job, worker.prepare_execution(job)

    def miss(self, execution: Execution) -> None:
        """Let the worker's last beat be too long ago, and its silence be noticed."""
        self.redis.zadd(self.rq_queue.started_job_registry.key, {execution.composite_key: 1.0})
        self.sweep()

    def sweep(self) -> None:
        later = datetime.now(UTC) + timedelta(minutes=5)
        sweep(self.repository, self.queue, self.store, later)
        sweep_files(self.repository, self.store, later)

    @property
    def rq_queue(self) -> Queue:
        return Queue(self.settings.queue_name, connection=self.redis, serializer=SERIALIZER)

    @property
    def queued_job(self) -> QueuedJob:
        return QueuedJob.fetch(JOB, connection=self.redis, serializer=SERIALIZER)


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    with embedded_redis(tmp_path / "r") as url, connect(url) as client:
        settings = Settings(redis_url=url, data_folder=tmp_path, retries=2)
        hall = Hall(
            client,
            settings,
            JobRepository(client, settings.queue_name),
            JobQueue(client, settings),
            open_store(settings),
        )
        hall.store.create(JOB)
        with hall.store.open_input_writer(JOB, "video") as writer:
            writer.write(b"film")
        hall.repository.create(Job(id=JOB, status="queued", options=JobOptions(), created_at=datetime.now(UTC)))
        hall.queue.enqueue(JOB)
        yield hall


@pytest.fixture
def second(hall: Hall) -> ForkingWorker:
    return hall.worker(lambda: None)


@pytest.mark.parametrize("end", ["comes back", "is killed"])
def test_a_job_that_was_taken_over_stays_with_the_second(hall: Hall, second: ForkingWorker, end: str) -> None:
    taken: list[tuple[QueuedJob, Execution]] = []

    def take_over() -> None:
        hall.miss(execution)
        taken.append(hall.take(second))
        second.prepare_job_execution(taken[0][0])
        assert hall.repository.claim(JOB, taken[0][1].id)

    first = hall.worker(take_over if end == "comes back" else lambda: None)
    job, execution = hall.take(first)
    if end == "comes back":
        first.perform_job(job, hall.rq_queue, execution)
    else:
        hall.repository.claim(JOB, execution.id)
        first.prepare_job_execution(job)
        hall.store.open_execution(JOB, execution.id)
        take_over()
        first.handle_job_failure(job, hall.rq_queue, exc_string="killed as hung", execution=execution)

    hall.sweep()
    [(queued, now_running)] = taken
    assert hall.repository.status(JOB) == ("processing", now_running.id)
    assert hall.queued_job.get_status() == JobStatus.STARTED
    assert hall.queue.waiting_ids() == []
    assert list((hall.store.input_video(JOB).parents[1] / "executions").iterdir()) == []

    hall.repository.finish(JOB, now_running.id, variants=[], progress=Progress(fraction=1.0))
    queued.ended_at = datetime.now(UTC)
    second.handle_job_success(queued, hall.rq_queue, hall.rq_queue.started_job_registry, now_running)
    assert not hall.queue.is_alive(JOB)


def test_a_job_that_waits_for_the_second_goes_on_waiting(hall: Hall) -> None:
    first = hall.worker(lambda: hall.miss(execution))
    job, execution = hall.take(first)
    first.perform_job(job, hall.rq_queue, execution)
    assert hall.queued_job.get_status() == JobStatus.QUEUED
    assert hall.redis.ttl(job.key) == -1
    assert hall.queue.waiting_ids() == [JOB]


def test_what_is_being_worked_on_is_alive_whatever_was_said_of_it_last(hall: Hall, second: ForkingWorker) -> None:
    job, execution = hall.take(second)
    hall.repository.claim(JOB, execution.id)
    job.set_status(JobStatus.FINISHED)
    assert hall.queue.is_alive(JOB)
    hall.sweep()
    assert hall.repository.get(JOB).status == "processing"


def test_what_was_taken_out_just_as_it_was_begun_can_be_put_in_again(hall: Hall, second: ForkingWorker) -> None:
    job, execution = hall.take(second)
    hall.queued_job.delete()
    # As RQ does, which writes this into what is not there any more.
    job.set_status(JobStatus.STARTED)
    with hall.redis.pipeline() as pipeline:
        second.cleanup_execution(job, pipeline=pipeline, execution=execution)
        pipeline.execute()
    assert not hall.queue.is_alive(JOB)
    hall.queue.enqueue(JOB)
    assert hall.queue.waiting_ids() == [JOB]
