"""Sessions of browsers: a key shown once lets pictures, videos and downloads through, and no other site's calls."""

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from redis import Redis

from jobs.keys import KeyRing
from jobs.settings import Settings
from service.app import create_app
from tests.service.http_checks import assert_problem, job_files
from tests.service.live_server import running

pytestmark = pytest.mark.anyio
Locked = tuple[httpx.AsyncClient, str]
FROM_PAGE = {"Retint-Page": "1"}


async def opened(locked: Locked) -> httpx.AsyncClient:
    client, token = locked
    response = await client.post("/v1/session", headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 204
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert token not in cookie
    return client


async def test_where_no_key_is_asked_for_nothing_is_opened(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/session")).json() == {"keys": False}
    response = await client.post("/v1/session")
    assert (response.status_code, "set-cookie" in response.headers) == (204, False)


async def test_the_page_learns_that_a_key_is_wanted(locked: Locked) -> None:
    client, token = locked
    assert_problem(await client.get("/v1/session"), 401, "unauthorized")
    wrong = await client.post("/v1/session", headers={"Authorization": f"Bearer {token}x"})
    assert_problem(wrong, 401, "unauthorized")
    assert "set-cookie" not in wrong.headers


async def test_a_session_sees_what_its_key_sees(locked: Locked) -> None:
    client = await opened(locked)
    assert (await client.get("/v1/session")).json() == {"keys": True}
    made = await client.post("/v1/jobs", files=job_files(), headers=FROM_PAGE)
    assert made.status_code == 202
    assert [job["id"] for job in (await client.get("/v1/jobs")).json()["data"]] == [made.json()["id"]]


async def test_without_the_pages_header_a_session_changes_nothing(locked: Locked) -> None:
    """A form on another site could send the cookie, if a browser were not strict about it, but never the header."""
    client = await opened(locked)
    assert_problem(await client.post("/v1/jobs", files=job_files()), 401, "unauthorized")
    assert_problem(await client.delete("/v1/jobs/job_1"), 401, "unauthorized")
    assert (await client.get("/v1/jobs")).json()["data"] == []


async def test_a_session_ends_when_it_is_closed(locked: Locked) -> None:
    client = await opened(locked)
    secret = client.cookies["retint_session"]
    assert (await client.delete("/v1/session", headers=FROM_PAGE)).status_code == 204
    assert "retint_session" not in client.cookies
    client.cookies.set("retint_session", secret)
    assert_problem(await client.get("/v1/jobs"), 401, "unauthorized")


async def test_a_session_ends_with_its_key(locked: Locked, redis: Redis, settings: Settings) -> None:
    client = await opened(locked)
    KeyRing(redis, settings.queue_name).revoke("ann")
    assert_problem(await client.get("/v1/jobs"), 401, "unauthorized")


@pytest.mark.parametrize(("trusted", "secure"), [("127.0.0.1", True), ("*", True), ("10.0.0.0/8", False)])
def test_a_session_behind_a_proxy_with_tls_is_for_tls_alone(
    redis_url: str, redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: str, secure: bool
) -> None:
    """As a proxy that is believed says it."""
    _, token = KeyRing(redis, f"live-{tmp_path.name}").create("ann")
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", trusted)
    with running(redis_url, tmp_path, auth="on") as server:
        headers = {"Authorization": f"Bearer {token}", "X-Forwarded-Proto": "https"}
        cookie = server.client.post("/v1/session", headers=headers).headers["set-cookie"]
    assert ("; Secure" in cookie) == secure


async def test_redis_holds_no_secret_of_a_session(locked: Locked, redis: Redis, settings: Settings) -> None:
    secret = (await opened(locked)).cookies["retint_session"]
    names = [name.decode() for name in redis.scan_iter(f"{settings.queue_name}:session:*")]
    assert len(names) == 1
    assert secret not in names[0]


async def test_over_https_the_cookie_stays_there(locked_settings: tuple[Settings, str]) -> None:
    settings, token = locked_settings
    app: FastAPI = create_app(settings)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://localhost") as client:
        response = await client.post("/v1/session", headers={"Authorization": f"Bearer {token}"})
    assert "Secure" in response.headers["set-cookie"]
