"""Gives log lines about a job its id, and that of the request that submitted it."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from jobs.connection import REDIS_AWAY
from jobs.repository import JobRepository
from jobs.submission import Submission
from jobs.tracing import trace_id_of


@contextmanager
def log_lines_of(job_id: str, submission: Submission, **more: str) -> Iterator[None]:
    """Log lines inside say which job they are about, and what trace it belongs to."""
    trace_id = trace_id_of(submission.trace_context)
    known = {"job_id": job_id, "request_id": submission.request_id, "trace_id": trace_id, **more}
    with structlog.contextvars.bound_contextvars(**{name: value for name, value in known.items() if value}):
        yield


@contextmanager
def log_lines_about(job_id: str, repository: JobRepository) -> Iterator[None]:
    """As `log_lines_of`, where the submission is not at hand; without it where it cannot be had."""
    try:
        submission = repository.origin(job_id)
    except REDIS_AWAY:
        submission = Submission()
    with log_lines_of(job_id, submission):
        yield
