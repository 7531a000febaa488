"""A real worker process, a real Redis server, real files; only the pipeline is a stand-in."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis import Redis

from jobs.cancellation import cancel_job
from jobs.connection import connect
from jobs.embedded_redis import embedded_redis
from jobs.folder_store import FolderStore
from jobs.housekeeping import sweep
from jobs.identifiers import new_job_id
from jobs.options import JobOptions
from jobs.queue import JobQueue
from jobs.record import Job
from jobs.repository import JobRepository
from jobs.settings import Settings
from jobs.stores import open_store
from jobs.submission import Submission

ROOT = Path(__file__).resolve().parents[2]
VIDEO = b"not a video, but the stand-in does not mind"


@dataclass
class Service:
    """What the API would hold, and the worker beside it."""

    settings: Settings
    repository: JobRepository
    queue: JobQueue
    store: FolderStore
    notes: Path
    start_worker: Callable[[], "subprocess.Popen[bytes]"]

    def submit(self, behavior: str, *, keep_input: bool = True) -> str:
        job_id = new_job_id()
        self.store.create(job_id)
        with self.store.open_input_writer(job_id, "video") as writer:
            writer.write(VIDEO)
        with self.store.open_input_writer(job_id, "reference", 0) as writer:
            writer.write(b"picture")
        note = str(self.notes / job_id)
        options = JobOptions(metadata={"behavior": behavior, "note": note}, keep_input=keep_input)
        job = Job(id=job_id, status="queued", options=options, created_at=datetime.now(UTC))
        self.repository.create(job, Submission(reference_names=("still.png",)))
        self.queue.enqueue(job_id)
        return job_id

    def wait(self, job_id: str, reached: Callable[[Job], bool], *, seconds: float = 60.0) -> Job:
        deadline = time.monotonic() + seconds
        while not reached(job := self.repository.get(job_id)):
            assert time.monotonic() < deadline, f"after {seconds} s the job is still {job}"
            time.sleep(0.02)
        return job

    def wait_until_ended(self, job_id: str) -> Job:
        return self.wait(job_id, lambda job: job.finished_at is not None)

    def processes_of(self, job_id: str) -> list[tuple[int, int]]:
        """(process, worker) of every execution so far."""
        note = self.notes / job_id
        lines = note.read_text().splitlines() if note.exists() else []
        return [(int(line.split()[0]), int(line.split()[1])) for line in lines]

    def log(self) -> str:
        """What all workers have written so far."""
        return "".join(path.read_text() for path in sorted(self.settings.data_folder.glob("worker-*.log")))

    def published(self, job_id: str) -> Path:
        return self.store.find_result(job_id, self.repository.status(job_id)[1], "video")

    def execution_folders(self, job_id: str) -> list[str]:
        folder = self.store.input_video(job_id).parents[1] / "executions"
        return [path.name for path in folder.glob("*")]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def told_of(service: Service, job_id: str) -> list[str]:
    """The workers' lines about a job."""
    return [line for line in service.log().splitlines() if job_id in line]


def deaths_of(service: Service, job_id: str) -> list[str]:
    return [line for line in told_of(service, job_id) if "execution_died" in line]


def wait_until(happened: Callable[[], bool], *, seconds: float, what: str) -> float:
    started = time.monotonic()
    while not happened():
        assert time.monotonic() - started < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.01)
    return time.monotonic() - started


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="module")
def service(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("data")
    settings = Settings(redis_url=redis_url, data_folder=folder, weights_folder=folder / "weights", retries=1)
    redis: Redis = connect(redis_url)
    workers: list[subprocess.Popen[bytes]] = []

    def start_worker() -> "subprocess.Popen[bytes]":
        environment = {
            **os.environ,
            "RETINT_REDIS_URL": redis_url,
            "RETINT_DATA_FOLDER": str(folder),
            "RETINT_WEIGHTS_FOLDER": str(folder / "weights"),
            "RETINT_RETRIES": "1",
            "PYTHONPATH": str(ROOT),
        }
        with (folder / f"worker-{len(workers)}.log").open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("fake_pipeline_worker.py"))],
                env=environment,
                stdout=log,
                stderr=log,
            )
        workers.append(worker)
        return worker

    notes = folder / "notes"
    notes.mkdir()
    repository = JobRepository(redis, settings.queue_name)
    queue = JobQueue(redis, settings)
    yield Service(settings, repository, queue, open_store(settings), notes, start_worker)
    for worker in workers:
        if worker.poll() is None:
            worker.send_signal(signal.SIGKILL)
        worker.wait(10)
    redis.close()


@pytest.fixture(scope="module")
def worker(service: Service) -> "subprocess.Popen[bytes]":
    started = service.start_worker()
    wait_until(lambda: service.queue.worker_count() == 1, seconds=60, what="the worker registers")
    return started


