"""Tries a failed job again, from where it stopped."""

from jobs.errors import InvalidRequest, JobNotFailed
from jobs.queue import JobQueue
from jobs.repository import JobRepository


def retry_job(job_id: str, *, repository: JobRepository, queue: JobQueue) -> None:
    """Queue a job that has failed; what is kept of it is not done again.

    Raises:
        JobNotFound: there is no such job.
        JobNotFailed: it has not failed.
        InvalidRequest: its upload was not kept.
    """
    job = repository.get(job_id)
    if job.status == "failed" and not job.options.keep_input:
        raise InvalidRequest(f"The upload of {job_id} was not kept, as `keep_input` said. Submit it again.")
    if job.status == "failed":
        state = repository.pieces.look(job_id)
        # Before it waits: one that waits and was given up has failed, as housekeeping sees it.
        queue.forget_lost(job_id, range(len(state.after)) if state is not None else ())
    if not repository.reopen(job_id):
        raise JobNotFailed(f"{job_id} is {repository.get(job_id).status}; only a job that has failed is tried again.")
    queue.enqueue(job_id)
