"""What of a film under way waits before other jobs, and what behind them."""

from dataclasses import replace

from jobs.dispatch import advance
from jobs.queue import JobQueue, piece_entry
from jobs.repository import JobRepository
from tests.jobs.conftest import MakeJob
from tests.jobs.test_pieces import WORK


def test_pieces_take_turns_with_jobs_that_wait(repository: JobRepository, queue: JobQueue, make_job: MakeJob) -> None:
    film, short = make_job(), make_job()
    assert repository.claim(film.id, "a")
    assert repository.pieces.begin(film.id, "a", replace(WORK, after=((), ())))
    queue.enqueue(short.id)
    assert advance(film.id, repository=repository, queue=queue)
    assert queue.waiting_ids() == [short.id, piece_entry(film.id, 0)]


def test_a_film_whose_pieces_are_through_is_put_together_before_all_that_wait(
    repository: JobRepository, queue: JobQueue, make_job: MakeJob
) -> None:
    film, other = make_job(), make_job()
    assert repository.claim(film.id, "a")
    assert repository.pieces.begin(film.id, "a", replace(WORK, through=(0,)))
    queue.enqueue(other.id)
    for _ in range(2):
        assert advance(film.id, repository=repository, queue=queue)
        assert queue.waiting_ids() == [film.id, other.id]
