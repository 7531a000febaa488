import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis
from rq import Queue
from rq.executions import Execution
from rq.job import Job as QueuedJob
from rq.job import JobStatus
from structlog.testing import capture_logs

from jobs.cancellation import cancel_job, delete_job
from jobs.errors import JobAlreadyFinished, JobExpired, JobNotFound, VariantNotFound, VideoUndecodable
from jobs.folder_store import FolderStore
from jobs.housekeeping import GRACE, sweep, sweep_files
from jobs.options import JobOptions
from jobs.pieces import PlannedWork
from jobs.queue import JobQueue
from jobs.record import Job, Progress, Record
from jobs.repository import JobRepository
from jobs.retrying import retry_job
from jobs.settings import Settings

MakeJob = Callable[..., Job]


def now() -> datetime:
    return datetime.now(UTC)


def queued_job(redis: Redis, job_id: str) -> QueuedJob:
    return QueuedJob.fetch(job_id, connection=redis, serializer="json")


def take_and_die(redis: Redis, settings: Settings, job_id: str) -> None:
    """Do what a worker does when it takes the job, and be held for dead since a second."""
    job = queued_job(redis, job_id)
    Queue(settings.queue_name, connection=redis, serializer="json").remove(job_id)
    with redis.pipeline() as pipeline:
        Execution.create(job, 100, pipeline=pipeline, worker_name="dead")
        job.prepare_for_execution("dead", pipeline)
        pipeline.execute()
    registry = f"rq:wip:{settings.queue_name}"
    for entry in redis.zrange(registry, 0, -1):
        redis.zadd(registry, {entry: time.time() - 1})


def test_the_queue_holds_ids_as_json_and_a_function_by_name(queue: JobQueue, redis: Redis) -> None:
    queue.enqueue("job_1")
    job = queued_job(redis, "job_1")
    assert (job.func_name, job.args, job.kwargs) == ("worker.execution.run", ["job_1"], {})
    assert json.loads(job.data)[0] == "worker.execution.run"


def test_a_job_is_queued_once(queue: JobQueue) -> None:
    queue.enqueue("job_1")
    queue.enqueue("job_2")
    queue.enqueue("job_1")
    assert queue.waiting_ids() == ["job_1", "job_2"]
    assert queue.length() == 2


def test_stopping_takes_a_waiting_job_out(queue: JobQueue) -> None:
    queue.enqueue("job_1")
    queue.stop("job_1")
    queue.stop("job_1")
    queue.stop("job_unknown")
    assert queue.length() == 0
    assert not queue.is_alive("job_1")


def test_without_workers_none_are_counted(queue: JobQueue) -> None:
    assert queue.worker_count() == 0
    assert queue.ping()


@pytest.mark.parametrize("keep", [True, False])
def test_canceling_ends_the_job_and_frees_its_files_but_an_input_that_is_to_be_kept(
    repository: JobRepository, queue: JobQueue, store: FolderStore, tmp_path: Path, keep: bool
) -> None:
    job = Job(id="job_1", status="queued", options=JobOptions(keep_input=keep), created_at=now())
    repository.create(job)
    store.create(job.id)
    with store.open_input_writer(job.id, "video") as writer:
        writer.write(b"film")
    (tmp_path / "half").write_bytes(b"half a film")
    store.keep(job.id, "half", tmp_path / "half")
    queue.enqueue(job.id)
    for _ in range(2):
        cancel_job(job.id, repository=repository, queue=queue, store=store)
        assert repository.get(job.id).status == "canceled"
    sweep_files(repository, store, now() + 2 * GRACE)
    assert store.input_video(job.id).exists() == keep
    assert store.kept(job.id) == []
    assert queue.length() == 0


def test_an_ended_job_cannot_be_canceled(
    repository: JobRepository, queue: JobQueue, store: FolderStore, make_job: MakeJob
) -> None:
    job = make_job()
    repository.claim(job.id, "a")
    repository.finish(job.id, "a", variants=[], progress=Progress(fraction=1))
    with pytest.raises(JobAlreadyFinished):
        cancel_job(job.id, repository=repository, queue=queue, store=store)
    with pytest.raises(JobNotFound):
        cancel_job("job_unknown", repository=repository, queue=queue, store=store)


def test_deleting_removes_record_files_and_place_in_the_queue(
    repository: JobRepository, queue: JobQueue, store: FolderStore, make_job: MakeJob
) -> None:
    job = make_job()
    store.create(job.id)
    queue.enqueue(job.id)
    delete_job(job.id, repository=repository, queue=queue, store=store)
    assert list(store.job_ids()) == []
    assert queue.length() == 0
    with pytest.raises(JobNotFound):
        delete_job(job.id, repository=repository, queue=queue, store=store)


