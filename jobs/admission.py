"""How much may be submitted: so many open jobs of one key, and so many that wait, whosever they are."""

from dataclasses import dataclass
from typing import Literal, Self, cast

from redis import Redis

from jobs.errors import QueueFull, TooManyJobs
from jobs.record_keys import RecordKeys
from jobs.settings import Settings

RETRY_SECONDS = 30
"""What is told where nobody can know when a job will end."""


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit, and what is left of it."""

    name: Literal["jobs", "queue"]
    limit: int
    left: int


@dataclass(frozen=True, slots=True)
class Limits:
    per_key: int
    """Open jobs of one key; where no key is asked for, `queued` alone limits."""
    queued: int
    """Jobs that wait, of all keys together."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(per_key=settings.max_jobs_per_key, queued=settings.max_queued_jobs)


class Admission:
    """Raises one of `jobs.connection.REDIS_AWAY` where Redis cannot serve."""

    def __init__(self, redis: Redis, prefix: str, limits: Limits) -> None:
        self._redis = redis
        self._keys = RecordKeys(prefix)
        self._limits = limits

    def look(self, owner: str) -> Quota:
        """The quota that is nearest to its end. A look alone: `JobRepository.create` is what holds to the limits.

        Raises:
            TooManyJobs, QueueFull: there is no room for one more.
        """
        queued, own = self._counts(owner)
        quotas = [Quota("queue", self._limits.queued, max(0, self._limits.queued - queued))]
        if owner:
            quotas.append(Quota("jobs", self._limits.per_key, max(0, self._limits.per_key - own)))
        quota = min(quotas, key=lambda quota: quota.left)
        if quota.left == 0:
            raise refusal(quota)
        return quota

    def _counts(self, owner: str) -> tuple[int, int]:
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.scard(self._keys.queued)
            pipeline.scard(self._keys.open_of(owner))
            return cast("tuple[int, int]", tuple(pipeline.execute()))


def refusal(quota: Quota) -> TooManyJobs | QueueFull:
    """What is told where nothing is left of `quota`."""
    if quota.name == "jobs":
        return TooManyJobs(
            f"The key has {quota.limit} jobs that wait or run, the most that it may have at once. Wait until one has "
            "ended, or cancel one.",
            limit=quota.limit,
            retry_after=RETRY_SECONDS,
        )
    return QueueFull(
        f"{quota.limit} jobs wait already, the most that this server takes. Nothing was kept; try again later.",
        limit=quota.limit,
        retry_after=RETRY_SECONDS,
    )
