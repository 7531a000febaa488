"""One try at a piece, where it ends badly."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis.exceptions
from redis import Redis

from jobs.connection import connect
from jobs.embedded_redis import embedded_redis
from jobs.errors import StorageFull, StoreAway
from jobs.folder_store import FolderStore
from jobs.options import JobOptions
from jobs.pieces import PieceOwner, PlannedWork
from jobs.queue import JobQueue
from jobs.record import Job
from jobs.repository import JobRepository
from jobs.settings import Settings
from jobs.submission import Submission
from worker import piece_execution
from worker.piece_execution import execute_piece
from worker.shown_pictures import ShownPictures
from worker.workplace import Workplace

JOB = "job_1"


@dataclass
class Hall:
    redis: Redis
    repository: JobRepository
    workplace: Workplace


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    """A job of one piece, planned."""
    (tmp_path / "redis").mkdir()
    with embedded_redis(tmp_path / "redis") as url:
        settings, redis = Settings(redis_url=url, data_folder=tmp_path), connect(url)
        repository = JobRepository(redis, settings.queue_name, retention_seconds=3600)
        queue, store = JobQueue(redis, settings), FolderStore(tmp_path / "store")
        job = Job(id=JOB, status="queued", options=JobOptions(), created_at=datetime.now(UTC))
        repository.create(job, Submission(reference_names=("first.png",)))
        assert repository.claim(JOB, "planner")
        work = PlannedWork(((),), (), 1.0, 0.0, 1, 0, (), {})
        assert repository.pieces.begin(JOB, "planner", work)
        yield Hall(redis, repository, Workplace(settings, repository, store, queue))
        redis.close()


@pytest.mark.parametrize(("lost", "status"), [(True, "processing"), (False, "failed")])
def test_a_full_disk_fails_the_job_only_where_the_piece_is_still_the_workers_own(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, lost: bool, status: str
) -> None:
    def do(_: object) -> None:
        if lost:
            hall.repository.pieces.release(JOB, 0, "slow")
            assert hall.repository.pieces.claim(JOB, 0, "another")
        raise StorageFull("The disk is full.")

    monkeypatch.setattr(piece_execution._Execution, "_do", do)
    execute_piece(JOB, 0, execution_id="slow", workplace=hall.workplace)
    assert hall.repository.get(JOB).status == status


def test_a_failure_whose_acknowledgement_was_lost_stops_the_other_pieces_too(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    def do(_: object) -> None:
        hall.workplace.queue.enqueue_piece(JOB, 1)
        raise StorageFull("The disk is full.")

    fail = hall.repository.fail
    answers: list[bool] = []

    def fail_unheard(*args: Any, **kwargs: Any) -> bool:
        answers.append(fail(*args, **kwargs))
        if len(answers) == 1:
            raise redis.exceptions.ConnectionError("the line broke")
        return answers[-1]

    monkeypatch.setattr(piece_execution._Execution, "_do", do)
    monkeypatch.setattr(hall.repository, "fail", fail_unheard)
    monkeypatch.setattr("worker.persistence.time.sleep", lambda _: None)
    execute_piece(JOB, 0, execution_id="full", workplace=hall.workplace)
    assert answers == [True, True]
    assert hall.repository.get(JOB).status == "failed"
    assert hall.workplace.queue.length() == 0
    # Of another failure, or of another execution, it is not true.
    other = StorageFull("The disk of another is full.")
    assert not fail(JOB, "planner", other, piece=PieceOwner(1, "another"))
    assert not fail(JOB, "another", StorageFull("The disk is full."))


def test_pictures_that_cannot_be_stored_are_not_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderStore(tmp_path)
    pictures = ShownPictures(store, job_id=JOB)

    def refuse(*_: object) -> None:
        raise StoreAway("The storage does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(store, "write_still", refuse)
        pictures.add(0, b"picture")
        assert not pictures.store()
    store.create(JOB)
    pictures.add(1, b"picture")
    assert pictures.store()
    assert pictures.stored == {1}
