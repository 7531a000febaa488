"""What the calls that take a submission answer: their description, and the headers of the answer."""

from typing import Any

from fastapi import Response
from starlette.datastructures import URL

from jobs.errors import (
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    InvalidRequest,
    JobExpired,
    JobNotFound,
    PayloadTooLarge,
    QueueFull,
    RequestError,
    StoreFull,
    StoreUnavailable,
    TooManyJobs,
    Unauthorized,
    UnsupportedMediaType,
    UploadIncomplete,
)
from service.looking import POLL_SECONDS
from service.rate_limit import RATE_LIMIT_HEADERS
from service.submitting import R, Submitted

ACCEPTED_HEADERS: dict[str, Any] = {
    "Location": {"schema": {"type": "string"}, "description": "Where to look at it."},
    "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds until a look is worth it."},
    **RATE_LIMIT_HEADERS,
    "Idempotency-Replayed": {"schema": {"const": "true"}, "description": "Where the key has made it before."},
}
SUBMISSION_PROBLEMS: tuple[type[RequestError], ...] = (
    Unauthorized,
    InvalidRequest,
    UnsupportedMediaType,
    PayloadTooLarge,
    UploadIncomplete,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    JobNotFound,
    JobExpired,
    TooManyJobs,
    QueueFull,
    StoreFull,
    StoreUnavailable,
)
"""Of every form; what else one may be refused for, its route adds."""


def accept(response: Response, submitted: Submitted[R], *, location: URL) -> R:
    """Set the headers that say where and when to look, and what of the limits is left; the record is the body."""
    response.headers["Location"] = location.path
    response.headers["Retry-After"] = str(POLL_SECONDS)
    response.headers.update(submitted.headers)
    return submitted.record
