"""Uploads that their users did not want kept."""

from jobs.errors import JobExpired, JobNotFound
from jobs.record import TERMINAL_STATUSES
from jobs.repository import JobRepository
from jobs.store import Store
from jobs.tidying import tidying


def drop_unwanted_input(job_id: str, *, repository: JobRepository, store: Store) -> None:
    """Remove the upload of a job that has ended, however it ended, where `keep_input` is false, and what was made of it
    on the way: nothing could be done with that any more.

    Whoever ends a job calls it afterwards, and the sweep of files again; nothing happens before the end, or twice.

    Raises:
        One of `jobs.connection.REDIS_AWAY`.
    """
    try:
        job = repository.get_record(job_id)
    except (JobNotFound, JobExpired):
        return
    if job.status in TERMINAL_STATUSES and not job.options.keep_input:
        with tidying():
            store.drop_input(job_id)
            store.drop_kept(job_id)
