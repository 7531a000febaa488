"""`/healthz` and `/version` where other calls are held up."""

import httpx
import pytest
from anyio import fail_after

from tests.service.threads import every_thread_taken

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("path", ["/healthz", "/version"])
async def test_it_answers_though_every_thread_is_taken(client: httpx.AsyncClient, path: str) -> None:
    with every_thread_taken(), fail_after(5):
        assert (await client.get(path)).status_code == 200


async def test_readiness_waits_for_a_thread(client: httpx.AsyncClient) -> None:
    """What shows that the test above takes them all."""
    with every_thread_taken(), pytest.raises(TimeoutError), fail_after(0.5):
        await client.get("/readyz")
