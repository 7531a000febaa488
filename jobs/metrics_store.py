"""The metrics in Redis: counts of all processes, and how things stand now."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, cast

from redis import Redis

from jobs.queue import JobQueue
from jobs.record_keys import RecordKeys
from jobs.settings import Settings

SILENCE_SECONDS = 20.0
"""After it an API process is held for gone: it says every few seconds that it is there."""
FORGOTTEN_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand."""

    queued: int
    processing: int
    oldest_queued_seconds: float
    """How long ago the oldest of those that wait was submitted; 0 where none waits."""
    workers: int
    webhooks_due: int
    """Webhook events that should be sent by now and are not."""
    api_processes: int
    watchers: int
    """Clients that wait for changes of a job, of all API processes."""


class MetricsStore:
    """Raises one of `jobs.connection.REDIS_AWAY` where Redis cannot serve."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._keys = RecordKeys(settings.queue_name)
        self._queue = JobQueue(redis, settings)
        self._count = redis.register_script(files("jobs").joinpath("count.lua").read_text())

    def add(self, counts: Mapping[str, float], *, token: str) -> None:
        """Add what a `Tally` has taken; nothing happens where those of this token are added already."""
        arguments = [text for field, amount in counts.items() for text in (field, repr(float(amount)))]
        self._count(keys=[self._keys.metrics, self._keys.counted(token)], args=arguments)

    def counts(self) -> dict[str, float]:
        """Every count, by its field."""
        stored = cast("dict[bytes, bytes]", self._redis.hgetall(self._keys.metrics))
        return {field.decode(): float(amount) for field, amount in stored.items()}

    def report_api_process(self, process: str, *, watchers: int) -> None:
        """Say that an API process is there."""
        self._redis.hset(self._keys.api_processes, process, f"{self._now()} {watchers}")

    def forget_api_process(self, process: str) -> None:
        self._redis.hdel(self._keys.api_processes, process)

    def look(self) -> Standing:
        now = self._now()
        keys = self._keys
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.scard(keys.queued)
            pipeline.scard(keys.open)
            submitted = f"{keys.every_record}->submitted"
            pipeline.sort(keys.queued, by=submitted, get=[submitted], start=0, num=1)
            pipeline.zcount(keys.webhooks, "-inf", int(now * 1000))
            pipeline.hgetall(keys.api_processes)
            queued, unfinished, oldest, due, spoken = pipeline.execute()
        oldest_submitted = float(oldest[0]) if oldest and oldest[0] else now
        watchers = [int(text.split()[1]) for text in self._alive(spoken, now=now)]
        return Standing(
            queued=queued,
            processing=max(0, unfinished - queued),
            oldest_queued_seconds=max(0.0, now - oldest_submitted),
            workers=self._queue.worker_count(),
            webhooks_due=due,
            api_processes=len(watchers),
            watchers=sum(watchers),
        )

    def _alive(self, spoken: Mapping[bytes, bytes], *, now: float) -> list[bytes]:
        ages = {process: now - float(text.split()[0]) for process, text in spoken.items()}
        forgotten = [process for process, age in ages.items() if age > FORGOTTEN_SECONDS]
        if forgotten:
            self._redis.hdel(self._keys.api_processes, *forgotten)
        return [text for process, text in spoken.items() if ages[process] <= SILENCE_SECONDS]

    def _now(self) -> float:
        """By Redis's clock, as everything that is counted there."""
        seconds, microseconds = cast("Any", self._redis.time())
        return float(seconds) + float(microseconds) / 1_000_000
