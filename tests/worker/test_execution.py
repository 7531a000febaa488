"""One execution, in this process: how it ends and what it leaves."""

import errno
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis.exceptions
import torch
from redis import Redis

from jobs.connection import connect
from jobs.embedded_redis import embedded_redis
from jobs.errors import StoreAway, VariantNotFound
from jobs.folder_store import FolderStore
from jobs.identifiers import new_job_id
from jobs.options import JobOptions
from jobs.pieces import PlannedWork
from jobs.queue import JobQueue
from jobs.record import Job, Progress
from jobs.repository import JobRepository
from jobs.settings import Settings
from jobs.stores import open_store
from jobs.submission import Submission
from models import errors as model_errors
from worker.execution import execute
from worker.observer import Observer
from worker.task import ColorizationTask, VariantFile
from worker.workplace import Workplace

Behavior = Callable[[ColorizationTask, Observer], tuple[VariantFile, ...]]


class Desk:
    def __init__(self, client: Redis, settings: Settings) -> None:
        self.repository = JobRepository(client, settings.queue_name)
        self.queue = JobQueue(client, settings)
        self.settings = settings
        self.store: FolderStore = open_store(settings)

    def submit(self, *, keep_input: bool = True) -> str:
        job_id = new_job_id()
        self.store.create(job_id)
        for index in range(2):
            with self.store.open_input_writer(job_id, "reference", index) as writer:
                writer.write(b"picture %d" % index)
        with self.store.open_input_writer(job_id, "video") as writer:
            writer.write(b"film")
        job = Job(id=job_id, status="queued", options=JobOptions(keep_input=keep_input), created_at=datetime.now(UTC))
        self.repository.create(job, Submission(reference_names=("../evil.png", "b.png")))
        return job_id

    def execute(self, job_id: str, behavior: Behavior, *, execution_id: str = "a") -> Job:
        def colorize(
            task: ColorizationTask, *, observer: Observer, device: str, weights_folder: Path
        ) -> tuple[VariantFile, ...]:
            return behavior(task, observer)

        execute(
            job_id,
            execution_id=execution_id,
            workplace=Workplace(self.settings, self.repository, self.store, self.queue, colorize),
        )
        return self.repository.get(job_id)

    def published(self, job_id: str) -> Path:
        """What the record names."""
        return self.store.find_result(job_id, self.repository.status(job_id)[1], "video")

    def execution_folders(self, job_id: str) -> list[Path]:
        return list((self.store.input_video(job_id).parents[1] / "executions").iterdir())


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def desk(redis_url: str, tmp_path: Path) -> Iterator[Desk]:
    settings = Settings(redis_url=redis_url, data_folder=tmp_path)
    with connect(redis_url) as client:
        yield Desk(client, settings)


def color(task: ColorizationTask, observer: Observer) -> tuple[VariantFile, ...]:
    path = task.folder / "any name.mkv"
    path.write_bytes(task.video.read_bytes().upper())
    return (VariantFile("video", path, "video/x-matroska"),)


def raising(error: Exception) -> Behavior:
    def behave(task: ColorizationTask, observer: Observer) -> tuple[VariantFile, ...]:
        (task.folder / "half.mp4").write_bytes(b"half")
        raise error

    return behave


def test_the_pipeline_gets_the_files_under_the_names_that_users_gave(desk: Desk) -> None:
    seen: list[ColorizationTask] = []

    def look(task: ColorizationTask, observer: Observer) -> tuple[VariantFile, ...]:
        seen.append(task)
        assert list(task.folder.iterdir()) == []
        assert [reference.path.read_bytes() for reference in task.references] == [b"picture 0", b"picture 1"]
        return color(task, observer)

    job_id = desk.submit()
    assert desk.execute(job_id, look).status == "succeeded"
    assert [reference.name for reference in seen[0].references] == ["../evil.png", "b.png"]
    assert seen[0].limits.max_frames == desk.settings.max_frames
    assert desk.published(job_id).read_bytes() == b"FILM"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "storage_full"),
        (StoreAway("There is no bucket films."), "storage_unavailable"),
        (MemoryError(), "out_of_memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (model_errors.OutOfMemory("The GPU is full."), "out_of_memory"),
        (model_errors.WeightsMissing("Run `retint weights fetch`."), "weights_missing"),
        (ZeroDivisionError("division by zero"), "internal"),
        (OSError(errno.EIO, "Input/output error"), "internal"),
    ],
)
def test_what_goes_wrong_has_a_code_and_leaves_no_files(desk: Desk, error: Exception, code: str) -> None:
    job_id = desk.submit()
    job = desk.execute(job_id, raising(error))
    assert job.status == "failed"
    assert job.error is not None
    assert job.error.code == code
    assert job.error.detail.endswith(".")
    assert desk.execution_folders(job_id) == []
    with pytest.raises(VariantNotFound):
        desk.published(job_id)


