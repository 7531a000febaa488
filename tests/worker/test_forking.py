"""The process of an execution that cannot begin; a real Redis, a real fork."""

import errno
import os
from pathlib import Path

import pytest
from rq import Queue
from rq.job import Job as QueuedJob

from jobs.connection import connect
from jobs.embedded_redis import embedded_redis
from jobs.queue import SERIALIZER, JobQueue
from jobs.repository import JobRepository
from jobs.settings import Settings
from jobs.stores import open_store
from worker import forking
from worker.forking import ForkingWorker
from worker.workplace import Workplace

WENT_ON = 77


def refuse() -> None:
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def test_a_process_that_cannot_begin_ends_and_does_not_go_on_as_a_second_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with embedded_redis(tmp_path / "r") as url, connect(url) as client:
        settings = Settings(redis_url=url, data_folder=tmp_path)
        repository, queue = JobRepository(client, settings.queue_name), JobQueue(client, settings)
        queue.enqueue("job_1")
        worker = ForkingWorker(
            [settings.queue_name],
            connection=client,
            queue=queue,
            workplace=Workplace(settings, repository, open_store(settings), queue, confined=True),
            on_heartbeat=lambda: None,
        )
        monkeypatch.setattr(forking, "DecodingProcesses", refuse)
        rq_queue = Queue(settings.queue_name, connection=client, serializer=SERIALIZER)
        job = QueuedJob.fetch("job_1", connection=client, serializer=SERIALIZER)
        child = os.fork()
        if child == 0:
            try:
                worker.main_work_horse(job, rq_queue)
            finally:
                os._exit(WENT_ON)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 1
