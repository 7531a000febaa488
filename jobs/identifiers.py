"""Names of jobs: unguessable, and safe as a path and as a Redis key."""

import re
import secrets

from jobs.errors import JobNotFound

_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def new_job_id() -> str:
    """A fresh name with 96 random bits."""
    return f"job_{secrets.token_hex(12)}"


def checked_job_id(job_id: str) -> str:
    """Return `job_id` unchanged where it has the form of a name, so that it can never lead out of a folder.

    Raises:
        JobNotFound: it has another form, so no job has it.
    """
    if _JOB_ID.fullmatch(job_id) is None:
        raise job_not_found(job_id)
    return job_id


def job_not_found(job_id: str) -> JobNotFound:
    return JobNotFound(f"There is no job {job_id[:64]!r}. It was never made, or it was deleted.")
