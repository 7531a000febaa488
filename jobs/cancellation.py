"""Ends a job that nobody wants any more. The order matters: record first, so that nothing can start or publish it."""

from jobs.errors import JobAlreadyFinished
from jobs.queue import JobQueue
from jobs.repository import JobRepository
from jobs.store import Store


def cancel_job(job_id: str, *, repository: JobRepository, queue: JobQueue, store: Store) -> None:
    """Cancel the job (or search for keyframes), stop its execution and free what it has made, and its input too where
    `keep_input` is false; canceling twice is no error.

    A running execution is killed at once by its worker, which removes the execution's folder; it also looks at the
    record itself, in case the word from the queue is lost.

    Raises:
        JobNotFound: there is no such job.
        JobAlreadyFinished: it has succeeded or failed.
    """
    canceled = repository.cancel(job_id)
    record = repository.get_record(job_id)
    if not canceled and record.status != "canceled":
        raise JobAlreadyFinished(f"{job_id} has already {record.status}. Delete it if you do not want its files.")
    queue.stop(job_id)
    repository.pieces.forget(job_id)
    if not record.options.keep_input:
        store.drop_input(job_id)
    store.drop_kept(job_id)
    store.drop_results(job_id)


def delete_job(job_id: str, *, repository: JobRepository, queue: JobQueue, store: Store) -> None:
    """Remove the job's record and files, and stop it where it runs.

    Raises:
        JobNotFound: there is no such job.
    """
    repository.get_record(job_id)
    repository.cancel(job_id)
    queue.stop(job_id)
    repository.delete(job_id)
    store.delete(job_id)
