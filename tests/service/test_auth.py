"""Keys: who is let in, and what they see of what others sent."""

import re
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from redis import Redis
from structlog.testing import capture_logs

from jobs.keys import KeyRing
from jobs.settings import Settings
from service.app import create_app
from service.auth import asks_for_keys
from tests.service.http_checks import assert_problem, job_files

pytestmark = pytest.mark.anyio
Locked = tuple[httpx.AsyncClient, str]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_loopback_asks_for_no_key(host: str) -> None:
    assert not asks_for_keys(Settings(host=host))
    assert asks_for_keys(Settings(host=host, auth="on"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "example.org", ""])
def test_any_other_address_asks_for_one(host: str) -> None:
    assert asks_for_keys(Settings(host=host))
    assert not asks_for_keys(Settings(host=host, auth="off"))


async def test_a_server_without_a_key_refuses_everybody_until_there_is_one(settings: Settings, redis: Redis) -> None:
    with capture_logs() as logs:
        transport = httpx.ASGITransport(create_app(settings.model_copy(update={"host": "0.0.0.0"})))
    assert [entry["event"] for entry in logs] == ["no_key"]
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert_problem(await client.get("/v1/jobs"), 401, "unauthorized")
        _, token = KeyRing(redis, settings.queue_name).create("ann")
        assert (await client.get("/v1/jobs", headers=bearer(token))).status_code == 200


async def test_a_server_that_serves_everybody_says_so(settings: Settings) -> None:
    with capture_logs() as logs:
        create_app(settings.model_copy(update={"host": "0.0.0.0", "auth": "off"}))
    assert [entry["event"] for entry in logs] == ["open_to_everybody"]


async def test_without_redis_it_starts_and_lets_nobody_in(settings: Settings, tmp_path: Path) -> None:
    away = settings.model_copy(update={"host": "0.0.0.0", "redis_url": f"unix://{tmp_path}/none.sock"})
    transport = httpx.ASGITransport(create_app(away))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        token = f"retint_{'0' * 16}_secret"
        assert_problem(await client.get("/v1/jobs", headers=bearer(token)), 503, "redis_unavailable")
        assert_problem(await client.get("/v1/jobs"), 401, "unauthorized")


