"""Errors that belong to no route: unknown paths, keys, an unready service, the unexpected."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
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
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


@pytest.mark.parametrize("path", ["/nothing", "/v1", "/v1/jobs/", "/v2/jobs"])
async def test_an_unknown_path_is_a_problem(client: httpx.AsyncClient, path: str) -> None:
    assert path in str(assert_problem(await client.get(path), 404, "not_found")["detail"])


async def test_a_wrong_method_says_which_are_right(client: httpx.AsyncClient, job_id: str) -> None:
    response = await client.put(f"/v1/jobs/{job_id}/cancel")
    assert_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    assert (await client.put(f"/v1/jobs/{job_id}")).headers["allow"] == "GET, HEAD, DELETE"


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


def test_without_any_redis_it_does_not_start(settings: Settings) -> None:
    with pytest.raises(StartupError, match="RETINT_REDIS_URL"):
        create_app(settings.model_copy(update={"redis_url": None}))


async def test_readiness_names_the_missing_worker(client: httpx.AsyncClient) -> None:
    response = await client.get("/readyz")
    assert pointers(assert_problem(response, 503, "not_ready")) == ["#/workers"]
    assert int(response.headers["retry-after"]) > 0


@pytest.fixture
def living_worker(settings: Settings, redis: Redis) -> Iterator[None]:
    worker = Worker([Queue(settings.queue_name, connection=redis)], connection=redis, name=uuid4().hex)
    worker.register_birth()
    yield
    worker.register_death()


@pytest.mark.usefixtures("living_worker")
async def test_readiness_comes_with_a_worker(client: httpx.AsyncClient) -> None:
    response = await client.get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ready", "workers": 1})


@pytest.mark.usefixtures("living_worker")
async def test_a_server_that_has_no_room_for_more_still_answers_for_what_it_has(settings: Settings) -> None:
    full = settings.model_copy(update={"min_free_bytes": 2**60})
    async with client_of(create_app(full)) as client:
        assert_problem(await client.post("/v1/jobs", files=job_files()), 507, "storage_full")
        assert (await client.get("/readyz")).status_code == 200


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
