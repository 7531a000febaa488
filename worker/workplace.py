"""What every execution of a worker works with."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from jobs.errors import Internal, StorageUnavailable
from jobs.queue import JobQueue
from jobs.repository import JobRepository
from jobs.settings import Settings
from jobs.store import InputFiles, Store
from worker.work import Colorize

UPLOAD_GONE = "The job's upload is not in the store any more. Submit the job again."


@dataclass(frozen=True, slots=True)
class Workplace:
    settings: Settings
    repository: JobRepository
    store: Store
    queue: JobQueue
    colorize: Colorize | None = None
    """Does whole jobs at once, in place of the pieces; for tests."""
    confined: bool = False
    """Whether films are decoded in processes that can do nothing else."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What RQ cannot hand over, since it calls a function by name with ids alone."""

    execution_id: str
    workplace: Workplace


ASSIGNMENT: ContextVar[Assignment] = ContextVar("assignment")
"""Set by the worker in the process that it forks for an execution, and never elsewhere."""


@contextmanager
def opened_input(job_id: str, store: Store) -> Iterator[InputFiles]:
    """The job's upload while inside.

    Raises:
        StorageUnavailable: it is gone.
    """
    with ExitStack() as stack:
        try:
            files = stack.enter_context(store.fetch_input(job_id))
        except FileNotFoundError as error:
            raise StorageUnavailable(UPLOAD_GONE) from error
        yield files


def internal_failure(job_id: str) -> Internal:
    return Internal(f"The worker met an error that it does not know; its log says more under {job_id}.")
