"""The app as it runs, against a real Redis server and a real folder; what a worker does is done by hand."""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from redis import Redis

from jobs.embedded_redis import embedded_redis
from jobs.keys import KeyRing
from jobs.options import VariantName
from jobs.record import Progress, Variant
from jobs.settings import Settings
from service.app import create_app
from service.dependencies import Services
from tests.service.http_checks import job_files

RESULTS: dict[VariantName, tuple[str, bytes]] = {
    "video": ("video/mp4", bytes(range(256)) * 40),
    "report": ("text/html; charset=utf-8", b"<p>report</p>"),
}


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    return Settings(
        redis_url=redis_url, data_folder=tmp_path, queue_name=f"test-{uuid4().hex}", max_references=3, min_free_bytes=0
    )


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.fixture
def services(app: FastAPI) -> Iterator[Services]:
    found = app.state.services
    assert isinstance(found, Services)
    return found


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        yield client


@pytest.fixture
def locked_settings(settings: Settings, redis: Redis) -> tuple[Settings, str]:
    """Of a server on every address, which asks for keys; and a key."""
    _, token = KeyRing(redis, settings.queue_name).create("ann")
    return settings.model_copy(update={"host": "0.0.0.0"}), token


@pytest.fixture
async def locked(locked_settings: tuple[Settings, str]) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """A client of such a server, and the key, which it does not send by itself."""
    settings, token = locked_settings
    transport = httpx.ASGITransport(create_app(settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client, token


@pytest.fixture
def stored_files(settings: Settings) -> Callable[[], list[str]]:
    """The names of all files in the store, at any depth."""
    return lambda: sorted(path.name for path in settings.store_folder.rglob("*") if path.is_file())


@pytest.fixture
async def job_id(client: httpx.AsyncClient) -> str:
    """A queued job."""
    response = await client.post("/v1/jobs", files=job_files())
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


@pytest.fixture
def succeed(services: Services) -> Callable[[str], None]:
    """Does what a worker does: claims the job, publishes `RESULTS`, finishes it."""

    def run(job_id: str) -> None:
        execution = "e1"
        assert services.repository.claim(job_id, execution)
        folder = services.store.open_execution(job_id, execution)
        variants = []
        for name, (media_type, data) in RESULTS.items():
            (folder / f"{name}{'.mp4' if name == 'video' else '.html'}").write_bytes(data)
            variants.append(
                Variant(
                    name=name,
                    media_type=media_type,
                    bytes=len(data),
                    sha256=hashlib.sha256(data).hexdigest(),
                    href=f"/v1/jobs/{job_id}/content?variant={name}",
                )
            )
        services.store.publish(job_id, execution, sorted(folder.iterdir()))
        assert services.repository.finish(job_id, execution, variants=variants, progress=Progress(fraction=1))

    return run


@pytest.fixture
def redis(settings: Settings) -> Iterator[Redis]:
    assert settings.redis_url is not None
    with Redis.from_url(settings.redis_url) as client:
        yield client
