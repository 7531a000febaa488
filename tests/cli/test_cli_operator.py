"""`retint operator`: beside a service that runs, on the jobs of everybody."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError
from typer.testing import CliRunner, Result

from cli.errors import CommandError
from cli.main import app
from jobs.connection import connect
from jobs.embedded_redis import embedded_redis
from jobs.errors import JobNotFound
from jobs.folder_store import FolderStore
from jobs.identifiers import new_job_id, new_keyframes_id
from jobs.keys import KeyRing
from jobs.options import JobOptions, KeyframeOptions
from jobs.queue import JobQueue
from jobs.record import Job, Keyframes, Progress, Record
from jobs.repository import JobRepository
from jobs.settings import Settings
from jobs.stores import open_store
from jobs.submission import Submission

FILM = b"a film of 20 letters"
runner = CliRunner()


@dataclass
class Service:
    settings: Settings
    redis: Redis

    def __post_init__(self) -> None:
        self.repository = JobRepository(self.redis, self.settings.queue_name)
        self.keys = KeyRing(self.redis, self.settings.queue_name)
        self.queue = JobQueue(self.redis, self.settings)
        self.store = open_store(self.settings)

    def submit(self, record: Record, *, owner: str = "") -> str:
        self.store.create(record.id)
        with self.store.open_input_writer(record.id, "video") as writer:
            writer.write(FILM)
        self.repository.create(record, Submission(owner=owner))
        self.queue.enqueue(record.id)
        return record.id

    def operator(self, *arguments: str) -> Result:
        environment = {"RETINT_DATA_FOLDER": str(self.settings.data_folder), "RETINT_REDIS_URL": None}
        return runner.invoke(app, ["operator", *arguments], env=environment, catch_exceptions=False)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with embedded_redis(tmp_path / "redis") as url, connect(url) as redis:
        yield Service(Settings(redis_url=url, data_folder=tmp_path), redis)


def job() -> Job:
    return Job(id=new_job_id(), status="queued", options=JobOptions(), created_at=datetime.now(UTC))


def search() -> Keyframes:
    return Keyframes(id=new_keyframes_id(), status="queued", options=KeyframeOptions(), created_at=datetime.now(UTC))


def test_the_jobs_of_all_keys_are_listed_the_newest_first(service: Service) -> None:
    ann, bob = service.keys.create("ann")[0], service.keys.create("bob")[0]
    of_ann = service.submit(job(), owner=ann.id)
    of_bob = service.submit(search(), owner=bob.id)
    of_nobody = service.submit(job())
    service.keys.revoke("bob")
    assert service.repository.claim(of_ann, "e1")
    assert service.repository.update(of_ann, "e1", progress=Progress(fraction=0.25, frames_done=3, frames_total=12))

    listed = json.loads(service.operator("jobs", "--json").stdout)
    assert [entry["id"] for entry in listed] == [of_nobody, of_bob, of_ann]
    assert [entry["bytes"] for entry in listed] == [len(FILM)] * 3
    assert [entry["key"] for entry in listed] == [
        None,
        {"id": bob.id, "name": None},
        {"id": ann.id, "name": "ann"},
    ]
    lines = service.operator("jobs").stdout.splitlines()
    assert lines[2].endswith(f"20 B  {bob.id} (revoked)")
    assert lines[3].split()[:4] == [of_ann, "processing", "25%", "3/12"]
    assert lines[3].endswith("20 B  ann")

    def ids(*options: str) -> list[str]:
        return [entry["id"] for entry in json.loads(service.operator("jobs", "--json", *options).stdout)]

    assert ids("--status", "processing") == [of_ann]
    assert ids("--limit", "2") == [of_nobody, of_bob]
    assert ids("--status", "failed") == []
    with pytest.raises(CommandError, match="There is no status done; there are queued, processing"):
        service.operator("jobs", "--status", "done")


@pytest.mark.parametrize("record", [job(), search()], ids=["job", "search"])
def test_a_job_of_any_key_is_deleted_with_its_files_and_its_place_in_the_queue(
    service: Service, record: Record
) -> None:
    record_id = service.submit(record, owner=service.keys.create("ann")[0].id)
    assert service.operator("delete", record_id).stdout == f"{record_id} deleted, with 20 B of files\n"
    assert not service.repository.exists(record_id)
    assert service.queue.waiting_ids() == []
    assert isinstance(service.store, FolderStore)
    assert not service.store.input_video(record_id).exists()
    with pytest.raises(JobNotFound, match="There is no job"):
        service.operator("delete", record_id)


def test_redis_that_is_away_is_told(tmp_path: Path) -> None:
    environment = {"RETINT_DATA_FOLDER": str(tmp_path), "RETINT_REDIS_URL": f"unix://{tmp_path}/nobody.sock"}
    with pytest.raises(ConnectionError):  # cli.main makes one line of it
        runner.invoke(app, ["operator", "delete", "job_1"], env=environment, catch_exceptions=False)
