"""Everything that this package raises.

RetintError
├── APIError                 the server answered with a problem (RFC 9457)
│   ├── InvalidRequest       400, 405, 413, 415, 416, 422: the request itself is at fault
│   ├── Unauthorized         401, 403: the key is missing or wrong
│   ├── NotFound             404: no such job, upload or variant
│   ├── Conflict             409, 423: the job or upload is not in a state for this
│   ├── Gone                 410: the job's files, or the upload, have expired
│   └── ServerError          5xx: the server could not answer
│       └── Unavailable      502, 503, 504: asking again later may help
│           └── RateLimited  429: the key has as many open jobs as it may have
├── ConnectionFailed         no answer came: refused, cut off, timed out
├── FileError                a file on this machine is at fault; an OSError too
│   ├── FileUnreadable       what is to be sent cannot be read, or changed while it was sent
│   └── FileUnwritable       a download cannot be put where it is wanted
├── JobFailed                the job, or search for keyframes, waited for ended as `failed`
├── JobCanceled              it ended as `canceled`
├── WaitTimedOut             it is not finished in time
└── ChecksumMismatch         a download is not what the server said it would be
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retint.models import Task


class RetintError(Exception):
    """Root of the tree; the message is a whole sentence."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One offending place in a request."""

    pointer: str
    """JSON pointer into the request body, such as `#/options/tuning`."""
    detail: str


@dataclass(frozen=True, slots=True)
class Problem:
    """The server's own description of what was wrong (RFC 9457)."""

    status: int
    """HTTP status."""
    code: str
    """Stable name of the kind of problem, such as `job_not_found`; `http_STATUS` where the answer was no problem."""
    title: str
    detail: str
    request_id: str | None
    """What the server's log calls this request."""
    errors: tuple[FieldError, ...]


class APIError(RetintError):
    """The server answered, and the answer is an error; each field of the problem is an attribute."""

    def __init__(self, problem: Problem, *, retry_after: float | None = None) -> None:
        news = [error for error in problem.errors if error.detail != problem.detail]
        places = "".join(f" {error.pointer}: {error.detail.rstrip('.')}." for error in news)
        super().__init__(f"{problem.detail}{places}")
        self.problem = problem
        self.retry_after = retry_after
        """Seconds after which the server asks to be called again; None where it did not say."""

    @property
    def status(self) -> int:
        return self.problem.status

    @property
    def code(self) -> str:
        return self.problem.code

    @property
    def title(self) -> str:
        return self.problem.title

    @property
    def detail(self) -> str:
        return self.problem.detail

    @property
    def request_id(self) -> str | None:
        return self.problem.request_id

    @property
    def errors(self) -> tuple[FieldError, ...]:
        return self.problem.errors


class InvalidRequest(APIError):
    pass


class Unauthorized(APIError):
    pass


class NotFound(APIError):
    pass


class Conflict(APIError):
    pass


class Gone(APIError):
    pass


class ServerError(APIError):
    pass


class Unavailable(ServerError):
    pass


class RateLimited(Unavailable):
    pass


class ConnectionFailed(RetintError):
    def __init__(self, detail: str, *, transient: bool = True) -> None:
        super().__init__(detail)
        self.transient = transient
        """Whether asking again may help; not where the address is none, or no server was ever reached there."""


class FileError(RetintError, OSError):
    """`path` says which file; `errno` is the system's reason, where it gave one."""

    def __init__(self, detail: str, *, path: Path, errno: int | None = None) -> None:
        super().__init__(detail)
        self.path = path
        self.errno = errno


class FileUnreadable(FileError):
    pass


class FileUnwritable(FileError):
    pass


class JobFailed(RetintError):
    """`job.error` says why."""

    def __init__(self, job: "Task") -> None:
        detail = job.error.detail if job.error else "The server gave no reason."
        super().__init__(f"Job {job.id} failed: {detail}")
        self.job = job


class JobCanceled(RetintError):
    def __init__(self, job: "Task") -> None:
        super().__init__(f"Job {job.id} was canceled.")
        self.job = job


class WaitTimedOut(RetintError):
    def __init__(self, job_id: str, *, seconds: float) -> None:
        super().__init__(f"Job {job_id} is not finished after {seconds:g} seconds; it goes on, wait for it again.")
        self.job_id = job_id


class ChecksumMismatch(RetintError):
    pass


def error_class(status: int) -> type[APIError]:
    """The class that stands for an HTTP status of 400 or above."""
    by_status: dict[int, type[APIError]] = {
        401: Unauthorized,
        403: Unauthorized,
        404: NotFound,
        409: Conflict,
        410: Gone,
        423: Conflict,
        429: RateLimited,
        502: Unavailable,
        503: Unavailable,
        504: Unavailable,
    }
    if status in by_status:
        return by_status[status]
    return ServerError if status >= 500 else InvalidRequest
