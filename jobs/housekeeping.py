"""What must be done now and then: jobs of dead workers, jobs whose time is over, files that belong to nobody.

Safe to run from several processes at once, and every few seconds: what it costs grows with the jobs that are open or
ended lately, hardly with those that are only kept.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

import structlog

from jobs.dispatch import WORKER_LOST_DETAIL, advance
from jobs.errors import JobExpired, JobNotFound, WorkerLost
from jobs.log_context import log_lines_about
from jobs.queue import JobQueue
from jobs.record import TERMINAL_STATUSES
from jobs.repository import JobRepository
from jobs.store import Store
from jobs.uploads import drop_unwanted_input

GRACE = timedelta(seconds=30)
"""A job this young may be on its way from its record to the queue."""
ORPHAN_AGE = timedelta(hours=2)
"""Files without a record may be an upload under way; one that was not written to for this long is not."""
TIDIED_FOR = timedelta(hours=1)
"""After its end a job's leftovers are looked for; what a dying process leaves behind, it leaves within seconds."""

log = structlog.stdlib.get_logger("retint.jobs")


def sweep(repository: JobRepository, queue: JobQueue, store: Store, now: datetime) -> None:
    """Set right the records that nobody else did.

    Raises:
        One of `jobs.connection.REDIS_AWAY`: Redis cannot serve; the next sweep catches up.
    """
    queue.recover_abandoned()
    _settle(repository=repository, queue=queue, store=store, now=now)
    for job_id in repository.expired_ids(now=now):
        with log_lines_about(job_id, repository):
            store.delete(job_id)
            repository.delete(job_id, expired=True)
            log.info("job_expired")


def sweep_files(repository: JobRepository, store: Store, now: datetime) -> None:
    """Remove the files that nobody needs: of executions that died, and of nobody.

    Raises:
        One of `jobs.connection.REDIS_AWAY`: Redis cannot serve; the next sweep catches up.
    """
    for job_id, (status, execution_id) in repository.statuses(repository.ended_ids(since=now - TIDIED_FOR)).items():
        # Where the storage was away when the job ended.
        drop_unwanted_input(job_id, repository=repository, store=store)
        published = execution_id if status == "succeeded" else ""
        if store.has_leftovers(job_id, published=published) and _silence(job_id, store=store, now=now) > GRACE:
            store.drop_leftovers(job_id, published=published)
    _remove_orphans(repository.all_ids(), repository=repository, store=store, now=now)
    store.sweep()


def _settle(*, repository: JobRepository, queue: JobQueue, store: Store, now: datetime) -> None:
    """Give every open job the state that it is in."""
    # In this order: a job that waits after it was seen to be worked on has lost that execution.
    open_jobs = repository.open_statuses()
    waiting = set(queue.waiting_ids())
    for job_id, (status, execution_id) in open_jobs.items():
        if status == "processing" and advance(job_id, repository=repository, queue=queue):
            continue
        if job_id not in waiting:
            _settle_absent(job_id, repository=repository, queue=queue, store=store, now=now)
        elif status == "processing" and repository.release(job_id, execution_id):
            # Refused where somebody has claimed it meanwhile.
            with log_lines_about(job_id, repository):
                log.warning("job_waits_again", cause="its worker died")


def _settle_absent(job_id: str, *, repository: JobRepository, queue: JobQueue, store: Store, now: datetime) -> None:
    """Queue a job that waits and is not in the queue; fail one that no worker has and none will take."""
    if queue.is_alive(job_id):
        return
    # First whose it is: who takes it before it is failed may do better.
    status, execution_id = repository.status(job_id)
    try:
        job = repository.get_record(job_id)
    except (JobNotFound, JobExpired):
        return
    if job.status in TERMINAL_STATUSES or job.status != status or now - job.created_at < GRACE:
        return
    owner = execution_id if status == "processing" else None
    # What the queue remembers may be the end of an execution before this try: one that failed the job, and was not yet
    # gone when somebody had it tried again.
    if job.status == "queued" and not queue.is_lost(job_id):
        queue.enqueue(job_id)
        with log_lines_about(job_id, repository):
            log.warning("job_queued_late")
    elif repository.fail(job_id, owner, WorkerLost(WORKER_LOST_DETAIL)):
        store.drop_leftovers(job_id, published="")
        drop_unwanted_input(job_id, repository=repository, store=store)
        with log_lines_about(job_id, repository):
            log.warning("job_failed", code=WorkerLost.code)


def _remove_orphans(known: Collection[str], *, repository: JobRepository, store: Store, now: datetime) -> None:
    """Remove files without a record."""
    for job_id in store.job_ids():
        if job_id in known:
            continue
        try:
            orphaned = not repository.exists(job_id)
        except JobNotFound:
            # No name of ours: somebody else's folder, which is not ours to remove.
            continue
        if orphaned and _silence(job_id, store=store, now=now) > ORPHAN_AGE:
            store.delete(job_id)
            log.warning("orphaned_files_removed", job_id=job_id)


def _silence(job_id: str, *, store: Store, now: datetime) -> timedelta:
    """How long nobody has written to the job's files."""
    return timedelta(seconds=now.timestamp() - store.last_touched(job_id))