def test_the_job_of_a_dead_worker_is_tried_again_until_no_try_is_left(
    repository: JobRepository, store: FolderStore, redis: Redis, settings: Settings, make_job: MakeJob
) -> None:
    queue = JobQueue(redis, settings.model_copy(update={"retries": 1}))
    job = make_job(created_at=now() - timedelta(minutes=5))
    store.create(job.id)
    queue.enqueue(job.id)
    repository.claim(job.id, "a")
    take_and_die(redis, settings, job.id)
    sweep(repository, queue, store, now())
    waiting = repository.get(job.id)
    assert (waiting.status, waiting.queue_position, waiting.error) == ("queued", 0, None)

    repository.claim(job.id, "b")
    store.open_execution(job.id, "b")
    take_and_die(redis, settings, job.id)
    sweep(repository, queue, store, now())
    lost = repository.get(job.id)
    assert lost.status == "failed"
    assert lost.error is not None
    assert lost.error.code == "worker_lost"
    assert list((store.input_video(job.id).parents[1] / "executions").iterdir()) == []


def test_a_processing_job_that_the_queue_forgot_is_lost(
    repository: JobRepository, queue: JobQueue, store: FolderStore, make_job: MakeJob
) -> None:
    job = make_job(created_at=now() - timedelta(minutes=5))
    repository.claim(job.id, "a")
    sweep(repository, queue, store, now())
    error = repository.get(job.id).error
    assert error is not None
    assert error.code == "worker_lost"


@pytest.mark.parametrize("first", ["processing", "queued"])
def test_a_job_that_is_taken_while_it_is_looked_at_is_left_to_who_took_it(
    repository: JobRepository,
    queue: JobQueue,
    store: FolderStore,
    make_job: MakeJob,
    monkeypatch: pytest.MonkeyPatch,
    first: str,
) -> None:
    job = make_job(created_at=now() - timedelta(minutes=5))
    if first == "processing":
        repository.claim(job.id, "a")
    read = repository.get_record

    def read_late(job_id: str) -> Record:
        repository.claim(job_id, "b")
        return read(job_id)

    monkeypatch.setattr(repository, "get_record", read_late)
    sweep(repository, queue, store, now())
    assert repository.status(job.id) == ("processing", "b")


def test_a_lost_job_keeps_no_upload_that_was_not_to_be_kept(
    repository: JobRepository, queue: JobQueue, store: FolderStore
) -> None:
    options = JobOptions(keep_input=False)
    repository.create(Job(id="job_1", status="queued", options=options, created_at=now() - timedelta(minutes=5)))
    repository.claim("job_1", "a")
    store.create("job_1")
    with store.open_input_writer("job_1", "video") as writer:
        writer.write(b"film")
    sweep(repository, queue, store, now())
    assert repository.get("job_1").status == "failed"
    assert not store.input_video("job_1").exists()


def test_a_waiting_job_that_never_reached_the_queue_is_queued(
    repository: JobRepository, queue: JobQueue, store: FolderStore, make_job: MakeJob
) -> None:
    old = make_job(created_at=now() - timedelta(minutes=5))
    make_job()  # on its way
    sweep(repository, queue, store, now())
    assert queue.waiting_ids() == [old.id]


def test_a_job_that_is_retried_before_its_execution_is_gone_is_tried_again(
    repository: JobRepository, queue: JobQueue, store: FolderStore, redis: Redis, settings: Settings, make_job: MakeJob
) -> None:
    job = make_job(created_at=now() - timedelta(minutes=5))
    queue.enqueue(job.id)
    Queue(settings.queue_name, connection=redis, serializer="json").remove(job.id)
    queued_job(redis, job.id).set_status(JobStatus.STARTED)
    assert repository.claim(job.id, "a")
    assert repository.fail(job.id, "a", VideoUndecodable("It is no video."))
    retry_job(job.id, repository=repository, queue=queue)
    queued_job(redis, job.id).set_status(JobStatus.FINISHED)
    sweep(repository, queue, store, now())
    assert repository.get(job.id).status == "queued"
    assert queue.waiting_ids() == [job.id]


