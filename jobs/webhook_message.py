"""What a webhook receives: a Standard Webhooks 1.0 message."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

from standardwebhooks import Webhook

from jobs.options import StrictModel, WebhookEvent
from jobs.record import Job


class WebhookBody(StrictModel):
    """The body of every call."""

    type: WebhookEvent
    """What happened."""
    timestamp: datetime
    """When it happened, however late it is told."""
    data: Job
    """The job as it was when this was sent, as `GET /v1/jobs/{job_id}` shows it."""


@dataclass(frozen=True, slots=True)
class WebhookMessage:
    """What one attempt sends: the same body and id may be signed for another time."""

    id: str
    body: str
    headers: dict[str, str]


def message_id(member: str) -> str:
    """The `webhook-id` of an event of the queue: the same at every attempt, and without the dots that signing needs."""
    return f"msg_{hashlib.sha256(member.encode()).hexdigest()[:24]}"


def make_message(body: WebhookBody, *, identity: str, secret: str, now: datetime | None = None) -> WebhookMessage:
    """Signed with `secret`, `whsec_` and base64."""
    text = body.model_dump_json()
    at = now or datetime.now(UTC)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"retint/{version('retint-service')}",
        "webhook-id": identity,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(identity, at, text),
    }
    return WebhookMessage(identity, text, headers)
