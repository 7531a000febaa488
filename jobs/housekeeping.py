"""What must be done now and then: jobs of dead workers, jobs whose time is over, files that belong to nobody.

Safe to run from several processes at once.
"""

from datetime import datetime, timedelta

from jobs.errors import JobExpired, JobNotFound, WorkerLost
from jobs.queue import JobQueue
from jobs.record import TERMINAL_STATUSES
from jobs.repository import JobRepository
from jobs.store import FolderStore

GRACE = timedelta(seconds=30)
"""A job this young may be on its way from its record to the queue."""
ORPHAN_AGE = timedelta(hours=2)
"""Files without a record may be an upload under way; one that was not written to for this long is not."""

WORKER_LOST_DETAIL = (
    "The worker that ran the job died, and so did every retry. It may have run out of memory; try a smaller "
    "`working_size`, and have the operator look at the worker's log."
)


def sweep(repository: JobRepository, queue: JobQueue, store: FolderStore, now: datetime) -> None:
    """Set right whatever nobody else did.

    Raises:
        redis.exceptions.ConnectionError, redis.exceptions.TimeoutError: Redis is away; the next sweep catches up.
    """
    queue.recover_abandoned()
    for job_id in repository.open_ids():
        _settle(job_id, repository=repository, queue=queue, store=store, now=now)
    for job_id in repository.expired_ids(now=now):
        store.delete(job_id)
        repository.delete(job_id, expired=True)
    for job_id in store.job_ids():
        _tidy(job_id, repository=repository, store=store, now=now)
    store.empty_trash()


def _settle(job_id: str, *, repository: JobRepository, queue: JobQueue, store: FolderStore, now: datetime) -> None:
    """Fail an open job that no worker has and none will take; queue one that never got into the queue."""
    status, execution_id = repository.status(job_id)
    if queue.is_alive(job_id):
        if status == "processing" and queue.position(job_id) is not None:
            # Its worker died and it waits for another try: say so. Refused where somebody has claimed it meanwhile.
            repository.release(job_id, execution_id)
        return
    try:
        job = repository.get(job_id)
    except (JobNotFound, JobExpired):
        return
    if job.status in TERMINAL_STATUSES or now - job.created_at < GRACE:
        return
    if job.status == "queued" and not queue.is_known(job_id):
        queue.enqueue(job_id)
    elif repository.fail(job_id, None, WorkerLost(WORKER_LOST_DETAIL)):
        store.discard_executions(job_id)


def _tidy(job_id: str, *, repository: JobRepository, store: FolderStore, now: datetime) -> None:
    """Remove files without a record, and work folders of ended jobs."""
    try:
        status, _ = repository.status(job_id)
    except JobNotFound:
        # No name of ours: somebody else's folder, which is not ours to remove.
        return
    age = now.timestamp() - store.last_touched(job_id)
    if status is None and age > ORPHAN_AGE.total_seconds():
        store.delete(job_id)
    elif status in TERMINAL_STATUSES and age > GRACE.total_seconds():
        store.discard_executions(job_id)
