from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis
from rq import Queue

from jobs.errors import InvalidRequest, JobNotFound
from jobs.queue import JobQueue
from jobs.record import Job
from jobs.repository import JobRepository
from jobs.settings import Settings

MakeJob = Callable[..., Job]
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("job_id", ["job_0", "../../etc", "", "a" * 65, "job\n", "job:x"])
def test_an_unknown_or_malformed_name_is_no_job(repository: JobRepository, job_id: str) -> None:
    with pytest.raises(JobNotFound):
        repository.get(job_id)


def test_the_list_is_newest_first_and_pages_are_stable(repository: JobRepository, make_job: MakeJob) -> None:
    jobs = [make_job(created_at=NOON + timedelta(seconds=i // 2)) for i in range(7)]
    first = repository.list(limit=3)
    assert first.has_more
    make_job(created_at=NOON + timedelta(hours=1))
    repository.delete(first.data[-1].id)
    second = repository.list(limit=3, after=first.next)
    third = repository.list(limit=3, after=second.next)
    listed = [job.id for page in (first, second, third) for job in page.data]
    assert sorted(listed) == sorted(job.id for job in jobs)
    times = [job.created_at for page in (first, second, third) for job in page.data]
    assert times == sorted(times, reverse=True)
    assert not third.has_more
    assert third.next is None


def test_the_list_finds_the_rare_status_behind_many_others(repository: JobRepository, make_job: MakeJob) -> None:
    rare = make_job(created_at=NOON)
    repository.cancel(rare.id)
    for i in range(230):
        make_job(created_at=NOON + timedelta(seconds=i + 1))
    page = repository.list(status="canceled", limit=5)
    assert [job.id for job in page.data] == [rare.id]
    assert not page.has_more


def test_a_cursor_of_somebody_else_is_refused(repository: JobRepository) -> None:
    for cursor in ("?", "bm9wZQ", "ü", "00000000000000000-", "00000000000000000-job:1"):
        with pytest.raises(InvalidRequest):
            repository.list(after=cursor)


def test_the_queue_position_is_counted_from_zero(repository: JobRepository, queue: JobQueue, make_job: MakeJob) -> None:
    jobs = [make_job() for _ in range(3)]
    for job in jobs:
        queue.enqueue(job.id)
    assert [repository.get(job.id).queue_position for job in jobs] == [0, 1, 2]
    assert {job.queue_position for job in repository.list().data} == {0, 1, 2}
    repository.claim(jobs[0].id, "a")
    assert repository.get(jobs[0].id).queue_position is None


def test_pieces_of_a_job_that_is_being_done_are_no_jobs_that_wait(
    repository: JobRepository, queue: JobQueue, make_job: MakeJob
) -> None:
    running, first, second = (make_job() for _ in range(3))
    assert repository.claim(running.id, "a")
    queue.enqueue_piece(running.id, 0)
    queue.enqueue(first.id)
    queue.enqueue_piece(running.id, 1)
    # It is put together next.
    queue.enqueue(running.id)
    queue.enqueue(second.id)
    assert [repository.get(job.id).queue_position for job in (running, first, second)] == [None, 0, 1]
    assert [repository.look(job.id).queue_position for job in (running, first, second)] == [None, 0, 1]
    assert [job.queue_position for job in repository.list().data] == [1, 0, None]


def test_a_job_that_a_worker_is_just_taking_is_the_next(
    repository: JobRepository, queue: JobQueue, redis: Redis, settings: Settings, make_job: MakeJob
) -> None:
    job = make_job()
    queue.enqueue(job.id)
    taken = Queue.dequeue_any([Queue(settings.queue_name, connection=redis, serializer="json")], None, connection=redis)
    assert taken is not None
    assert taken[0].id == job.id
    assert repository.get(job.id).queue_position == 0
    assert repository.list().data[0].queue_position == 0
