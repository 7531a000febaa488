"""How every process reaches Redis: with timeouts, so that nothing hangs, and a few retries, so that a blip passes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.connection import DefaultParser
from redis.exceptions import (
    ConnectionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
)
from redis.retry import Retry

from jobs.errors import StartupError

CONNECT_TIMEOUT_SECONDS = 2.0
COMMAND_TIMEOUT_SECONDS = 5.0
_SETTINGS: dict[str, Any] = {
    "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
    "socket_timeout": COMMAND_TIMEOUT_SECONDS,
    "health_check_interval": 15,
    "retry_on_error": [ConnectionError, TimeoutError],
}
_IMPATIENT: dict[str, Any] = {"socket_connect_timeout": 1.0, "socket_timeout": 1.0}


class WritesRefused(ResponseError):
    """Redis cannot keep what it would write, mostly since its disk is full; it goes on once there is room."""


# The client has no class of its own for this answer, and would raise what a wrong command raises.
DefaultParser.EXCEPTION_CLASSES["MISCONF"] = WritesRefused

REDIS_AWAY: tuple[type[RedisError], ...] = (
    ConnectionError,
    TimeoutError,
    OutOfMemoryError,
    ReadOnlyError,
    WritesRefused,
)
"""What a command raises where Redis cannot serve now, and may again soon: it is away, its memory (it answers so under
`noeviction`) or its disk is full, or it is a replica until a failover ends."""


def connect(url: str) -> Redis:
    """A client of the server at `url` (`redis://`, `rediss://` or `unix://`); it connects at the first command.

    A command is tried three times within about half a second where the connection fails, then
    `redis.exceptions.ConnectionError` or `TimeoutError` is raised.

    Raises:
        StartupError: `url` is no such address.
    """
    with _wrong_address_told():
        return Redis.from_url(url, retry=Retry(_pauses(), retries=2), **_SETTINGS)


def connect_for_a_look(url: str) -> Redis:
    """The same for whoever would rather hear at once that Redis is away: tried once, for a second or two."""
    with _wrong_address_told():
        return Redis.from_url(url, retry=Retry(_pauses(), retries=0), **_SETTINGS | _IMPATIENT)


def connect_async(url: str) -> AsyncRedis:
    """The same for a coroutine."""
    with _wrong_address_told():
        return AsyncRedis.from_url(url, retry=AsyncRetry(_pauses(), retries=2), **_SETTINGS)


def _pauses() -> ExponentialBackoff:
    return ExponentialBackoff(cap=0.2, base=0.05)


@contextmanager
def _wrong_address_told() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        # The address itself is not shown: it may hold a password.
        raise StartupError(
            "RETINT_REDIS_URL is not the address of a Redis server; expected one such as redis://localhost:6379/0, "
            "rediss://user:password@host:6380/0 or unix:///run/redis.sock, what is special in a password written "
            "as %-codes."
        ) from error