@pytest.mark.usefixtures("worker")
class TestAJob:
    def test_succeeds_with_its_files_and_their_checksums(self, service: Service) -> None:
        job_id = service.submit("succeed")
        job = service.wait_until_ended(job_id)
        assert job.status == "succeeded", job.error
        [variant] = job.variants
        assert (variant.name, variant.bytes, variant.media_type) == ("video", len(VIDEO), "video/mp4")
        assert variant.href == f"/v1/jobs/{job_id}/content?variant=video"
        assert service.published(job_id).read_bytes() == VIDEO[::-1]
        assert job.video is not None
        assert job.video.frames == 100
        assert job.progress.fraction == 1.0
        assert job.started_at is not None
        wait_until(lambda: service.execution_folders(job_id) == [], seconds=20, what="the work folder goes")

    def test_keeps_its_input_only_where_asked(self, service: Service) -> None:
        kept, dropped = service.submit("succeed"), service.submit("succeed", keep_input=False)
        service.wait_until_ended(dropped)
        wait_until(lambda: not service.store.input_video(dropped).exists(), seconds=20, what="the input goes")
        assert service.store.input_video(kept).exists()

    def test_fails_with_the_code_of_its_failure_and_is_not_tried_again(self, service: Service) -> None:
        job_id = service.submit("undecodable")
        job = service.wait_until_ended(job_id)
        assert job.status == "failed"
        assert job.error is not None
        assert (job.error.code, job.error.detail) == ("video_undecodable", "The file is no video.")
        assert len(service.processes_of(job_id)) == 1

    def test_hides_what_a_bug_said(self, service: Service) -> None:
        job = service.wait_until_ended(service.submit("bug"))
        assert job.error is not None
        assert job.error.code == "internal"
        assert "secret" not in job.model_dump_json()

    def test_is_tried_again_when_its_process_dies(self, service: Service) -> None:
        job_id = service.submit("die once")
        job = service.wait_until_ended(job_id)
        assert job.status == "succeeded", job.error
        assert len(service.processes_of(job_id)) == 2

    def test_fails_as_worker_lost_when_every_try_dies(self, service: Service) -> None:
        job_id = service.submit("die always")
        job = service.wait_until_ended(job_id)
        assert job.error is not None
        assert job.error.code == "worker_lost"
        assert len(service.processes_of(job_id)) == 2
        assert service.execution_folders(job_id) == []
        # Told after the record says so.
        wait_until(lambda: len(deaths_of(service, job_id)) == 2, seconds=20, what="both deaths are told")
        assert all("exit_status=-6" in line for line in deaths_of(service, job_id))

    def test_is_tried_again_when_its_process_is_killed(self, service: Service) -> None:
        job_id = service.submit("slow")
        service.wait(job_id, lambda job: job.progress.frames_done > 0)
        [(process, _)] = service.processes_of(job_id)
        os.kill(process, signal.SIGKILL)
        wait_until(lambda: len(service.processes_of(job_id)) == 2, seconds=20, what="a second try")
        service.wait(job_id, lambda job: job.status == "processing" and job.progress.frames_done > 0)
        cancel_job(job_id, repository=service.repository, queue=service.queue, store=service.store)

    @pytest.mark.parametrize("behavior", ["slow", "deaf"])
    def test_stops_when_canceled(self, service: Service, behavior: str) -> None:
        job_id = service.submit(behavior)
        wait_until(lambda: service.processes_of(job_id) != [], seconds=20, what="the job runs")
        [(process, _)] = service.processes_of(job_id)
        cancel_job(job_id, repository=service.repository, queue=service.queue, store=service.store)
        assert service.repository.get(job_id).status == "canceled"
        wait_until(lambda: not is_running(process), seconds=20, what="the process dies")
        wait_until(lambda: service.execution_folders(job_id) == [], seconds=20, what="its files go")
        job = service.repository.get(job_id)
        assert (job.status, job.phase) == ("canceled", None)
        assert len(service.processes_of(job_id)) == 1
        wait_until(lambda: len(told_of(service, job_id)) == 2, seconds=20, what="its end is told")
        assert "job_started" in told_of(service, job_id)[0]
        assert "[info" in told_of(service, job_id)[1]
        assert "the job is canceled" in told_of(service, job_id)[1]

    def test_stops_by_itself_where_the_word_to_the_worker_is_lost(self, service: Service) -> None:
        job_id = service.submit("deaf")
        wait_until(lambda: service.processes_of(job_id) != [], seconds=20, what="the job runs")
        [(process, _)] = service.processes_of(job_id)
        service.repository.cancel(job_id)
        wait_until(lambda: not is_running(process), seconds=20, what="the process dies by itself")
        wait_until(lambda: not service.queue.is_alive(job_id), seconds=20, what="the queue gives it up")
        assert len(service.processes_of(job_id)) == 1

    def test_tells_progress_at_least_once_a_second(self, service: Service) -> None:
        job_id = service.submit("slow")
        service.wait(job_id, lambda job: job.progress.fps is not None)
        version, changes = service.repository.look(job_id).version, 0
        started = time.monotonic()
        while time.monotonic() - started < 2.0:
            now = service.repository.look(job_id).version
            changes += now != version
            version = now
            time.sleep(0.02)
        cancel_job(job_id, repository=service.repository, queue=service.queue, store=service.store)
        assert 2 <= changes <= 9

    def test_waits_its_turn(self, service: Service) -> None:
        first = service.submit("slow")
        service.wait(first, lambda job: job.status == "processing")
        second, third = service.submit("succeed"), service.submit("succeed")
        assert [service.repository.get(job_id).queue_position for job_id in (first, second, third)] == [None, 0, 1]
        cancel_job(second, repository=service.repository, queue=service.queue, store=service.store)
        assert service.repository.get(third).queue_position == 0
        cancel_job(first, repository=service.repository, queue=service.queue, store=service.store)
        assert service.wait_until_ended(third).status == "succeeded"
        assert service.processes_of(second) == []


