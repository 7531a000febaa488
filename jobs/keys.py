"""API keys: who may use the service. Redis holds their hashes alone, so that nobody can take a key from there.

A token has 256 random bits, so that a plain hash of it cannot be turned back by guessing, as that of a password can.
"""

import hashlib
import hmac
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from redis import Redis

from jobs.connection import REDIS_AWAY
from jobs.errors import InvalidKeyName, KeyNameTaken, UnknownKey
from jobs.options import StrictModel

LONGEST_NAME = 64
NOTE_SECONDS = 60.0
"""How often each process writes down that a key is in use: not on every call."""

# Both or none: a name without a key could be neither used nor freed.
_CREATE = """
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
return 1
"""


@dataclass(frozen=True, slots=True)
class ApiKey:
    id: str
    """Owns what is submitted with the key; never used again for another."""
    name: str
    created_at: datetime
    last_used_at: datetime | None = None
    """To the minute; None where it never was."""


class _StoredKey(StrictModel):
    name: str
    digest: str
    """SHA-256 of the token, in hexadecimal."""
    created_at: datetime


class KeyRing:
    """Raises one of `jobs.connection.REDIS_AWAY` where Redis cannot serve."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._keys = f"{prefix}:keys"
        self._names = f"{prefix}:keys:names"
        self._uses = f"{prefix}:keys:used"
        self._create = redis.register_script(_CREATE)
        self._noted: dict[str, float] = {}

    def create(self, name: str) -> tuple[ApiKey, str]:
        """Make a key; its token is known to nobody but the caller.

        Raises:
            InvalidKeyName, KeyNameTaken
        """
        if not (0 < len(name) <= LONGEST_NAME and name.isprintable() and name == name.strip()):
            raise InvalidKeyName(
                f"{name!r} names no key; give 1 to {LONGEST_NAME} printable characters without spaces around them."
            )
        key = ApiKey(id=secrets.token_hex(8), name=name, created_at=datetime.now(UTC))
        token = f"retint_{key.id}_{secrets.token_urlsafe(32)}"
        stored = _StoredKey(name=name, digest=_digest(token), created_at=key.created_at)
        if not self._create(keys=[self._names, self._keys], args=[name, key.id, stored.model_dump_json()]):
            raise KeyNameTaken(f"There is a key named {name}. Choose another name, or revoke that one first.")
        return key, token

    def list(self) -> list[ApiKey]:
        """All keys, the oldest first."""
        with self._redis.pipeline() as pipeline:
            pipeline.hgetall(self._keys)
            pipeline.hgetall(self._uses)
            found, uses = cast("list[dict[bytes, bytes]]", pipeline.execute())
        keys = [_as_key(key_id, text, used=uses.get(key_id)) for key_id, text in found.items()]
        return sorted(keys, key=lambda key: key.created_at)

    def revoke(self, name_or_id: str) -> ApiKey:
        """Take a key back, at once and for ever.

        Raises:
            UnknownKey
        """
        for key in self.list():
            if name_or_id in (key.name, key.id):
                with self._redis.pipeline() as pipeline:
                    pipeline.hdel(self._keys, key.id)
                    pipeline.hdel(self._names, key.name)
                    pipeline.hdel(self._uses, key.id)
                    pipeline.execute()
                return key
        raise UnknownKey(f"There is no key {name_or_id!r}; `retint keys list` shows those that there are.")

    def exists(self) -> bool:
        """Whether there is any key."""
        return bool(self._redis.exists(self._keys))

    def has(self, key_id: str) -> bool:
        """Whether that key is there, and was not revoked."""
        return bool(self._redis.hexists(self._keys, key_id))

    def identify(self, token: str) -> str | None:
        """The id of the key that `token` is of; None where it is of none."""
        match token.split("_", 2):
            case ["retint", key_id, _]:
                text = cast("bytes | None", self._redis.hget(self._keys, key_id))
            case _:
                text = None
        if text is None:
            return None
        digest = _StoredKey.model_validate_json(text).digest
        if not hmac.compare_digest(digest, _digest(token)):
            return None
        self._note_use(key_id)
        return key_id

    def _note_use(self, key_id: str) -> None:
        now = time.monotonic()
        if now - self._noted.get(key_id, -NOTE_SECONDS) < NOTE_SECONDS:
            return
        self._noted[key_id] = now
        with suppress(*REDIS_AWAY):  # a full Redis still reads: no call shall fail for this
            self._redis.hset(self._uses, key_id, datetime.now(UTC).isoformat())


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()


def _as_key(key_id: bytes, text: bytes, *, used: bytes | None) -> ApiKey:
    stored = _StoredKey.model_validate_json(text)
    last_used_at = None if used is None else datetime.fromisoformat(used.decode())
    return ApiKey(id=key_id.decode(), name=stored.name, created_at=stored.created_at, last_used_at=last_used_at)
