"""Puts into the queue what can be done now of a planned job: its next pieces, or, after the last one, itself.

Pieces go to the end, behind jobs that nobody has begun: a short film that comes while a long one is colored has its
turn after every piece of that, also where there is one worker. Equal jobs that come together are then done by turns,
and end together. A job whose pieces are through goes to the front: what it lacks takes seconds.
"""

import structlog

from jobs.errors import WorkerLost
from jobs.log_context import log_lines_about
from jobs.queue import JobQueue, piece_entry
from jobs.repository import JobRepository

WORKER_LOST_DETAIL = (
    "The worker that ran the job died, and so did every retry. It may have run out of memory; try a smaller "
    "`working_size`, and have the operator look at the worker's log."
)
SPARE = 1
"""Pieces of one job in the queue beyond one per worker: a worker that is done finds its next one there, and another job
that comes waits for so many pieces at most."""

log = structlog.stdlib.get_logger("retint.jobs")


def advance(job_id: str, *, repository: JobRepository, queue: JobQueue) -> bool:
    """Put in what can be done now and is not in the queue; safe to call at any time, by anybody, as often as one likes.

    Returns whether the job is one whose pieces are being done; nothing happens where it is not. One whose workers died
    on every try fails.

    Raises:
        One of `jobs.connection.REDIS_AWAY`: Redis cannot serve; the next call catches up.
    """
    state = repository.pieces.look(job_id)
    if state is None or repository.status(job_id) != ("processing", state.run):
        return False
    if state.are_through:
        if queue.is_lost(job_id):
            _fail_as_lost(job_id, state.run, repository=repository, queue=queue)
        else:
            queue.enqueue(job_id, first=True)
        return True
    busy = set()
    for number in queue.pieces_in_queue(job_id):
        if number in state.through or not queue.is_alive(piece_entry(job_id, number)):
            queue.forget_piece(job_id, number)
        else:
            busy.add(number)
    room = queue.worker_count() + SPARE - len(busy)
    for number in state.ready():
        if number in busy:
            continue
        if queue.is_lost(piece_entry(job_id, number)):
            _fail_as_lost(job_id, state.run, repository=repository, queue=queue)
            break
        if room <= 0:
            break
        queue.enqueue_piece(job_id, number)
        room -= 1
    return True


def _fail_as_lost(job_id: str, run: str, *, repository: JobRepository, queue: JobQueue) -> None:
    if repository.fail(job_id, run, WorkerLost(WORKER_LOST_DETAIL)):
        queue.stop(job_id)
        with log_lines_about(job_id, repository):
            log.warning("job_failed", code=WorkerLost.code)
