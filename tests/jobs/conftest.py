"""A real Redis server for the session, emptied for every test, and what stands on it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis import Redis

from jobs.connection import connect
from jobs.embedded_redis import embedded_redis
from jobs.folder_store import FolderStore
from jobs.identifiers import new_job_id
from jobs.options import JobOptions
from jobs.queue import JobQueue
from jobs.record import Job
from jobs.repository import JobRepository
from jobs.settings import Settings
from jobs.submission import Submission

MakeJob = Callable[..., Job]


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    client = connect(redis_url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    return Settings(redis_url=redis_url, data_folder=tmp_path)


@pytest.fixture
def repository(redis: Redis, settings: Settings) -> JobRepository:
    return JobRepository(redis, settings.queue_name, retention_seconds=3600)


@pytest.fixture
def queue(redis: Redis, settings: Settings) -> JobQueue:
    return JobQueue(redis, settings)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def make_job(repository: JobRepository) -> MakeJob:
    def make(*, created_at: datetime | None = None) -> Job:
        job = Job(id=new_job_id(), status="queued", options=JobOptions(), created_at=created_at or datetime.now(UTC))
        repository.create(job, Submission(reference_names=("first.png", "second.png")))
        return job

    return make
