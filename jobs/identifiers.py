"""Names of jobs and uploads: unguessable, and safe as a path and as a Redis key."""

import re
import secrets

from jobs.errors import JobNotFound, UploadNotFound

_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_UPLOAD_ID = re.compile(r"upload_[0-9a-f]{24}")


def new_job_id() -> str:
    """A fresh name with 96 random bits."""
    return f"job_{secrets.token_hex(12)}"


def new_keyframes_id() -> str:
    """As `new_job_id`; all kinds of record share one space of names."""
    return f"keyframes_{secrets.token_hex(12)}"


def new_coloring_id() -> str:
    """As `new_job_id`."""
    return f"coloring_{secrets.token_hex(12)}"


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


def new_upload_id() -> str:
    """As `new_job_id`."""
    return f"upload_{secrets.token_hex(12)}"


def checked_upload_id(upload_id: str) -> str:
    """As `checked_job_id`.

    Raises:
        UploadNotFound: it has another form, so no upload has it.
    """
    if _UPLOAD_ID.fullmatch(upload_id) is None:
        raise upload_not_found(upload_id)
    return upload_id


def upload_not_found(upload_id: str) -> UploadNotFound:
    return UploadNotFound(f"There is no upload {upload_id[:64]!r}. It was never made, or it was deleted.")
