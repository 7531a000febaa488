"""The queue of events on their way to webhooks, and each job's log of them.

transition.lua puts an event in with the change of status that it tells of, so none is lost in between. It stays until
it is delivered or given up: who takes it only has it on lease, so that another takes over where a courier dies.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import cast

from redis import Redis

from jobs.options import WebhookEvent
from jobs.record import Delivery
from jobs.record_keys import RecordKeys
from jobs.webhook_message import message_id

LEASE_SECONDS = 60.0
"""Longer than any attempt may take."""


@dataclass(frozen=True, slots=True)
class DueEvent:
    """One event to be sent now."""

    member: str
    """Its name in the queue: `{job id}:{status}:{version}`."""
    due_at: datetime
    """Before the first attempt, when it happened."""

    @property
    def id(self) -> str:
        return message_id(self.member)

    @property
    def job_id(self) -> str:
        return self.member.split(":")[0]

    @property
    def type(self) -> WebhookEvent:
        return cast("WebhookEvent", f"job.{self.member.split(':')[1]}")


class WebhookQueue:
    """Any number may take from it. Raises one of `jobs.connection.REDIS_AWAY` where Redis cannot serve."""

    def __init__(self, redis: Redis, prefix: str, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self._redis = redis
        self._keys = RecordKeys(prefix)
        self._lease_ms = int(lease_seconds * 1000)
        self._take = redis.register_script(files("jobs").joinpath("due_webhooks.lua").read_text())
        self._write = redis.register_script(files("jobs").joinpath("delivery.lua").read_text())

    def take(self, count: int) -> Sequence[DueEvent]:
        """What is due, the longest first, on lease."""
        answer = cast("list[bytes]", self._take(keys=[self._keys.webhooks], args=[count, self._lease_ms]))
        return [
            DueEvent(member.decode(), datetime.fromtimestamp(float(due) / 1000, UTC))
            for member, due in zip(answer[::2], answer[1::2], strict=True)
        ]

    def begin(self, event: DueEvent, delivery: Delivery) -> bool:
        """Log an attempt that is about to be made; False where the job is gone or the delivery has ended."""
        return self._log(event, delivery, due_ms=str(self._lease_ms))

    def settle(self, event: DueEvent, delivery: Delivery, *, due_in: float | None) -> bool:
        """Log how it went, and let the event be due again in so many seconds, or no more."""
        return self._log(event, delivery, due_ms="" if due_in is None else str(int(due_in * 1000)))

    def postpone(self, event: DueEvent, *, seconds: float) -> None:
        """Give the event back without an attempt, where it is still in the queue."""
        sooner = self._lease_ms - int(seconds * 1000)
        self._redis.zadd(self._keys.webhooks, {event.member: -sooner}, xx=True, incr=True)

    def drop(self, event: DueEvent) -> None:
        self._redis.zrem(self._keys.webhooks, event.member)

    def _log(self, event: DueEvent, delivery: Delivery, *, due_ms: str) -> bool:
        keys = [self._keys.record(event.job_id), self._keys.events(event.job_id), self._keys.webhooks]
        return cast("int", self._write(keys=keys, args=[event.member, delivery.model_dump_json(), due_ms])) == 1
