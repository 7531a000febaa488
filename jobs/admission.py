"""How much may be submitted: so many open jobs of one key, and so many that wait, whosever they are. Searches for
keyframes count as jobs."""

import math
from dataclasses import dataclass
from typing import Literal, Self, cast

from redis import Redis

from jobs.errors import QueueFull, TooManyJobs
from jobs.record import Progress
from jobs.record_keys import RecordKeys
from jobs.settings import Settings

RETRY_SECONDS = 30
"""What is told where nobody can know when a job will end."""
LONGEST_RETRY_SECONDS = 300
"""An estimate is not trusted further: jobs are canceled, too."""


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit, and what is left of it."""

    name: Literal["jobs", "queue"]
    limit: int
    left: int


@dataclass(frozen=True, slots=True)
class Limits:
    per_key: int
    """Open jobs of one key; what was submitted without keys counts as one key's."""
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
        """The quota that is nearest to its end."""
        queued, own = self._counts(owner)
        quotas = (
            Quota("jobs", self._limits.per_key, max(0, self._limits.per_key - own)),
            Quota("queue", self._limits.queued, max(0, self._limits.queued - queued)),
        )
        return min(quotas, key=lambda quota: quota.left)

    def require_room(self, owner: str) -> Quota:
        """As `look`. What is there now may be gone when it is used: `JobRepository.create` is what holds to the limits.

        Raises:
            TooManyJobs, QueueFull: there is no room for one more.
        """
        quota = self.look(owner)
        if quota.left == 0:
            opened = self._keys.open_of(owner) if quota.name == "jobs" else self._keys.open
            raise refusal(quota, retry_after=self._until_one_ends(opened))
        return quota

    def _until_one_ends(self, opened: str) -> int:
        """Seconds until the first of the open jobs in the set `opened` should be done."""
        running = cast("set[bytes]", self._redis.sdiff([opened, self._keys.queued]))
        with self._redis.pipeline(transaction=False) as pipeline:
            for record_id in running:
                pipeline.hget(self._keys.record(record_id.decode()), "progress")
            texts = cast("list[bytes | None]", pipeline.execute())
        left = [Progress.model_validate_json(text).eta_seconds for text in texts if text is not None]
        known = [math.ceil(seconds) for seconds in left if seconds is not None]
        return max(1, min(*known, LONGEST_RETRY_SECONDS)) if known else RETRY_SECONDS

    def _counts(self, owner: str) -> tuple[int, int]:
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.scard(self._keys.queued)
            pipeline.scard(self._keys.open_of(owner))
            return cast("tuple[int, int]", tuple(pipeline.execute()))


def refusal(quota: Quota, *, retry_after: int = RETRY_SECONDS) -> TooManyJobs | QueueFull:
    """What is told where nothing is left of `quota`."""
    if quota.name == "jobs":
        return TooManyJobs(
            f"{quota.limit} jobs of yours wait or run, as many as may be open at once. Wait until one has ended, or "
            "cancel one. Nothing was kept.",
            limit=quota.limit,
            retry_after=retry_after,
        )
    return QueueFull(
        f"{quota.limit} jobs wait already, the most that this server takes. Nothing was kept; try again later.",
        limit=quota.limit,
        retry_after=retry_after,
    )