def test_the_worker_says_where_it_computes(service: Service, worker: "subprocess.Popen[bytes]") -> None:
    wait_until(lambda: "worker_ready" in service.log(), seconds=60, what="a worker is ready")
    [line, *_] = [line for line in service.log().splitlines() if "worker_ready" in line]
    assert re.search(r"device=(cpu|cuda:\d+)\b", line)


def test_the_worker_says_which_models_it_has(service: Service, worker: "subprocess.Popen[bytes]") -> None:
    models = service.repository.read_catalog()
    assert models[0].name == "retint"
    assert {model.name for model in models} >= {"retint", "deepremaster"}


def test_a_killed_worker_takes_its_process_with_it_and_another_takes_over(
    service: Service, worker: "subprocess.Popen[bytes]"
) -> None:
    job_id = service.submit("slow")
    service.wait(job_id, lambda job: job.progress.frames_done > 0)
    [(process, parent)] = service.processes_of(job_id)
    assert parent == worker.pid
    worker.kill()
    worker.wait(5)
    wait_until(lambda: not is_running(process), seconds=20, what="the process dies with its worker")

    service.start_worker()

    def taken_over() -> bool:
        sweep(service.repository, service.queue, service.store, datetime.now(UTC))
        return len(service.processes_of(job_id)) == 2

    wait_until(taken_over, seconds=60, what="the other worker takes the job over")
    cancel_job(job_id, repository=service.repository, queue=service.queue, store=service.store)
    replacement = service.processes_of(job_id)[1][1]
    os.kill(replacement, signal.SIGTERM)
    wait_until(lambda: not is_running(replacement), seconds=20, what="the idle worker stops on SIGTERM")


def test_a_worker_stopped_twice_gives_its_job_back_at_once(service: Service) -> None:
    stopping = service.start_worker()
    job_id = service.submit("deaf")
    wait_until(lambda: service.processes_of(job_id) != [], seconds=60, what="the job runs")
    behind = service.submit("succeed")
    [(process, parent)] = service.processes_of(job_id)
    assert parent == stopping.pid

    stopping.send_signal(signal.SIGTERM)
    time.sleep(1.2)
    assert is_running(process), "the first signal lets the job go on"
    stopping.send_signal(signal.SIGTERM)
    assert stopping.wait(30) == 0
    job = service.repository.get(job_id)
    assert (job.status, job.phase, job.started_at, job.queue_position) == ("queued", None, None, 0)
    assert service.repository.get(behind).queue_position == 1
    assert not is_running(process)
    assert service.execution_folders(job_id) == []
    assert [word for line in told_of(service, job_id) for word in line.split() if "_" in word and "=" not in word] == [
        "job_started",
        "worker_stopping",
        "job_handed_back",
    ]

    next_worker = service.start_worker()
    wait_until(lambda: len(service.processes_of(job_id)) == 2, seconds=60, what="the next worker takes it")
    # Being given back costs no try: the one that the settings grant is left.
    os.kill(service.processes_of(job_id)[1][0], signal.SIGKILL)
    wait_until(lambda: len(service.processes_of(job_id)) == 3, seconds=20, what="the try that was left")
    cancel_job(job_id, repository=service.repository, queue=service.queue, store=service.store)
    assert service.wait_until_ended(behind).status == "succeeded"
    next_worker.send_signal(signal.SIGTERM)
    assert next_worker.wait(30) == 0
