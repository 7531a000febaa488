"""Real couriers, a real worker with a stand-in for the pipeline, a real Redis server that may restart, real calls."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fake_server import Answer as Reply
from fake_server import FakeServer
from redis import Redis
from webhook_jobs import SECRET, make_job, succeed, told_to, webhook_to

from jobs.cancellation import cancel_job
from jobs.connection import connect
from jobs.embedded_redis import embedded_redis
from jobs.folder_store import FolderStore
from jobs.identifiers import new_job_id
from jobs.options import JobOptions
from jobs.queue import JobQueue
from jobs.record import Job
from jobs.repository import JobRepository
from jobs.settings import Settings
from jobs.stores import open_store
from jobs.submission import Submission

ROOT = Path(__file__).resolve().parents[2]
COURIER = ROOT / "tests" / "support" / "courier_process.py"
WORKER = Path(__file__).with_name("fake_pipeline_worker.py")
EVENTS = ["job.processing", "job.succeeded", "job.failed", "job.canceled"]


@dataclass
class Service:
    settings: Settings
    redis: Redis
    repository: JobRepository
    queue: JobQueue
    store: FolderStore
    started: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    def start(self, program: Path) -> "subprocess.Popen[bytes]":
        environment = {
            **os.environ,
            "RETINT_REDIS_URL": str(self.settings.redis_url),
            "RETINT_DATA_FOLDER": str(self.settings.data_folder),
            "RETINT_WEIGHTS_FOLDER": str(self.settings.data_folder / "weights"),
            "RETINT_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
            "PYTHONPATH": str(ROOT),
        }
        with (self.settings.data_folder / f"{len(self.started)}.log").open("wb") as log:
            process = subprocess.Popen([sys.executable, str(program)], env=environment, stdout=log, stderr=log)
        self.started.append(process)
        return process

    def submit(self, behavior: str, url: str) -> str:
        job_id = new_job_id()
        self.store.create(job_id)
        for kind in ("video", "reference"):
            with self.store.open_input_writer(job_id, kind, 0) as writer:
                writer.write(b"stand-in")
        note = str(self.settings.data_folder / f"{job_id}.note")
        options = JobOptions(metadata={"behavior": behavior, "note": note}, webhook=webhook_to(url, events=EVENTS))
        job = Job(id=job_id, status="queued", options=options, created_at=datetime.now(UTC))
        self.repository.create(job, Submission(reference_names=("still.png",)))
        self.queue.enqueue(job_id)
        return job_id

    def log(self) -> str:
        return "".join(path.read_text() for path in sorted(self.settings.data_folder.glob("*.log")))


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with embedded_redis(tmp_path / "redis") as url, connect(url) as redis:
        settings = Settings(redis_url=url, data_folder=tmp_path, weights_folder=tmp_path / "weights")
        repository = JobRepository(redis, settings.queue_name)
        service = Service(settings, redis, repository, JobQueue(redis, settings), open_store(settings))
        yield service
        for process in service.started:
            process.kill()
            process.wait(10)


@pytest.fixture
def receiver() -> Iterator[FakeServer]:
    server = FakeServer()
    server.answers = [Reply(204)]
    yield server
    server.close()


def eventually(happened: Callable[[], bool], *, service: Service, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, service.log()
        time.sleep(0.02)


def kinds_of(receiver: FakeServer, job_id: str) -> set[str]:
    return {kind for _, kind, told_of in told_to(receiver) if told_of == job_id}


def test_a_receiver_hears_how_jobs_begin_and_end(service: Service, receiver: FakeServer) -> None:
    service.start(COURIER)
    service.start(WORKER)
    succeeds = service.submit("succeed", receiver.url)
    fails = service.submit("undecodable", receiver.url)
    eventually(lambda: len(told_to(receiver)) == 4, service=service)
    canceled = service.submit("slow", receiver.url)
    eventually(lambda: kinds_of(receiver, canceled) == {"job.processing"}, service=service)
    cancel_job(canceled, repository=service.repository, queue=service.queue, store=service.store)
    eventually(lambda: len(told_to(receiver)) == 6, service=service)
    assert kinds_of(receiver, succeeds) == {"job.processing", "job.succeeded"}
    assert kinds_of(receiver, fails) == {"job.processing", "job.failed"}
    assert kinds_of(receiver, canceled) == {"job.processing", "job.canceled"}
    assert len({identity for identity, _, _ in told_to(receiver)}) == 6


def test_a_courier_that_is_killed_in_the_middle_is_followed_by_another(service: Service, receiver: FakeServer) -> None:
    release = threading.Event()
    receiver.respond = lambda _: Reply(204 if release.wait(30) else 500)
    first = service.start(COURIER)
    job_id = succeed(service.repository, make_job(service.repository, receiver.url))
    try:
        eventually(lambda: len(receiver.received) == 1, service=service)
        first.send_signal(signal.SIGKILL)
        first.wait(10)
    finally:
        release.set()
    assert [delivery.status for delivery in service.repository.get(job_id).deliveries] == ["pending"]
    service.start(COURIER)
    eventually(
        lambda: [entry.status for entry in service.repository.get(job_id).deliveries] == ["delivered"], service=service
    )
    told = told_to(receiver)
    assert len(told) == 2
    assert len(set(told)) == 1
    assert service.repository.get(job_id).deliveries[0].attempts == 2


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_courier_that_is_told_to_stop_finishes_what_is_in_flight(
    service: Service, receiver: FakeServer, sent: signal.Signals
) -> None:
    arrived, release = threading.Event(), threading.Event()

    def answer(_: object) -> Reply:
        arrived.set()
        return Reply(204 if release.wait(30) else 500)

    receiver.respond = answer
    courier = service.start(COURIER)
    job_id = succeed(service.repository, make_job(service.repository, receiver.url))
    eventually(arrived.is_set, service=service)
    courier.send_signal(sent)
    release.set()
    assert courier.wait(10) == 0
    assert [delivery.status for delivery in service.repository.get(job_id).deliveries] == ["delivered"]


def test_a_courier_does_not_wait_long_for_a_receiver_when_it_is_told_to_stop(
    service: Service, receiver: FakeServer
) -> None:
    arrived, release = threading.Event(), threading.Event()

    def answer(_: object) -> Reply:
        arrived.set()
        return Reply(204 if release.wait(60) else 500)

    receiver.respond = answer
    courier = service.start(COURIER)
    job_id = succeed(service.repository, make_job(service.repository, receiver.url))
    eventually(arrived.is_set, service=service)
    courier.terminate()
    try:
        assert courier.wait(15) == 0
    finally:
        release.set()
    assert [delivery.status for delivery in service.repository.get(job_id).deliveries] == ["pending"]


def test_what_waits_is_there_after_a_restart_of_redis(tmp_path: Path, receiver: FakeServer) -> None:
    with embedded_redis(tmp_path / "redis") as url, connect(url) as redis:
        job_id = succeed(JobRepository(redis, "retint"), make_job(JobRepository(redis, "retint"), receiver.url))
    with embedded_redis(tmp_path / "redis") as url, connect(url) as redis:
        settings = Settings(redis_url=url, data_folder=tmp_path)
        repository = JobRepository(redis, "retint")
        service = Service(settings, redis, repository, JobQueue(redis, settings), open_store(settings))
        courier = service.start(COURIER)
        try:
            eventually(lambda: len(told_to(receiver)) == 1, service=service)
        finally:
            courier.kill()
            courier.wait(10)
    assert [(kind, told_of) for _, kind, told_of in told_to(receiver)] == [("job.succeeded", job_id)]


def test_a_courier_outlives_an_outage_of_redis(tmp_path: Path, receiver: FakeServer) -> None:
    with embedded_redis(tmp_path / "redis") as url, connect(url) as redis:
        settings = Settings(redis_url=url, data_folder=tmp_path)
        repository = JobRepository(redis, "retint")
        service = Service(settings, redis, repository, JobQueue(redis, settings), open_store(settings))
        courier = service.start(COURIER)
        eventually(lambda: "courier_ready" in service.log(), service=service)
    try:
        eventually(lambda: "redis_away" in service.log(), service=service)
        with embedded_redis(tmp_path / "redis") as again, connect(again) as redis:
            assert again == url
            repository = JobRepository(redis, "retint")
            succeed(repository, make_job(repository, receiver.url))
            eventually(lambda: len(told_to(receiver)) == 1, service=service)
        assert courier.poll() is None
    finally:
        courier.kill()
        courier.wait(10)


def test_every_attempt_is_a_line_in_the_log_without_secret_path_or_answer(
    service: Service, receiver: FakeServer
) -> None:
    receiver.answers = [Reply(500, b"inner life of the receiver"), Reply(204)]
    job_id = succeed(service.repository, make_job(service.repository, f"{receiver.url}/hidden?token=hidden"))
    service.start(COURIER)
    eventually(lambda: "webhook_delivered" in service.log(), service=service)
    lines = [line for line in service.log().splitlines() if job_id in line]
    assert ["webhook_attempt_failed" in lines[0], "webhook_delivered" in lines[1], len(lines)] == [True, True, 2]
    for hidden in (SECRET.removeprefix("whsec_"), "hidden", "inner life"):
        assert hidden not in service.log()
