"""Threads as calls that are held up leave them: none."""

from collections.abc import Iterator
from contextlib import contextmanager

from anyio import to_thread


@contextmanager
def every_thread_taken() -> Iterator[None]:
    """As if as many calls as may use threads waited for a Redis that does not answer."""
    limiter = to_thread.current_default_thread_limiter()
    callers = [object() for _ in range(int(limiter.available_tokens))]
    for caller in callers:
        limiter.acquire_on_behalf_of_nowait(caller)
    try:
        yield
    finally:
        for caller in callers:
            limiter.release_on_behalf_of(caller)
