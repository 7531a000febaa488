"""A worker whose Redis goes away in the middle of a job, and comes back."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from jobs.connection import connect
from jobs.embedded_redis import embedded_redis
from jobs.identifiers import new_job_id
from jobs.options import JobOptions
from jobs.queue import JobQueue
from jobs.record import Job
from jobs.repository import JobRepository
from jobs.settings import Settings
from jobs.stores import open_store

ROOT = Path(__file__).resolve().parents[2]


def wait_for(repository: JobRepository, job_id: str, status: str, *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (job := repository.get(job_id)).status != status:
        assert time.monotonic() < deadline, f"after {seconds} s the job is still {job}"
        time.sleep(0.05)


def test_the_job_goes_on_and_the_worker_takes_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    with embedded_redis(folder) as url:
        settings = Settings(redis_url=url, data_folder=tmp_path)
        client = connect(url)
        repository, queue = JobRepository(client, settings.queue_name), JobQueue(client, settings)
        store = open_store(settings)

        def submit(behavior: str) -> str:
            job_id = new_job_id()
            store.create(job_id)
            with store.open_input_writer(job_id, "video") as writer:
                writer.write(b"film")
            options = JobOptions(metadata={"behavior": behavior, "note": str(tmp_path / job_id)})
            repository.create(Job(id=job_id, status="queued", options=options, created_at=datetime.now(UTC)))
            queue.enqueue(job_id)
            return job_id

        with (tmp_path / "worker.log").open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("fake_pipeline_worker.py"))],
                env={
                    **os.environ,
                    "RETINT_REDIS_URL": url,
                    "RETINT_DATA_FOLDER": str(tmp_path),
                    "PYTHONPATH": str(ROOT),
                },
                stdout=log,
                stderr=log,
            )
        interrupted = submit("eight seconds")
        wait_for(repository, interrupted, "processing", seconds=60)
        # The append-only file is flushed each second: the start of the job must be in it.
        time.sleep(1.2)
    try:
        # Longer than the worker's heartbeat, so that both its own and the job's process meet the outage.
        time.sleep(5.5)
        with embedded_redis(folder) as again:
            assert again == url
            wait_for(repository, interrupted, "succeeded", seconds=30)
            assert len((tmp_path / interrupted).read_text().splitlines()) == 1
            wait_for(repository, submit("succeed"), "succeeded", seconds=30)
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(20) == 0
    finally:
        worker.kill()
        worker.wait()
        client.close()
