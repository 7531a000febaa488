"""Workers of the real pipeline on one Redis server and one store, and jobs for them, as tests need them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from redis import Redis
from rq import Worker

from jobs.cancellation import cancel_job
from jobs.connection import connect
from jobs.identifiers import new_job_id
from jobs.options import JobOptions
from jobs.queue import JobQueue
from jobs.record import Job
from jobs.repository import JobRepository
from jobs.settings import Settings
from jobs.store import Store
from jobs.stores import open_store
from jobs.submission import Submission

ROOT = Path(__file__).resolve().parents[2]
LOSSLESS = {"container": "mkv", "codec": "ffv1"}


class FilmService:
    """A context manager: the workers that are left at the end are killed."""

    def __init__(self, redis_url: str, folder: Path, **environment: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.settings = Settings(redis_url=redis_url, data_folder=folder, retries=1)
        self.redis: Redis = connect(redis_url)
        self.repository = JobRepository(self.redis, self.settings.queue_name)
        self.queue = JobQueue(self.redis, self.settings)
        self.store: Store = open_store(self.settings)
        self.workers: list[subprocess.Popen[bytes]] = []
        self._mood = folder / "mood.json"
        self._environment = {
            **os.environ,
            "RETINT_REDIS_URL": redis_url,
            "RETINT_DATA_FOLDER": str(folder),
            "RETINT_WEIGHTS_FOLDER": str(folder / "weights"),
            "RETINT_RETRIES": "1",
            "RETINT_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            **environment,
        }

    def __enter__(self) -> "FilmService":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_workers()
        self.redis.close()

    def be(self, **mood: object) -> None:
        """How the workers are from now on; see `slow_worker.py`."""
        half = self._mood.with_suffix(".half")
        half.write_text(json.dumps(mood))
        half.rename(self._mood)

    def start_worker(self, **environment: str) -> "subprocess.Popen[bytes]":
        with (self.folder / f"worker-{len(self.workers)}.log").open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, str(ROOT / "tests" / "support" / "slow_worker.py"), str(self._mood)],
                env={**self._environment, **environment},
                stdout=log,
                stderr=log,
            )
        self.workers.append(worker)
        return worker

    def have_workers(self, count: int) -> None:
        """Start as many as are missing, and wait until they take jobs."""
        for _ in range(count - len(self.living())):
            self.start_worker()
        wait_until(self.all_register, seconds=120, what="the workers register")

    def living(self) -> "list[subprocess.Popen[bytes]]":
        return [worker for worker in self.workers if worker.poll() is None]

    def all_register(self) -> bool:
        registered = {worker.pid for worker in Worker.all(self.redis) if worker.pid is not None}
        return registered.issuperset(worker.pid for worker in self.living())

    def stop_workers(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait(10)

    def submit(self, video: Path, pictures: Sequence[Path], /, **options: object) -> str:
        job_id = new_job_id()
        self.store.create(job_id)
        with self.store.open_input_writer(job_id, "video") as writer:
            writer.write(video.read_bytes())
        for index, path in enumerate(pictures):
            with self.store.open_input_writer(job_id, "reference", index) as writer:
                writer.write(path.read_bytes())
        given = JobOptions.model_validate({"output": LOSSLESS, "tuning": "off", **options})
        job = Job(id=job_id, status="queued", options=given, created_at=datetime.now(UTC))
        self.repository.create(job, Submission(reference_names=tuple(path.name for path in pictures)))
        self.queue.enqueue(job_id)
        return job_id

    def cancel(self, job_id: str) -> None:
        cancel_job(job_id, repository=self.repository, queue=self.queue, store=self.store)

    def wait(self, job_id: str, reached: Callable[[Job], bool], *, seconds: float = 60.0) -> Job:
        deadline = time.monotonic() + seconds
        while not reached(job := self.repository.get(job_id)):
            assert time.monotonic() < deadline, f"after {seconds} s the job is still {job}\n{self.log()}"
            time.sleep(0.02)
        return job

    def wait_until_ended(self, job_id: str, *, seconds: float = 90.0) -> Job:
        return self.wait(job_id, lambda job: job.finished_at is not None, seconds=seconds)

    def result(self, job_id: str, name: str = "video") -> Path:
        path = self.store.find_result(job_id, self.repository.status(job_id)[1], name)
        assert isinstance(path, Path)
        return path

    def log(self) -> str:
        """What all workers have written so far."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("worker-*.log")))

    def told(self, event: str, job_id: str) -> list[str]:
        """The workers' lines of a kind about a job."""
        return [line for line in self.log().splitlines() if event in line and job_id in line]

    def horses(self) -> dict[int, int]:
        """Processes that work for jobs now, by the worker that forked each."""
        found = {}
        for worker in self.living():
            children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
            found.update((worker.pid, child) for child in map(int, children) if is_running(child))
        return found


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_until(happened: Callable[[], bool], *, seconds: float, what: str) -> float:
    started = time.monotonic()
    while not happened():
        assert time.monotonic() - started < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.01)
    return time.monotonic() - started
