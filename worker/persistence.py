"""Says to Redis what must be said, though it be away for a while."""

import time
from collections.abc import Callable
from typing import TypeVar

from jobs.connection import REDIS_AWAY

PERSISTENCE_SECONDS = 300.0
"""How long an execution tries to say how it ended while Redis is away."""

T = TypeVar("T")


def persist(call: Callable[[], T]) -> T:
    """Call until Redis can serve: hours of work must not be lost to a restart of it, or to its memory being full."""
    deadline = time.monotonic() + PERSISTENCE_SECONDS
    while True:
        try:
            return call()
        except REDIS_AWAY:
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)
