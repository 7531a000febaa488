"""Errors that belong to no route: unknown paths, keys, an unready service, the unexpected."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from redis import Redis
from rq import Queue, Worker
from structlog.testing import capture_logs

from jobs.errors import StartupError
from jobs.settings import Settings
from service.app import create_app
from service.dependencies import Services
from tests.service.http_checks import assert_problem, job_files, pointers

pytestmark = pytest.mark.anyio


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.fixture
async def locked(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A server that asks for the key `secret`, open to all addresses."""
    guarded = settings.model_copy(update={"api_key": SecretStr("secret"), "host": "0.0.0.0"})
    async with client_of(create_app(guarded)) as client:
        yield client


@pytest.mark.parametrize("path", ["/nothing", "/v1", "/v1/jobs/", "/v2/jobs"])
async def test_an_unknown_path_is_a_problem(client: httpx.AsyncClient, path: str) -> None:
    assert path in str(assert_problem(await client.get(path), 404, "not_found")["detail"])


async def test_a_wrong_method_says_which_are_right(client: httpx.AsyncClient, job_id: str) -> None:
    response = await client.put(f"/v1/jobs/{job_id}/cancel")
    assert_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    assert (await client.put(f"/v1/jobs/{job_id}")).headers["allow"] == "GET, DELETE"


async def test_a_request_id_is_made_or_taken_over(client: httpx.AsyncClient) -> None:
    made = (await client.get("/healthz")).headers["x-request-id"]
    assert made != (await client.get("/healthz")).headers["x-request-id"]
    given = await client.get("/nothing", headers={"X-Request-ID": "trace-1.2:3"})
    assert assert_problem(given, 404, "not_found")["request_id"] == "trace-1.2:3"


@pytest.mark.parametrize("bad", ["", "a b", "x" * 200, "<script>"])
async def test_a_harmful_request_id_is_replaced(client: httpx.AsyncClient, bad: str) -> None:
    response = await client.get("/healthz", headers={"X-Request-ID": bad})
    assert response.headers["x-request-id"] not in ("", bad)


async def test_the_unexpected_is_a_500_that_tells_nothing_of_the_inside(
    client: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: object) -> None:
        raise ZeroDivisionError("secret inside")

    monkeypatch.setattr(services.repository, "list", broken)
    with capture_logs() as logs:
        response = await client.get("/v1/jobs")
    assert_problem(response, 500, "internal")
    assert [(entry["event"], entry["exc_info"]) for entry in logs if "exc_info" in entry] == [("request_failed", True)]
    assert "secret inside" not in response.text
    assert "ZeroDivision" not in response.text


@pytest.mark.parametrize(
    "header", [None, "Bearer wrong", "Bearer ", "Basic c2VjcmV0", "secret", "Bearer secret2", "Bearer sécret"]
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/jobs"), ("POST", "/v1/jobs"), ("GET", "/v1/models")])
async def test_calls_without_the_key_are_refused(
    locked: httpx.AsyncClient, header: str | None, method: str, path: str
) -> None:
    headers = {} if header is None else {"Authorization": header.encode()}
    response = await locked.request(method, path, headers=headers)
    assert_problem(response, 401, "unauthorized")
    assert response.headers["www-authenticate"].startswith("Bearer")


async def test_calls_with_the_key_are_answered(locked: httpx.AsyncClient) -> None:
    headers = {"Authorization": "Bearer secret"}
    assert (await locked.get("/v1/jobs", headers=headers)).status_code == 200
    assert (await locked.post("/v1/jobs", headers=headers, files=job_files())).status_code == 202


@pytest.mark.parametrize("path", ["/healthz", "/version", "/docs", "/openapi.json", "/"])
async def test_what_machines_watch_and_people_read_needs_no_key(locked: httpx.AsyncClient, path: str) -> None:
    assert (await locked.get(path)).status_code == 200


async def test_readiness_needs_no_key(locked: httpx.AsyncClient) -> None:
    assert_problem(await locked.get("/readyz"), 503, "not_ready")


def test_an_open_address_without_a_key_does_not_start(settings: Settings) -> None:
    with pytest.raises(StartupError, match="RETINT_API_KEY"):
        create_app(settings.model_copy(update={"host": "0.0.0.0"}))


def test_without_any_redis_it_does_not_start(settings: Settings) -> None:
    with pytest.raises(StartupError, match="RETINT_REDIS_URL"):
        create_app(settings.model_copy(update={"redis_url": None}))


async def test_readiness_names_the_missing_worker(client: httpx.AsyncClient) -> None:
    response = await client.get("/readyz")
    assert pointers(assert_problem(response, 503, "not_ready")) == ["#/workers"]
    assert int(response.headers["retry-after"]) > 0


async def test_readiness_comes_with_a_worker(
    client: httpx.AsyncClient, services: Services, settings: Settings, redis: Redis
) -> None:
    worker = Worker([Queue(settings.queue_name, connection=redis)], connection=redis, name=uuid4().hex)
    worker.register_birth()
    try:
        response = await client.get("/readyz")
        assert (response.status_code, response.json()) == (200, {"status": "ready", "workers": 1})
    finally:
        worker.register_death()


async def test_readiness_names_a_store_that_cannot_be_written(
    client: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(services.store, "check_writable", refuse, raising=True)
    assert "#/store" in pointers(assert_problem(await client.get("/readyz"), 503, "not_ready"))


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_redis_away_is_503_with_retry_after_and_nothing_kept(
    settings: Settings, tmp_path: Path, method: str, stored_files: Callable[[], list[str]]
) -> None:
    away = settings.model_copy(update={"redis_url": f"unix://{tmp_path}/nobody.sock"})
    async with client_of(create_app(away)) as client:
        response = await client.request(method, "/v1/jobs", files=job_files() if method == "POST" else None)
        assert_problem(response, 503, "redis_unavailable")
        assert int(response.headers["retry-after"]) > 0
        assert "#/redis" in pointers(assert_problem(await client.get("/readyz"), 503, "not_ready"))
        assert (await client.get("/healthz")).status_code == 200
    assert stored_files() == []


async def test_the_version_is_the_installed_one(client: httpx.AsyncClient) -> None:
    assert (await client.get("/version")).json()["service"][0].isdigit()
