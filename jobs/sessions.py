"""Sessions of browsers: a key shown once, and from then on a secret that only the browser itself can send.

Redis holds the hashes of those secrets alone, as it does of keys. A session is worth what its key is worth: where the
key is revoked, it lets nobody in.
"""

import hashlib
import secrets
from typing import cast

from redis import Redis

SESSION_SECONDS = 30 * 24 * 3600
"""How long a session lasts after it was last opened."""


class SessionBook:
    """Raises one of `jobs.connection.REDIS_AWAY` where Redis cannot serve."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix

    def open(self, key_id: str) -> str:
        """A new secret for whoever has shown the key `key_id`."""
        secret = secrets.token_urlsafe(32)
        self._redis.set(self._name(secret), key_id, ex=SESSION_SECONDS)
        return secret

    def identify(self, secret: str) -> str | None:
        """The id of the key that was shown for it, if that key is there still; None where it opens nothing."""
        found = cast("bytes | None", self._redis.get(self._name(secret)))
        if found is None or not self._redis.hexists(f"{self._prefix}:keys", found.decode()):
            return None
        return found.decode()

    def close(self, secret: str) -> None:
        self._redis.delete(self._name(secret))

    def _name(self, secret: str) -> str:
        digest = hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()
        return f"{self._prefix}:session:{digest}"