@pytest.mark.parametrize(
    "header",
    [None, "Bearer wrong", "Bearer ", "Basic c2VjcmV0", "secret", "Bearer retint__", "Bearer rétint_0_0"],
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/jobs"), ("POST", "/v1/jobs"), ("GET", "/v1/models")])
async def test_calls_without_a_key_are_refused(locked: Locked, header: str | None, method: str, path: str) -> None:
    client, _ = locked
    headers = {} if header is None else {"Authorization": header.encode()}
    response = await client.request(method, path, headers=headers)
    assert_problem(response, 401, "unauthorized")
    assert response.headers["www-authenticate"].startswith("Bearer")


async def test_every_call_of_the_api_asks_for_the_key(locked_settings: tuple[Settings, str]) -> None:
    """Asked of each, whatever else the call lacks."""
    app = create_app(locked_settings[0])
    asked = set()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        for route in iter_route_contexts(app.routes):
            for method in route.methods or ():
                if route.path is None or not route.path.startswith("/v1/"):
                    continue
                response = await client.request(method, re.sub("{.*?}", "x", route.path))
                assert response.status_code == 401, (method, route.path)
                asked.add(route.path)
    assert {"/v1/jobs", "/v1/jobs/{job_id}", "/v1/jobs/{job_id}/content", "/v1/uploads/{upload_id}"} <= asked


async def test_a_key_that_is_nearly_right_is_wrong(locked: Locked) -> None:
    client, token = locked
    for wrong in (token[:-1], token + "x", token.swapcase(), token.replace("retint", "Retint")):
        assert_problem(await client.get("/v1/jobs", headers=bearer(wrong)), 401, "unauthorized")


async def test_calls_with_a_key_are_answered_until_it_is_revoked(
    locked: Locked, redis: Redis, settings: Settings
) -> None:
    client, token = locked
    assert (await client.get("/v1/jobs", headers=bearer(token))).status_code == 200
    assert (await client.post("/v1/jobs", headers=bearer(token), files=job_files())).status_code == 202
    KeyRing(redis, settings.queue_name).revoke("ann")
    assert_problem(await client.get("/v1/jobs", headers=bearer(token)), 401, "unauthorized")


def test_what_machines_watch_and_people_read_needs_no_key_and_all_else_does(
    locked_settings: tuple[Settings, str],
) -> None:
    """Told by the description, which every route is in, but for pages."""
    document = create_app(locked_settings[0]).openapi()
    unguarded = {
        path
        for path, operations in document["paths"].items()
        for operation in operations.values()
        if "security" not in operation
    }
    assert unguarded == {"/healthz", "/readyz", "/version"}


@pytest.mark.parametrize("path", ["/healthz", "/version", "/docs", "/openapi.json", "/"])
async def test_open_paths_are_answered(locked: Locked, path: str) -> None:
    assert (await locked[0].get(path)).status_code == 200


async def test_readiness_needs_no_key(locked: Locked) -> None:
    assert_problem(await locked[0].get("/readyz"), 503, "not_ready")


async def test_what_another_key_has_sent_is_not_there(
    locked: Locked, locked_settings: tuple[Settings, str], redis: Redis
) -> None:
    client, token = locked
    settings, _ = locked_settings
    mine, theirs = bearer(token), bearer(KeyRing(redis, settings.queue_name).create("bob")[1])
    job = (await client.post("/v1/jobs", headers=mine, files=job_files())).json()
    upload = await client.post("/v1/uploads", headers=mine | {"Tus-Resumable": "1.0.0", "Upload-Length": "4"})
    upload_id = upload.headers["location"].rsplit("/", 1)[1]
    document = create_app(settings).openapi()
    tried = 0
    for path, operations in document["paths"].items():
        ids = {"{job_id}": job["id"], "{upload_id}": upload_id}
        name = next((name for name in ids if name in path), None)
        if name is None:
            continue
        for method in operations:
            headers = theirs | {"Tus-Resumable": "1.0.0", "Upload-Offset": "0"}
            headers["Content-Type"] = "application/offset+octet-stream"
            response = await client.request(
                method, path.replace(name, ids[name]).replace("{frame}", "0"), headers=headers
            )
            assert response.status_code == 404, (method, path, response.text)
            tried += 1
    assert tried >= 9
    assert (await client.get("/v1/jobs", headers=theirs)).json()["data"] == []
    assert [found["id"] for found in (await client.get("/v1/jobs", headers=mine)).json()["data"]] == [job["id"]]
    theirs_of_mine = await client.post(
        "/v1/jobs",
        headers=theirs,
        files=[("video_upload", (None, upload_id.encode(), "text/plain")), job_files()[1]],
    )
    assert theirs_of_mine.status_code in (404, 422)


async def test_without_keys_the_description_speaks_of_none(app: FastAPI) -> None:
    document = app.openapi()
    assert "securitySchemes" not in document["components"]
    assert all("security" not in operation for path in document["paths"].values() for operation in path.values())


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_page_of_another_site_changes_nothing_where_no_key_is_asked_for(
    client: httpx.AsyncClient, site: str
) -> None:
    """A browser on this machine reaches a server on loopback for any site that it shows."""
    refused = await client.post("/v1/jobs", files=job_files(), headers={"Sec-Fetch-Site": site})
    assert_problem(refused, 401, "unauthorized")
    assert (await client.get("/v1/jobs", headers={"Sec-Fetch-Site": site})).json()["data"] == []
    own = await client.post("/v1/jobs", files=job_files(), headers={"Sec-Fetch-Site": "same-origin"})
    assert own.status_code == 202


OWN = ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.8.8.8:1", "[::1]", "[::1]:8000"]
FOREIGN = [
    "evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "evil.localhost",
    "10.0.0.1", "0.0.0.0:8000", "localhost@evil.example", "localhost:80:evil.example", "[::2]", "",
]  # fmt: skip


@pytest.mark.parametrize(
    "path", ["/", "/v1/jobs", "/v1/models", "/docs", "/openapi.json", "/metrics", "/healthz", "/none"]
)
async def test_a_name_that_was_led_to_this_machine_is_refused_where_no_key_is_asked_for(
    client: httpx.AsyncClient, path: str
) -> None:
    """DNS rebinding: to the browser the page and the server are one site then, so that it warns of nothing."""
    problem = assert_problem(await client.get(path, headers={"Host": "evil.example:8000"}), 421, "misdirected_request")
    assert "'evil.example:8000'" in str(problem["detail"])
    assert (await client.get(path, headers={"Host": "127.0.0.1:8000"})).status_code != 421


async def test_every_name_of_this_machine_is_answered_and_none_that_looks_like_it(client: httpx.AsyncClient) -> None:
    async def answer(host: str) -> int:
        return (await client.get("/v1/jobs", headers={"Host": host})).status_code

    assert [host for host in OWN if await answer(host) != 200] == []
    assert [host for host in FOREIGN if await answer(host) != 421] == []
    refused = await client.post("/v1/jobs", files=job_files(), headers={"Host": "evil.example"})
    assert_problem(refused, 421, "misdirected_request")
    assert (await client.get("/v1/jobs")).json()["data"] == []


@pytest.mark.parametrize("changed", [{"auth": "on"}, {"host": "0.0.0.0"}, {"host": "0.0.0.0", "auth": "off"}])
async def test_any_name_will_do_where_keys_are_asked_for_or_everybody_is_served(
    settings: Settings, changed: dict[str, str]
) -> None:
    transport = httpx.ASGITransport(create_app(settings.model_copy(update=changed)))
    async with httpx.AsyncClient(transport=transport, base_url="http://retint.example") as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/v1/jobs")).status_code == (200 if changed.get("auth") == "off" else 401)
