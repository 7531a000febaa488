"""A finished upload in place of the file `video`. Each refusal leaves nothing of the job."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
from fastapi import FastAPI

from jobs.settings import Settings
from service.dependencies import Services, get_viewer
from tests.service.http_checks import assert_problem, job_files, pointers

pytestmark = pytest.mark.anyio

Part = tuple[str, tuple[str | None, bytes, str]]
Refuse = Callable[[list[Part], int, str], Awaitable[dict[str, object]]]
VIDEO, REFERENCE = job_files()
STREAM = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}


def named(upload_id: str) -> Part:
    return ("video_upload", (None, upload_id.encode(), "text/plain"))


async def upload(client: httpx.AsyncClient, data: bytes = b"film", *, length: int = 4) -> str:
    headers = {**STREAM, "Upload-Length": str(length), "Upload-Metadata": "filename ZmlsbS5ta3Y="}
    response = await client.post("/v1/uploads", content=data, headers=headers)
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


@pytest.fixture
async def refused(client: httpx.AsyncClient, services: Services) -> AsyncIterator[Refuse]:
    async def send(parts: list[Part], status: int, code: str) -> dict[str, object]:
        problem = assert_problem(await client.post("/v1/jobs", files=parts), status, code)
        assert pointers(problem) == ["#/video_upload"]
        return problem

    yield send
    assert list(services.store.job_ids()) == []
    assert services.repository.list().data == []


async def test_one_upload_feeds_several_jobs(client: httpx.AsyncClient, services: Services) -> None:
    upload_id = await upload(client)
    for parts in ([named(upload_id), REFERENCE], [REFERENCE, named(upload_id)]):
        response = await client.post("/v1/jobs", files=parts)
        assert response.status_code == 202, response.text
        assert services.store.input_video(response.json()["id"]).read_bytes() == b"film"
    assert (await client.delete(f"/v1/uploads/{upload_id}", headers=STREAM)).status_code == 204
    assert services.store.input_video(response.json()["id"]).read_bytes() == b"film"


async def test_a_job_has_the_file_name_of_its_upload(client: httpx.AsyncClient) -> None:
    nameless = await client.post("/v1/uploads", content=b"film", headers={**STREAM, "Upload-Length": "4"})
    for upload_id, name in ((await upload(client), "film.mkv"), (nameless.json()["id"], None)):
        response = await client.post("/v1/jobs", files=[named(upload_id), REFERENCE])
        assert response.json()["filename"] == name


async def test_a_job_that_goes_leaves_the_upload(client: httpx.AsyncClient) -> None:
    upload_id = await upload(client)
    job_id = (await client.post("/v1/jobs", files=[named(upload_id), REFERENCE])).json()["id"]
    assert (await client.delete(f"/v1/jobs/{job_id}")).status_code == 204
    assert (await client.post("/v1/jobs", files=[named(upload_id), REFERENCE])).status_code == 202


async def test_an_unknown_upload_is_refused(refused: Refuse) -> None:
    for upload_id in ("upload_" + "0" * 24, "../../etc/passwd", ""):
        problem = await refused([named(upload_id), REFERENCE], 422, "invalid_request")
        assert "no upload" in str(problem["detail"])


async def test_an_unfinished_upload_is_refused(client: httpx.AsyncClient, refused: Refuse) -> None:
    upload_id = await upload(client, length=10)
    problem = await refused([named(upload_id), REFERENCE], 409, "upload_unfinished")
    assert "4 of its 10 bytes" in str(problem["detail"])


async def test_an_empty_upload_is_refused(client: httpx.AsyncClient, refused: Refuse) -> None:
    upload_id = await upload(client, b"", length=0)
    await refused([named(upload_id), REFERENCE], 422, "invalid_request")


async def test_an_expired_upload_is_refused(client: httpx.AsyncClient, refused: Refuse, settings: Settings) -> None:
    upload_id = await upload(client)
    os.utime(settings.store_folder / "uploads" / upload_id / "data", (0, 0))
    problem = await refused([named(upload_id), REFERENCE], 422, "invalid_request")
    assert "expired" in str(problem["detail"])


async def test_another_owners_upload_is_refused(app: FastAPI, client: httpx.AsyncClient, refused: Refuse) -> None:
    app.dependency_overrides[get_viewer] = lambda: "key_1"
    upload_id = await upload(client)
    app.dependency_overrides[get_viewer] = lambda: "key_2"
    await refused([named(upload_id), REFERENCE], 422, "invalid_request")


async def test_a_file_and_an_upload_are_one_video_too_many(client: httpx.AsyncClient, refused: Refuse) -> None:
    upload_id = await upload(client)
    for parts in ([named(upload_id), VIDEO, REFERENCE], [VIDEO, named(upload_id), REFERENCE]):
        await refused(parts, 422, "invalid_request")
    await refused([named(upload_id), named(upload_id), REFERENCE], 422, "invalid_request")


async def test_a_name_that_is_no_name_is_refused_before_it_is_kept(refused: Refuse) -> None:
    await refused([named("x" * 10_000), REFERENCE], 413, "payload_too_large")


async def test_a_job_without_any_video_is_told_of_both_ways(client: httpx.AsyncClient) -> None:
    problem = assert_problem(await client.post("/v1/jobs", files=[REFERENCE]), 422, "invalid_request")
    assert pointers(problem) == ["#/video"]
    assert "video_upload" in str(problem["errors"])
