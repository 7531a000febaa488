"""Jobs that tell a receiver of themselves."""

from collections.abc import Sequence
from datetime import UTC, datetime

from fake_server import FakeServer
from standardwebhooks import Webhook

from jobs.identifiers import new_job_id
from jobs.options import JobOptions, WebhookOptions
from jobs.record import Job, Progress
from jobs.repository import JobRepository

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def webhook_to(url: str, *, events: Sequence[str] | None = None) -> WebhookOptions:
    given = {"url": url, "secret": SECRET} | ({} if events is None else {"events": list(events)})
    return WebhookOptions.model_validate(given)


def make_job(repository: JobRepository, url: str, *, events: Sequence[str] | None = None) -> str:
    """A queued job."""
    options = JobOptions(webhook=webhook_to(url, events=events))
    job = Job(id=new_job_id(), status="queued", options=options, created_at=datetime.now(UTC))
    repository.create(job)
    return job.id


def succeed(repository: JobRepository, job_id: str) -> str:
    """Do what a worker does; returns the id."""
    assert repository.claim(job_id, "e1")
    assert repository.finish(job_id, "e1", variants=[], progress=Progress(fraction=1))
    return job_id


def told_to(receiver: FakeServer) -> list[tuple[str, str, str]]:
    """Id, type and job of every message so far, each with a signature that holds."""
    told = []
    for call in [*receiver.received]:
        message = Webhook(SECRET).verify(call.body, call.headers)
        told.append((call.headers["webhook-id"], message["type"], message["data"]["id"]))
    return told
