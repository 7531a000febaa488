"""What an upload may hold. Each refusal leaves nothing in the store and nothing in Redis."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest
import redis.exceptions
from fastapi import FastAPI

from jobs.settings import Settings
from service.app import create_app
from service.dependencies import Services
from tests.service.http_checks import assert_problem, job_files, pointers

pytestmark = pytest.mark.anyio

Part = tuple[str, tuple[str | None, bytes, str]]
Refuse = Callable[[list[Part], int, str], Awaitable[dict[str, object]]]
VIDEO: Part = ("video", ("film.mp4", b"film", "video/mp4"))
REFERENCE: Part = ("references", ("a.png", b"picture", "image/png"))


@pytest.fixture
async def refused(
    client: httpx.AsyncClient, services: Services, stored_files: Callable[[], list[str]]
) -> AsyncIterator[Refuse]:
    async def send(parts: list[Part], status: int, code: str) -> dict[str, object]:
        return assert_problem(await client.post("/v1/jobs", files=parts), status, code)

    yield send
    assert stored_files() == []
    assert list(services.store.job_ids()) == []
    assert services.repository.list().data == []


async def test_parts_may_come_in_any_order(client: httpx.AsyncClient, services: Services) -> None:
    for parts in (job_files(options={"tuning": "off"}), job_files(options={"tuning": "off"})[::-1]):
        response = await client.post("/v1/jobs", files=parts)
        assert (response.status_code, response.json()["options"]["tuning"]) == (202, "off")
        assert services.store.input_video(response.json()["id"]).read_bytes() == b"film"


@pytest.mark.parametrize(
    ("parts", "places"),
    [
        ([REFERENCE], ["#/video"]),
        ([VIDEO], ["#/references"]),
        ([("options", (None, b"{}", "application/json"))], ["#/video", "#/references"]),
        ([VIDEO, VIDEO, REFERENCE], ["#/video"]),
        ([("video", ("film.mp4", b"", "video/mp4")), REFERENCE], ["#/video"]),
        ([VIDEO, REFERENCE, ("references", ("b.png", b"", "image/png"))], ["#/references/1"]),
        ([VIDEO, REFERENCE, REFERENCE], ["#/references/1"]),
        ([VIDEO, REFERENCE, ("film", ("x", b"x", "video/mp4"))], ["#/film"]),
        ([VIDEO, REFERENCE, ("options", (None, b"{}", "")), ("options", (None, b"{}", ""))], ["#/options"]),
        ([VIDEO, REFERENCE, ("options", (None, b"{", ""))], ["#/options"]),
        ([VIDEO, REFERENCE, ("options", (None, b'{"tunning": 1}', ""))], ["#/options/tunning"]),
        (
            [VIDEO, REFERENCE, ("options", (None, b'{"references":[{"name":"b.png"}]}', ""))],
            ["#/options/references/0/name"],
        ),
        ([("video", (None, b"film", "video/mp4")), REFERENCE], ["#/video"]),
        ([("video", ("..", b"film", "video/mp4")), REFERENCE], ["#/video"]),
    ],
)
async def test_what_does_not_fit_is_pointed_at(refused: Refuse, parts: list[Part], places: list[str]) -> None:
    assert pointers(await refused(parts, 422, "invalid_request")) == places


async def test_more_references_than_allowed_are_refused(refused: Refuse) -> None:
    many: list[Part] = [("references", (f"{i}.png", b"x", "image/png")) for i in range(4)]
    problem = await refused([VIDEO, *many], 422, "too_many_references")
    assert "3 references" in str(problem["detail"])


@pytest.mark.parametrize(
    ("parts", "place"),
    [
        ([("video", ("a.png", b"x", "image/png")), REFERENCE], "#/video"),
        ([VIDEO, ("references", ("a.mp4", b"x", "video/mp4"))], "#/references/0"),
        ([VIDEO, ("references", ("a.txt", b"x", "text/plain; charset=utf-8"))], "#/references/0"),
    ],
)
async def test_a_part_of_another_kind_is_refused(refused: Refuse, parts: list[Part], place: str) -> None:
    assert pointers(await refused(parts, 415, "unsupported_media_type")) == [place]


async def test_huge_options_are_refused(refused: Refuse) -> None:
    huge: Part = ("options", (None, b" " * 300_000, "application/json"))
    assert pointers(await refused([VIDEO, REFERENCE, huge], 413, "payload_too_large")) == ["#/options"]


@pytest.mark.parametrize("content_type", [None, "application/json", "multipart/form-data", "text/plain"])
async def test_a_body_of_another_kind_is_refused(
    client: httpx.AsyncClient, content_type: str | None, stored_files: Callable[[], list[str]]
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    response = await client.post("/v1/jobs", content=b"{}", headers=headers)
    assert "multipart/form-data" in str(assert_problem(response, 415, "unsupported_media_type")["detail"])
    assert stored_files() == []


async def test_a_malformed_form_is_refused(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert_problem(await client.post("/v1/jobs", content=b"gibberish", headers=headers), 422, "invalid_request")


async def test_a_form_without_its_end_is_incomplete(
    client: httpx.AsyncClient, stored_files: Callable[[], list[str]], services: Services
) -> None:
    request = client.build_request("POST", "/v1/jobs", files=job_files())
    body = request.read()[:-20]
    headers = {"Content-Type": request.headers["content-type"]}
    assert_problem(await client.post("/v1/jobs", content=body, headers=headers), 400, "upload_incomplete")
    assert stored_files() == []
    assert services.repository.list().data == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\pictures\\one.png", "one.png"),
        ("/tmp/é 日本.png", "é 日本.png"),
        ("a\r\nb.png", "ab.png"),
        ("x" * 300, "x" * 255),
    ],
)
async def test_a_file_name_is_a_name_and_never_a_path(
    client: httpx.AsyncClient, services: Services, settings: Settings, given: str, kept: str
) -> None:
    response = await client.post("/v1/jobs", files=[VIDEO, ("references", (given, b"picture", "image/png"))])
    assert response.status_code == 202, response.text
    job_id = response.json()["id"]
    assert services.repository.submission(job_id).reference_names == (kept,)
    paths = [path.relative_to(settings.store_folder) for path in settings.store_folder.rglob("*") if path.is_file()]
    assert sorted(paths) == [
        Path("jobs", job_id, "input", "references", "0000"),
        Path("jobs", job_id, "input", "video"),
    ]


@asynccontextmanager
async def limited(settings: Settings, **changed: int) -> AsyncIterator[httpx.AsyncClient]:
    app: FastAPI = create_app(settings.model_copy(update=changed))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        yield client


@pytest.mark.parametrize("declared", [True, False])
async def test_an_upload_over_the_limit_is_refused(
    settings: Settings, declared: bool, stored_files: Callable[[], list[str]]
) -> None:
    async with limited(settings, max_upload_bytes=100_000) as client:
        request = client.build_request("POST", "/v1/jobs", files=job_files(video=b"x" * 200_000))
        body = request.read()

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(body), 10_000):
                yield body[start : start + 10_000]

        headers = {"Content-Type": request.headers["content-type"]}
        response = await client.post("/v1/jobs", content=body if declared else pieces(), headers=headers)
        assert "100,000 bytes" in str(assert_problem(response, 413, "payload_too_large")["detail"])
    assert stored_files() == []


async def test_a_reference_over_the_limit_is_refused_by_name(
    settings: Settings, stored_files: Callable[[], list[str]]
) -> None:
    async with limited(settings, max_reference_bytes=3) as client:
        problem = assert_problem(await client.post("/v1/jobs", files=job_files()), 413, "payload_too_large")
        assert pointers(problem) == ["#/references/0"]
        assert "a.png" in str(problem["detail"])
    assert stored_files() == []


async def test_a_full_disk_is_507(settings: Settings, stored_files: Callable[[], list[str]]) -> None:
    async with limited(settings, min_free_bytes=2**60) as client:
        response = await client.post("/v1/jobs", files=job_files())
        assert_problem(response, 507, "storage_full")
        assert int(response.headers["retry-after"]) > 0
    assert stored_files() == []


async def test_an_upload_larger_than_the_free_space_is_507_before_it_is_sent(
    settings: Settings, services: Services, stored_files: Callable[[], list[str]]
) -> None:
    free = services.store.free_bytes()
    async with limited(settings, min_free_bytes=1, max_upload_bytes=2**62) as client:
        headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": str(free * 2)}
        assert_problem(await client.post("/v1/jobs", content=b"--b", headers=headers), 507, "storage_full")
    assert stored_files() == []


async def test_a_disk_that_fills_up_while_writing_is_507(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, stored_files: Callable[[], list[str]]
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("jobs.folder_store.FileWriter.write", full)
    assert_problem(await client.post("/v1/jobs", files=job_files()), 507, "storage_full")
    assert stored_files() == []


async def test_redis_that_goes_away_after_the_upload_leaves_no_files(
    client: httpx.AsyncClient,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    stored_files: Callable[[], list[str]],
) -> None:
    def away(_: str, *, first: bool) -> None:
        raise redis.exceptions.ConnectionError("gone")

    monkeypatch.setattr(services.queue, "enqueue", away)
    assert_problem(await client.post("/v1/jobs", files=job_files()), 503, "redis_unavailable")
    assert stored_files() == []
    assert services.repository.list().data == []


async def test_an_upload_that_stalls_is_given_up(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, stored_files: Callable[[], list[str]]
) -> None:
    monkeypatch.setattr("service.body.IDLE_SECONDS", 0.1)
    request = client.build_request("POST", "/v1/jobs", files=job_files())
    body = request.read()

    async def stalling() -> AsyncIterator[bytes]:
        yield body[:200]
        await anyio.sleep(20)
        yield body[200:]

    headers = {"Content-Type": request.headers["content-type"]}
    response = await client.post("/v1/jobs", content=stalling(), headers=headers)
    assert "No data came" in str(assert_problem(response, 400, "upload_incomplete")["detail"])
    assert stored_files() == []


async def test_a_request_that_is_canceled_leaves_nothing(
    app: FastAPI, stored_files: Callable[[], list[str]], services: Services
) -> None:
    """As a server does that stops: the task ends from outside, in the middle of the upload."""
    request = httpx.Request("POST", "http://test/v1/jobs", files=job_files(video=b"x" * 3_000_000))
    body = request.read()
    stored = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        yield body[:2_500_000]
        stored.set()
        await anyio.sleep(20)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        headers = {"Content-Type": request.headers["content-type"]}
        task = asyncio.create_task(client.post("/v1/jobs", content=stalling(), headers=headers))
        await stored.wait()
        assert len(stored_files()) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await services.uploads.ended(seconds=10)
    assert stored_files() == []
    assert list(services.store.job_ids()) == []


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/keyframes", "/v1/colorings"])
async def test_a_compressed_body_is_refused_as_such(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(path, files=job_files(), headers={"Content-Encoding": "gzip"})
    assert "gzip" in str(assert_problem(response, 415, "unsupported_media_type")["detail"])


async def test_a_body_that_is_said_to_be_as_it_is_is_taken(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/jobs", files=job_files(), headers={"Content-Encoding": "identity"})
    assert response.status_code == 202