def test_an_execution_that_was_taken_over_cannot_publish(desk: Desk) -> None:
    def be_overtaken(task: ColorizationTask, observer: Observer) -> tuple[VariantFile, ...]:
        newer = desk.execute(job_id, color, execution_id="b")
        assert newer.status == "succeeded"
        task.video.write_bytes(b"stale")
        return color(task, observer)

    job_id = desk.submit()
    job = desk.execute(job_id, be_overtaken, execution_id="a")
    assert job.status == "succeeded"
    assert desk.published(job_id).read_bytes() == b"FILM"
    assert desk.execution_folders(job_id) == []


def test_an_execution_canceled_at_the_last_moment_publishes_nothing(desk: Desk) -> None:
    def be_canceled(task: ColorizationTask, observer: Observer) -> tuple[VariantFile, ...]:
        files = color(task, observer)
        assert desk.repository.cancel(job_id)
        return files

    job_id = desk.submit()
    assert desk.execute(job_id, be_canceled).status == "canceled"
    with pytest.raises(VariantNotFound):
        desk.published(job_id)


def test_an_ended_job_is_not_done_again(desk: Desk) -> None:
    job_id = desk.submit()
    desk.execute(job_id, color)
    before = desk.repository.get(job_id)
    assert desk.execute(job_id, raising(RuntimeError("again")), execution_id="b") == before


def test_an_upload_that_vanished_is_said(desk: Desk) -> None:
    job_id = desk.submit()
    desk.store.drop_input(job_id)
    error = desk.execute(job_id, color).error
    assert error is not None
    assert error.code == "storage_unavailable"
    assert "Submit the job again" in error.detail


@pytest.mark.parametrize("behavior", [color, raising(MemoryError()), raising(ZeroDivisionError())])
def test_an_upload_goes_with_the_end_of_its_job_where_it_is_not_to_be_kept(desk: Desk, behavior: Behavior) -> None:
    kept, dropped = desk.submit(), desk.submit(keep_input=False)
    for job_id in (kept, dropped):
        desk.execute(job_id, behavior)
    assert desk.store.input_video(kept).exists()
    assert not desk.store.input_video(dropped).exists()


def test_a_success_whose_acknowledgement_was_lost_is_one(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    finish = desk.repository.finish
    answers: list[bool] = []

    def finish_unheard(*args: Any, **kwargs: Any) -> bool:
        answers.append(finish(*args, **kwargs))
        if len(answers) == 1:
            raise redis.exceptions.ConnectionError("the line broke")
        return answers[-1]

    monkeypatch.setattr(desk.repository, "finish", finish_unheard)
    monkeypatch.setattr("worker.persistence.time.sleep", lambda _: None)
    job_id = desk.submit(keep_input=False)
    assert desk.execute(job_id, color).status == "succeeded"
    assert answers == [True, True]
    assert not desk.store.input_video(job_id).exists()


def test_a_deleted_job_leaves_nothing_behind(desk: Desk) -> None:
    def be_deleted(task: ColorizationTask, observer: Observer) -> tuple[VariantFile, ...]:
        files = color(task, observer)
        desk.repository.delete(job_id)
        desk.store.delete(job_id)
        return files

    job_id = desk.submit()
    workplace = Workplace(
        desk.settings, desk.repository, desk.store, desk.queue, lambda task, **kw: be_deleted(task, kw["observer"])
    )
    execute(job_id, execution_id="a", workplace=workplace)
    assert job_id not in set(desk.store.job_ids())


def test_a_job_whose_pieces_are_through_is_shown_on_where_the_acknowledgement_of_its_claim_was_lost(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, repository = desk.submit(), desk.repository
    assert repository.claim(job_id, "planner")
    assert repository.pieces.begin(job_id, "planner", PlannedWork((), (), 1.0, 1.0, 1, 1, (), {}))
    assert repository.update(job_id, "planner", phase="colorizing", progress=Progress(fraction=0.9))
    before, go_on = repository.get(job_id), repository.go_on

    def go_on_unheard(*args: Any) -> bool:
        assert go_on(*args)
        # As the client of Redis does by itself.
        assert go_on(*args)
        raise redis.exceptions.ConnectionError("the line broke")

    monkeypatch.setattr(repository, "go_on", go_on_unheard)
    monkeypatch.setattr("worker.persistence.time.sleep", lambda _: None)
    seen: list[Job] = []

    def look(task: ColorizationTask, observer: Observer) -> tuple[VariantFile, ...]:
        seen.append(repository.get(job_id))
        return color(task, observer)

    assert desk.execute(job_id, look).status == "succeeded"
    assert seen == [before]