def test_a_sweep_while_a_lost_job_is_retried_does_not_fail_it(
    repository: JobRepository,
    queue: JobQueue,
    store: FolderStore,
    redis: Redis,
    make_job: MakeJob,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = make_job(created_at=now() - timedelta(minutes=5))
    queue.enqueue(job.id)
    queue_of_rq = Queue(queued_job(redis, job.id).origin, connection=redis, serializer="json")
    queue_of_rq.remove(job.id)
    queued_job(redis, job.id).set_status(JobStatus.FAILED)
    assert repository.fail(job.id, None, VideoUndecodable("It is no video."))
    reopen = repository.reopen

    def reopen_and_sweep(job_id: str) -> bool:
        reopened = reopen(job_id)
        sweep(repository, queue, store, now())
        return reopened

    monkeypatch.setattr(repository, "reopen", reopen_and_sweep)
    retry_job(job.id, repository=repository, queue=queue)
    assert repository.get(job.id).status == "queued"
    assert queue.waiting_ids() == [job.id]


def test_a_worker_that_begins_the_pieces_of_a_retried_job_at_once_keeps_them(
    repository: JobRepository, queue: JobQueue, redis: Redis, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, pieces = make_job(), repository.pieces
    work = PlannedWork(((), ()), (), 2.0, 0.0, 2, 0, (), {})
    assert repository.claim(job.id, "a")
    assert pieces.begin(job.id, "a", work)
    assert pieces.claim(job.id, 0, "b")
    assert pieces.tell(job.id, 0, "b", work=1.0, frames=1, through=True)
    assert pieces.add_stills(job.id, [0]) == [0]
    assert repository.fail(job.id, "a", VideoUndecodable("It is no video."))
    reopen = repository.reopen

    def reopen_and_begin(job_id: str) -> bool:
        reopened = reopen(job_id)
        assert redis.keys(f"*{job_id}*piece*") == []
        assert repository.claim(job_id, "c")
        assert pieces.begin(job_id, "c", work)
        return reopened

    monkeypatch.setattr(repository, "reopen", reopen_and_begin)
    retry_job(job.id, repository=repository, queue=queue)
    state = pieces.look(job.id)
    assert state is not None
    assert (state.run, state.through) == ("c", frozenset())


def test_living_jobs_are_left_alone(
    repository: JobRepository, queue: JobQueue, store: FolderStore, redis: Redis, settings: Settings, make_job: MakeJob
) -> None:
    waiting, running = (make_job(created_at=now() - timedelta(minutes=5)) for _ in range(2))
    for job in (waiting, running):
        store.create(job.id)
        queue.enqueue(job.id)
    Queue(settings.queue_name, connection=redis, serializer="json").remove(running.id)
    queued_job(redis, running.id).set_status(JobStatus.STARTED)
    repository.claim(running.id, "a")
    store.open_execution(running.id, "a")
    sweep(repository, queue, store, now() + timedelta(days=1))
    assert repository.get(waiting.id).status == "queued"
    assert repository.get(running.id).status == "processing"
    assert (store.input_video(running.id).parents[1] / "executions" / "a").exists()


def test_an_expired_job_goes_with_its_files(
    repository: JobRepository, queue: JobQueue, store: FolderStore, make_job: MakeJob
) -> None:
    job = make_job()
    store.create(job.id)
    repository.cancel(job.id)
    sweep(repository, queue, store, now())
    assert list(store.job_ids()) == [job.id]
    sweep(repository, queue, store, now() + timedelta(hours=2))
    assert list(store.job_ids()) == []
    with pytest.raises(JobExpired):
        repository.get(job.id)


@pytest.mark.parametrize("how", ["succeeded", "failed", "canceled"])
def test_a_sweep_that_was_cut_off_is_made_up_for(
    repository: JobRepository,
    queue: JobQueue,
    store: FolderStore,
    make_job: MakeJob,
    how: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = make_job()
    store.create(job.id)
    assert repository.claim(job.id, "a")
    if how == "succeeded":
        assert repository.finish(job.id, "a", variants=[], progress=Progress())
    elif how == "failed":
        assert repository.fail(job.id, "a", VideoUndecodable("It is no video."))
    else:
        assert repository.cancel(job.id)
    later = now() + timedelta(hours=2)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(repository, "delete", die)
        with pytest.raises(KeyboardInterrupt):
            sweep(repository, queue, store, later)
    assert repository.all_ids() == {job.id}
    sweep(repository, queue, store, later)
    assert repository.all_ids() == set()
    assert list(store.job_ids()) == []
    with pytest.raises(JobExpired):
        repository.get(job.id)


def test_files_without_a_job_go_when_nobody_has_written_to_them_for_long(
    repository: JobRepository, store: FolderStore, tmp_path: Path
) -> None:
    store.create("job_orphan")
    store.create("job_uploading")
    (tmp_path / "store" / "jobs" / "lost+found").mkdir()
    long_ago = time.time() - 24 * 3600
    for folder, _, _ in os.walk(tmp_path / "store" / "jobs" / "job_orphan"):
        os.utime(folder, (long_ago, long_ago))
    with capture_logs() as lines:
        sweep_files(repository, store, now())
    assert [line["job_id"] for line in lines if line["event"] == "orphaned_files_removed"] == ["job_orphan"]
    assert set(store.job_ids()) == {"job_uploading", "lost+found"}


def test_whoever_finds_what_a_killed_worker_left_tells_of_it_once(
    queue: JobQueue, redis: Redis, settings: Settings
) -> None:
    queue.enqueue("job_1")
    queue.enqueue_piece("job_2", 7)
    for entry in ("job_1", "job_2-7"):
        take_and_die(redis, settings, entry)
    with capture_logs() as lines:
        queue.recover_abandoned()
        queue.recover_abandoned()
    told = [(line["event"], line["worker"], line["job_id"], line.get("piece")) for line in lines]
    assert sorted(told, key=str) == [
        ("execution_abandoned", "dead", "job_1", None),
        ("execution_abandoned", "dead", "job_2", "7"),
    ]


def test_a_job_whose_worker_died_is_stopped_though_the_record_of_that_has_expired(
    queue: JobQueue, redis: Redis, settings: Settings
) -> None:
    queue.enqueue("job_1")
    take_and_die(redis, settings, "job_1")
    queue.recover_abandoned()
    for key in redis.scan_iter("rq:execution:*"):
        redis.delete(key)
    assert queue.is_alive("job_1")
    queue.stop("job_1")
    assert not queue.is_alive("job_1")
    queue.enqueue("job_1")
    assert queue.waiting_ids() == ["job_1"]


def test_work_folders_of_ended_jobs_go(repository: JobRepository, store: FolderStore, make_job: MakeJob) -> None:
    job = make_job()
    store.create(job.id)
    work = store.open_execution(job.id, "a")
    repository.cancel(job.id)
    sweep_files(repository, store, now())
    assert work.exists()
    sweep_files(repository, store, now() + timedelta(minutes=5))
    assert not work.exists()


def test_jobs_that_are_only_kept_cost_a_sweep_nothing(
    repository: JobRepository,
    queue: JobQueue,
    store: FolderStore,
    redis: Redis,
    make_job: MakeJob,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(100):
        job = make_job()
        store.create(job.id)
        repository.cancel(job.id)
    looked_at: list[str] = []
    monkeypatch.setattr(store, "last_touched", lambda job_id: looked_at.append(job_id) or 0.0)
    before = commands(redis)
    sweep(repository, queue, store, now())
    sweep_files(repository, store, now() + timedelta(hours=2))
    assert commands(redis) - before < 30
    assert looked_at == []


def test_an_input_that_was_not_to_be_kept_goes_also_where_the_end_of_its_job_left_it(
    repository: JobRepository, store: FolderStore
) -> None:
    for name, keep in (("job_1", False), ("job_2", True)):
        repository.create(
            Job(id=name, status="queued", options=JobOptions(keep_input=keep), created_at=now()),
        )
        store.create(name)
        with store.open_input_writer(name, "video") as writer:
            writer.write(b"film")
        assert repository.claim(name, "a")
        sweep_files(repository, store, now())
        assert store.input_video(name).exists()
        assert repository.finish(name, "a", variants=[], progress=Progress())
    sweep_files(repository, store, now())
    assert not store.input_video("job_1").exists()
    assert store.input_video("job_2").exists()


@pytest.mark.parametrize("how", ["succeeded", "failed", "canceled"])
def test_only_what_the_record_names_stays_of_what_was_published(
    repository: JobRepository, store: FolderStore, make_job: MakeJob, how: str
) -> None:
    job = make_job()
    store.create(job.id)
    for execution in ("died", "finished"):
        work = store.open_execution(job.id, execution)
        (work / "video.mp4").write_text(execution)
        store.publish(job.id, execution, [work / "video.mp4"])
    assert repository.claim(job.id, "finished")
    if how == "succeeded":
        assert repository.finish(job.id, "finished", variants=[], progress=Progress())
    elif how == "failed":
        assert repository.fail(job.id, "finished", VideoUndecodable("It is no video."))
    else:
        assert repository.cancel(job.id)
    sweep_files(repository, store, now() + timedelta(minutes=5))
    with pytest.raises(VariantNotFound):
        store.find_result(job.id, "died", "video")
    if how == "succeeded":
        assert store.find_result(job.id, "finished", "video").read_text() == "finished"
    else:
        with pytest.raises(VariantNotFound):
            store.find_result(job.id, "finished", "video")


def test_jobs_that_wait_cost_a_sweep_one_command_each(
    repository: JobRepository, queue: JobQueue, store: FolderStore, redis: Redis, make_job: MakeJob
) -> None:
    for _ in range(100):
        queue.enqueue(make_job(created_at=now() - timedelta(minutes=5)).id)
    before = commands(redis)
    sweep(repository, queue, store, now())
    assert commands(redis) - before < 130
    assert queue.length() == 100


def commands(redis: Redis) -> int:
    """Commands that the server has done so far."""
    return int(redis.info("stats")["total_commands_processed"])
