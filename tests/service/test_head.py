"""HEAD is answered as GET, but for the content."""

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from tests.service.http_checks import job_files
from tests.service.live_server import running

pytestmark = pytest.mark.anyio

VARYING = {"date", "x-request-id"}
"""Headers that no two answers share."""


def compared(response: httpx.Response) -> tuple[int, dict[str, str]]:
    return response.status_code, {
        name: value for name, value in response.headers.items() if name not in VARYING | {"content-length"}
    }


async def compare(client: httpx.AsyncClient, path: str, *, status: int, **headers: str) -> httpx.Response:
    """The answer to HEAD, which is that to GET but for the content."""
    whole, head = await client.get(path, headers=headers), await client.head(path, headers=headers)
    assert compared(head) == compared(whole)
    assert head.status_code == status
    assert head.content == b""
    return head


@pytest.mark.parametrize("path", ["/", "/page/app.js", "/docs", "/openapi.json", "/healthz", "/version", "/v1/models"])
async def test_what_has_get_has_head(client: httpx.AsyncClient, path: str) -> None:
    head = await compare(client, path, status=200)
    assert int(head.headers["content-length"]) == len((await client.get(path)).content)


async def test_a_job_is_looked_at_and_compared_by_its_tag(client: httpx.AsyncClient, job_id: str) -> None:
    path = f"/v1/jobs/{job_id}"
    tag = (await compare(client, path, status=200)).headers["etag"]
    await compare(client, path, status=304, **{"If-None-Match": tag})
    await compare(client, "/v1/jobs/job_000000000000000000000000", status=404)
    await compare(client, f"{path}?wait=never", status=422)
    await compare(client, "/readyz", status=503)


async def test_a_key_is_asked_for_as_by_get(locked: tuple[httpx.AsyncClient, str]) -> None:
    client, token = locked
    await compare(client, "/v1/jobs", status=401)
    await compare(client, "/v1/jobs", status=200, Authorization=f"Bearer {token}")
    await compare(client, "/healthz", status=200)


async def test_what_has_no_get_has_no_head(client: httpx.AsyncClient, job_id: str) -> None:
    response = await client.head(f"/v1/jobs/{job_id}/cancel")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert (await client.head("/nothing")).status_code == 404


async def test_it_is_counted_as_head_at_its_route(client: httpx.AsyncClient, job_id: str) -> None:
    await client.head(f"/v1/jobs/{job_id}")
    text = (await client.get("/metrics")).text
    assert 'retint_http_requests_total{method="HEAD",route="/v1/jobs/{job_id}",status="200"} 1' in text


async def test_the_description_names_each_call_once(app: FastAPI) -> None:
    described = [path for path, calls in app.openapi()["paths"].items() if "head" in calls]
    assert described == [
        "/v1/jobs/{job_id}/content",
        "/v1/keyframes/{keyframes_id}/content",
        "/v1/colorings/{coloring_id}/content",
        "/v1/uploads/{upload_id}",
    ]


async def test_a_stream_of_events_is_not_begun(client: httpx.AsyncClient, job_id: str) -> None:
    head = await client.head(f"/v1/jobs/{job_id}/events")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")
    assert (await client.head("/v1/jobs/job_000000000000000000000000/events")).status_code == 404


def test_the_connection_can_be_used_again(redis_url: str, tmp_path: Path) -> None:
    with running(redis_url, tmp_path) as server:
        job_id = server.client.post("/v1/jobs", files=job_files()).json()["id"]
        for path in ("/", "/healthz", f"/v1/jobs/{job_id}", f"/v1/jobs/{job_id}/events", "/v1/jobs/none"):
            head = server.client.head(path)
            assert head.content == b""
            assert head.headers.get("connection") != "close"
            assert server.client.get("/healthz").json() == {"status": "ok"}
