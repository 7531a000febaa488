"""The process of an execution that cannot begin, or has hardly begun; a real Redis, a real fork."""

import errno
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis.exceptions
from rq.executions import Execution
from rq.job import Job as QueuedJob
from structlog.testing import capture_logs

from jobs.connection import connect
from jobs.embedded_redis import embedded_redis
from jobs.options import JobOptions
from jobs.queue import SERIALIZER, JobQueue, piece_entry
from jobs.record import Job
from jobs.repository import JobRepository
from jobs.settings import Settings
from jobs.stores import open_store
from jobs.submission import Submission
from worker import forking
from worker.forking import ForkingWorker
from worker.workplace import Workplace

WENT_ON = 77


def refuse() -> None:
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[ForkingWorker]:
    with embedded_redis(tmp_path / "r") as url, connect(url) as client:
        settings = Settings(redis_url=url, data_folder=tmp_path)
        repository, queue = JobRepository(client, settings.queue_name), JobQueue(client, settings)
        queue.enqueue("job_1")
        yield ForkingWorker(
            [settings.queue_name],
            connection=client,
            queue=queue,
            workplace=Workplace(settings, repository, open_store(settings), queue, confined=True),
            on_heartbeat=lambda: None,
        )


def test_a_process_that_cannot_begin_ends_and_does_not_go_on_as_a_second_worker(
    worker: ForkingWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forking, "DecodingProcesses", refuse)
    job = QueuedJob.fetch("job_1", connection=worker.connection, serializer=SERIALIZER)
    child = os.fork()
    if child == 0:
        try:
            worker.main_work_horse(job, worker.queues[0])
        finally:
            os._exit(WENT_ON)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 1


def test_a_process_that_is_still_in_the_group_of_its_worker_is_killed_alone(worker: ForkingWorker) -> None:
    child = os.fork()
    if child == 0:
        # With a group of its own, so that these tests outlive what they look for.
        os.setsid()
        try:
            # A job may be stopped before its process is there.
            worker.kill_horse()
            worker._horse_pid = os.fork()
            if not worker.horse_pid:
                signal.pause()
            worker.kill_horse()
            _, killed = os.waitpid(worker.horse_pid, 0)
            os._exit(WENT_ON if os.waitstatus_to_exitcode(killed) == -signal.SIGKILL else 1)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == WENT_ON


def test_a_stop_that_came_as_an_execution_ended_does_not_hide_the_death_of_the_next(
    worker: ForkingWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Job(id="job_1", status="queued", options=JobOptions(), created_at=datetime.now(UTC))
    JobRepository(worker.connection, worker.queues[0].name).create(record, Submission(reference_names=()))
    monkeypatch.setattr(worker, "main_work_horse", lambda *_: os._exit(1))
    worker._stopped_job_id = "job_1"
    job = QueuedJob.fetch("job_1", connection=worker.connection, serializer=SERIALIZER)
    tries = job.retries_left
    assert tries
    # As the queue does when it hands the job out.
    worker.queues[0].remove(job)
    worker.execute_job(job, worker.queues[0])
    job.refresh()
    assert (job.get_status(), job.retries_left) == ("queued", tries - 1)


def test_a_worker_whose_key_ran_out_while_redis_was_away_is_found_on_its_machine_again(worker: ForkingWorker) -> None:
    worker.register_birth()
    queue = JobQueue(worker.connection, Settings())
    assert queue.has_worker_on(worker.hostname)
    worker.connection.delete(worker.key)
    worker.heartbeat()
    assert queue.has_worker_on(worker.hostname)


def test_what_a_worker_tells_of_a_piece_names_its_job(worker: ForkingWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    def be_away(*_: object) -> None:
        raise redis.exceptions.ConnectionError("away")

    JobQueue(worker.connection, Settings()).enqueue_piece("job_1", 3)
    piece = QueuedJob.fetch(piece_entry("job_1", 3), connection=worker.connection, serializer=SERIALIZER)
    monkeypatch.setattr(worker, "monitor_work_horse", lambda *_: worker.handle_warm_shutdown_request())
    monkeypatch.setattr(worker, "fork_work_horse", lambda *_: setattr(worker, "_horse_pid", os.getpid()))
    execution = Execution("e", piece.id, connection=worker.connection)
    with capture_logs() as lines:
        worker.execute_job(piece, worker.queues[0])
        monkeypatch.setattr(worker.connection, "pipeline", be_away)
        worker.maintain_heartbeats(piece, execution)
    assert [(line["event"], line["job_id"]) for line in lines] == [
        ("worker_stopping", "job_1"),
        ("redis_away", "job_1"),
    ]
