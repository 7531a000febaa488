"""Idempotency keys: the same submission, sent again, makes nothing new.

After draft-ietf-httpapi-idempotency-key-header-07. A key is held while its first submission is under way, by a lease
that is renewed, so that a process that dies sets it free; from then on it stands for what was made.
"""

import hashlib
from dataclasses import dataclass
from typing import cast

from redis import Redis

from jobs.errors import IdempotencyKeyInUse
from jobs.options import StrictModel

LEASE_SECONDS = 45
KEPT_SECONDS = 24 * 3600
"""How long a key stands for what was made with it."""

_BEGIN = "redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[2]) return redis.call('GET', KEYS[1])"
_RENEW = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('EXPIRE', KEYS[1], ARGV[2]) or 0"
_RELEASE = """
local value = redis.call('GET', KEYS[1])
return value and string.find(value, ARGV[1], 1, true) and redis.call('DEL', KEYS[1]) or 0
"""
_IN_FLIGHT = "in flight:"


class Made(StrictModel):
    """What a key stands for."""

    record_id: str
    fingerprint: str
    """Of what was submitted; see `service.intake`."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A key that is one submission's own."""

    key: str
    """In Redis."""
    record_id: str
    """What is being made; nobody else has this id."""

    @property
    def token(self) -> str:
        """The key's value while the submission is under way."""
        return f"{_IN_FLIGHT}{self.record_id}"


class IdempotencyKeys:
    """Raises one of `jobs.connection.REDIS_AWAY` where Redis cannot serve."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._prefix = prefix
        self._begin = redis.register_script(_BEGIN)
        self._renew = redis.register_script(_RENEW)
        self._release = redis.register_script(_RELEASE)

    def begin(self, text: str, *, owner: str, record_id: str) -> Lease | Made:
        """Hold the key that `text` is for `owner`, or learn what it stands for already.

        Raises:
            IdempotencyKeyInUse: another submission holds it.
        """
        key = f"{self._prefix}:idempotency:{owner}:{hashlib.sha256(text.encode()).hexdigest()}"
        lease = Lease(key, record_id)
        value = cast("bytes", self._begin(keys=[key], args=[lease.token, LEASE_SECONDS])).decode()
        if value == lease.token:
            return lease
        if value.startswith(_IN_FLIGHT):
            raise IdempotencyKeyInUse(
                "Another call with this `Idempotency-Key` is under way. Wait for its answer, or try again in a moment.",
                retry_after=2,
            )
        return Made.model_validate_json(value)

    def renew(self, lease: Lease) -> None:
        """To be called more often than every `LEASE_SECONDS`."""
        self._renew(keys=[lease.key], args=[lease.token, LEASE_SECONDS])

    def release(self, lease: Lease) -> None:
        """Set the key free: the submission failed, early or late."""
        self._release(keys=[lease.key], args=[lease.record_id])
