"""`/healthz` and `/version` where other calls are held up."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from anyio import fail_after, to_thread

pytestmark = pytest.mark.anyio


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


@pytest.mark.parametrize("path", ["/healthz", "/version"])
async def test_it_answers_though_every_thread_is_taken(client: httpx.AsyncClient, path: str) -> None:
    with every_thread_taken(), fail_after(5):
        assert (await client.get(path)).status_code == 200


async def test_readiness_waits_for_a_thread(client: httpx.AsyncClient) -> None:
    """What shows that the test above takes them all."""
    with every_thread_taken(), pytest.raises(TimeoutError), fail_after(0.5):
        await client.get("/readyz")
