"""Every rule of tus 1.0 that `/v1/uploads` follows."""

import base64
import errno
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from uuid import uuid4

import anyio
import httpx
import pytest
from fastapi import FastAPI

from jobs.bucket import Bucket
from jobs.file_upload_writer import FileUploadWriter
from jobs.resumable import UploadInfo
from jobs.settings import Settings
from service.app import create_app
from service.dependencies import Services, get_viewer
from tests.service.http_checks import assert_problem, pointers

pytestmark = pytest.mark.anyio
IN_A_FOLDER = pytest.mark.parametrize("settings", ["folder"], indirect=True)

TUS = {"Tus-Resumable": "1.0.0"}
STREAM = {**TUS, "Content-Type": "application/offset+octet-stream"}
CONTENT = b"0123456789"


@pytest.fixture(params=["folder", "s3"])
def settings(request: pytest.FixtureRequest, redis_url: str, tmp_path: Path) -> Settings:
    """Of a server whose uploads are in a folder, and of one whose uploads are in a bucket."""
    storage: dict[str, object] = {}
    if request.param == "s3":
        storage = request.getfixturevalue("object_storage").settings()
    return Settings(
        redis_url=redis_url,
        data_folder=tmp_path,
        queue_name=f"test-{uuid4().hex}",
        min_free_bytes=0,
        # What fits every disk that the tests run on.
        max_upload_bytes=64 * 2**20,
        **storage,
    )


def encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


async def create(client: httpx.AsyncClient, *, length: int = len(CONTENT), **headers: str) -> str:
    """A new upload's address."""
    response = await client.post("/v1/uploads", headers={**TUS, "Upload-Length": str(length), **headers})
    assert response.status_code == 201, response.text
    return response.headers["Location"]


async def send(
    client: httpx.AsyncClient, where: str, data: bytes | AsyncIterator[bytes], *, offset: int = 0, **headers: str
) -> httpx.Response:
    return await client.patch(where, content=data, headers={**STREAM, "Upload-Offset": str(offset), **headers})


async def offset_of(client: httpx.AsyncClient, where: str) -> int:
    response = await client.head(where, headers=TUS)
    assert response.status_code == 200
    return int(response.headers["Upload-Offset"])


def upload_id_of(where: str) -> str:
    return where.rsplit("/", 1)[-1]


async def test_discovery_says_what_is_spoken_even_to_those_who_name_no_version(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    response = await client.options("/v1/uploads")
    assert response.status_code == 204
    assert response.headers["Tus-Resumable"] == "1.0.0"
    assert response.headers["Tus-Version"] == "1.0.0"
    assert response.headers["Tus-Max-Size"] == str(settings.max_upload_bytes)
    assert response.headers["Tus-Checksum-Algorithm"].split(",") == ["md5", "sha1", "sha256"]
    extensions = response.headers["Tus-Extension"].split(",")
    assert extensions == ["creation", "creation-with-upload", "termination", "expiration", "checksum"]


async def test_an_upload_in_pieces_has_all_bytes(client: httpx.AsyncClient, services: Services) -> None:
    where = await create(client)
    first = await send(client, where, CONTENT[:4])
    assert (first.status_code, first.headers["Upload-Offset"]) == (204, "4")
    second = await send(client, where, CONTENT[4:], offset=4)
    assert (second.status_code, second.headers["Upload-Offset"]) == (204, "10")
    services.store.create("job_1")
    services.resumable.give(upload_id_of(where), "job_1", viewer=None)
    with services.store.fetch_input("job_1") as files:
        assert files.video.read_bytes() == CONTENT


async def test_head_says_where_to_go_on(client: httpx.AsyncClient) -> None:
    metadata = f"filename {encoded(b'film.mkv')},draft"
    where = await create(client, **{"Upload-Metadata": metadata})
    await send(client, where, CONTENT[:4])
    response = await client.head(where, headers=TUS)
    assert response.status_code == 200
    assert response.content == b""
    assert response.headers["Upload-Offset"] == "4"
    assert response.headers["Upload-Length"] == "10"
    assert response.headers["Upload-Metadata"] == metadata
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Tus-Resumable"] == "1.0.0"


async def test_people_may_look_with_get(client: httpx.AsyncClient) -> None:
    name = encoded("C:\\films\\Der müde Tod.mkv".encode())
    where = await create(client, **{"Upload-Metadata": f"filename {name}, filetype {encoded(b'video/x-matroska')}"})
    await send(client, where, CONTENT[:4])
    status = (await client.get(where)).json()
    times = status.pop("created_at"), status.pop("expires_at")
    assert status == {
        "id": upload_id_of(where),
        "length": 10,
        "offset": 4,
        "finished": False,
        "filename": "Der müde Tod.mkv",
    }
    assert datetime.fromisoformat(times[0]) < datetime.fromisoformat(times[1])
    await send(client, where, CONTENT[4:], offset=4)
    assert (await client.get(where)).json()["finished"] is True


async def test_creation_answers_with_the_upload(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/uploads", headers={**TUS, "Upload-Length": "10"})
    assert response.json()["id"] == upload_id_of(response.headers["Location"])
    assert response.headers["Upload-Offset"] == "0"


async def test_creation_may_carry_the_first_bytes(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/uploads", content=CONTENT[:4], headers={**STREAM, "Upload-Length": "10"})
    assert response.status_code == 201
    assert response.headers["Upload-Offset"] == "4"
    done = await send(client, response.headers["Location"], CONTENT[4:], offset=4)
    assert done.headers["Upload-Offset"] == "10"


async def test_an_empty_file_is_finished_at_once(client: httpx.AsyncClient) -> None:
    assert (await client.get(await create(client, length=0))).json()["finished"] is True


async def test_a_body_of_another_kind_is_refused(client: httpx.AsyncClient) -> None:
    plain = {**TUS, "Content-Type": "application/octet-stream"}
    created = await client.post("/v1/uploads", content=b"0123", headers={**plain, "Upload-Length": "10"})
    assert_problem(created, 415, "unsupported_media_type")
    where = await create(client)
    for headers in (plain, TUS):
        response = await client.patch(where, content=b"0123", headers={**headers, "Upload-Offset": "0"})
        assert_problem(response, 415, "unsupported_media_type")
    assert await offset_of(client, where) == 0


async def test_compressed_bytes_are_refused(client: httpx.AsyncClient) -> None:
    gzip = {**STREAM, "Content-Encoding": "gzip"}
    created = await client.post("/v1/uploads", headers={**gzip, "Upload-Length": "10"}, content=CONTENT)
    assert_problem(created, 415, "unsupported_media_type")
    location = (await client.post("/v1/uploads", headers={**TUS, "Upload-Length": "10"})).headers["location"]
    response = await client.patch(location, headers={**gzip, "Upload-Offset": "0"}, content=CONTENT)
    assert_problem(response, 415, "unsupported_media_type")


@pytest.mark.parametrize("version", [None, "0.2.2"])
@pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE"])
async def test_another_version_is_refused_with_the_one_that_is_spoken(
    client: httpx.AsyncClient, method: str, version: str | None
) -> None:
    where = await create(client)
    headers = {"Upload-Length": "10", "Upload-Offset": "0", "Content-Type": STREAM["Content-Type"]}
    if version is not None:
        headers["Tus-Resumable"] = version
    response = await client.request(method, "/v1/uploads" if method == "POST" else where, headers=headers)
    assert response.status_code == 412
    assert response.headers["Tus-Version"] == "1.0.0"
    if method != "HEAD":
        assert_problem(response, 412, "tus_version_unsupported")
    assert await offset_of(client, where) == 0


async def test_every_answer_names_the_version(client: httpx.AsyncClient) -> None:
    where = await create(client)
    for response in (
        await client.get(where),
        await client.get("/v1/uploads/nothing"),
        await client.put("/v1/uploads"),
        await client.get(f"{where}?unknown=1"),
        await send(client, where, CONTENT),
    ):
        assert response.headers["Tus-Resumable"] == "1.0.0"
    assert "Tus-Resumable" not in (await client.get("/v1/jobs")).headers


async def test_the_method_may_be_in_a_header(client: httpx.AsyncClient) -> None:
    where = await create(client)
    headers = {**STREAM, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    assert (await client.post(where, content=CONTENT, headers=headers)).status_code == 204
    assert await offset_of(client, where) == 10


@pytest.mark.parametrize("length", [None, "-1", "many"])
async def test_the_length_must_be_told(client: httpx.AsyncClient, length: str | None) -> None:
    headers = TUS if length is None else {**TUS, "Upload-Length": length}
    problem = assert_problem(await client.post("/v1/uploads", headers=headers), 422, "invalid_request")
    assert pointers(problem) == ["#/header/upload-length"]


@pytest.mark.parametrize(
    "metadata", ["filename not-base64!", " ,", "filename Zg==,filename Zg==", f"größe {encoded(b'1')}"]
)
async def test_metadata_that_cannot_be_read_is_refused(client: httpx.AsyncClient, metadata: str) -> None:
    headers = {**TUS, "Upload-Length": "1"}
    response = await client.post(
        "/v1/uploads", headers=[*headers.items(), ("Upload-Metadata", metadata.encode("latin-1"))]
    )
    problem = assert_problem(response, 422, "invalid_request")
    assert pointers(problem) == ["#/header/upload-metadata"]


async def test_another_offset_is_refused_with_both_named(client: httpx.AsyncClient) -> None:
    where = await create(client)
    await send(client, where, CONTENT[:4])
    for offset in (0, 6):
        problem = assert_problem(await send(client, where, b"45", offset=offset), 409, "upload_offset_mismatch")
        assert "offset 4" in str(problem["detail"])
        assert f"begins at {offset}" in str(problem["detail"])
    assert await offset_of(client, where) == 4


async def test_a_file_over_the_limit_is_refused_before_it_is_sent(
    client: httpx.AsyncClient, services: Services
) -> None:
    limit = services.settings.max_upload_bytes
    await create(client, length=limit)
    headers = {**TUS, "Upload-Length": str(limit + 1)}
    assert_problem(await client.post("/v1/uploads", headers=headers), 413, "payload_too_large")


@pytest.mark.parametrize("streamed", [False, True])
async def test_more_bytes_than_were_told_are_refused(client: httpx.AsyncClient, streamed: bool) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield CONTENT + b"!"

    where = await create(client)
    data = stream() if streamed else CONTENT + b"!"
    assert_problem(await send(client, where, data), 413, "payload_too_large")
    assert await offset_of(client, where) == 0


@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "DELETE"])
@pytest.mark.parametrize("upload_id", ["upload_" + "0" * 24, "upload_1", "..%2fjobs"])
async def test_an_unknown_upload_is_not_found(client: httpx.AsyncClient, method: str, upload_id: str) -> None:
    headers = {**STREAM, "Upload-Offset": "0"}
    response = await client.request(method, f"/v1/uploads/{upload_id}", headers=headers)
    assert response.status_code == 404
    assert "Upload-Offset" not in response.headers
    if method != "HEAD" and "%2f" not in upload_id:
        assert_problem(response, 404, "upload_not_found")


async def test_a_deleted_upload_is_gone(client: httpx.AsyncClient, stored_files: Callable[[], list[str]]) -> None:
    where = await create(client)
    await send(client, where, CONTENT[:4])
    assert (await client.delete(where, headers=TUS)).status_code == 204
    assert stored_files() == []
    assert_problem(await send(client, where, CONTENT[4:], offset=4), 404, "upload_not_found")


@IN_A_FOLDER
async def test_an_upload_says_when_it_expires_and_then_that_it_has(
    client: httpx.AsyncClient, services: Services, settings: Settings
) -> None:
    where = await create(client)
    response = await send(client, where, CONTENT[:4])
    expires = parsedate_to_datetime(response.headers["Upload-Expires"])
    assert timedelta(hours=23) < expires - datetime.now(UTC) <= timedelta(hours=24)
    data = settings.store_folder / "uploads" / upload_id_of(where) / "data"
    then = time.time() - settings.upload_expiry_seconds
    os.utime(data, (then, then))
    for _ in range(2):
        assert_problem(await send(client, where, CONTENT[4:], offset=4), 410, "upload_expired")
        assert_problem(await client.get(where), 410, "upload_expired")
        services.resumable.sweep(datetime.now(UTC))
    assert not data.exists()


@IN_A_FOLDER
async def test_the_app_sweeps_uploads(app: FastAPI, client: httpx.AsyncClient, settings: Settings) -> None:
    data = settings.store_folder / "uploads" / upload_id_of(await create(client)) / "data"
    os.utime(data, (0, 0))
    async with app.router.lifespan_context(app):
        with anyio.fail_after(10):
            while data.exists():
                await anyio.sleep(0.01)


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
async def test_bytes_are_kept_if_they_have_their_checksum(client: httpx.AsyncClient, algorithm: str) -> None:
    where = await create(client)
    good = encoded(hashlib.new(algorithm, CONTENT[:4]).digest())
    wrong = encoded(hashlib.new(algorithm, b"other").digest())
    sent = await send(client, where, CONTENT[:4], **{"Upload-Checksum": f"{algorithm} {wrong}"})
    assert_problem(sent, 460, "checksum_mismatch")
    assert await offset_of(client, where) == 0
    sent = await send(client, where, CONTENT[:4], **{"Upload-Checksum": f"{algorithm} {good}"})
    assert (sent.status_code, sent.headers["Upload-Offset"]) == (204, "4")


async def test_a_checksum_that_cannot_be_compared_is_refused(client: httpx.AsyncClient) -> None:
    where = await create(client)
    sent = await send(client, where, CONTENT, **{"Upload-Checksum": f"crc32 {encoded(b'1234')}"})
    problem = assert_problem(sent, 400, "checksum_unsupported")
    assert "sha256" in str(problem["detail"])
    sent = await send(client, where, CONTENT, **{"Upload-Checksum": "sha1 ???"})
    assert_problem(sent, 422, "invalid_request")
    assert await offset_of(client, where) == 0


@IN_A_FOLDER
async def test_an_upload_that_the_disk_will_not_hold_is_refused(redis_url: str, settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"min_free_bytes": 10**18}))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        response = await client.post("/v1/uploads", headers={**TUS, "Upload-Length": "1"})
        problem = assert_problem(response, 507, "storage_full")
        assert "Nothing was made." in str(problem["detail"])
        assert int(response.headers["Retry-After"]) > 0


@pytest.mark.parametrize("settings", ["s3"], indirect=True)
async def test_a_bucket_that_is_full_is_told(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "The bucket is full.")

    where = await create(client)
    with monkeypatch.context() as patched:
        patched.setattr(Bucket, "put", full)
        assert_problem(await send(client, where, CONTENT), 507, "storage_full")
    assert await offset_of(client, where) == 0
    assert (await send(client, where, CONTENT)).status_code == 204


@IN_A_FOLDER
async def test_a_disk_that_fills_up_is_told_and_what_came_is_kept(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(writer: FileUploadWriter, chunk: bytes) -> None:
        write(writer, chunk[:4])
        raise OSError(errno.ENOSPC, "No space left on device")

    where = await create(client)
    write = FileUploadWriter.write
    monkeypatch.setattr(FileUploadWriter, "write", half)
    problem = assert_problem(await send(client, where, CONTENT), 507, "storage_full")
    assert "kept" in str(problem["detail"])
    monkeypatch.undo()
    assert await offset_of(client, where) == 4
    assert (await send(client, where, CONTENT[4:], offset=4)).headers["Upload-Offset"] == "10"


async def test_free_space_is_looked_at_while_bytes_come(
    client: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stream() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield bytes(1_048_576)

    where = await create(client, length=4 * 1_048_576)
    monkeypatch.setattr("service.disk_space.CHECK_BYTES", 2_000_000)
    monkeypatch.setattr(type(services.store), "free_bytes", lambda _: -1)
    assert_problem(await send(client, where, stream()), 507, "storage_full")
    assert 0 < await offset_of(client, where) < 4 * 1_048_576


async def test_the_call_that_comes_later_takes_over(client: httpx.AsyncClient, services: Services) -> None:
    where = await create(client)
    arrived, go_on = anyio.Event(), anyio.Event()

    async def stalled() -> AsyncIterator[bytes]:
        yield CONTENT[:4]
        arrived.set()
        await go_on.wait()

    async def first() -> None:
        assert_problem(await send(client, where, stalled()), 423, "upload_locked")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        await arrived.wait()
        with anyio.fail_after(4):
            assert await offset_of(client, where) == 4
            assert (await send(client, where, CONTENT[4:], offset=4)).status_code == 204


async def test_a_late_call_with_an_old_offset_disturbs_nobody(client: httpx.AsyncClient) -> None:
    where = await create(client)
    await send(client, where, CONTENT[:4])
    arrived, go_on = anyio.Event(), anyio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield CONTENT[4:6]
        arrived.set()
        await go_on.wait()
        yield CONTENT[6:]

    async def first() -> None:
        assert (await send(client, where, slowly(), offset=4)).status_code == 204

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        await arrived.wait()
        assert_problem(await send(client, where, CONTENT), 409, "upload_offset_mismatch")
        go_on.set()
    assert await offset_of(client, where) == 10


async def test_a_call_that_does_not_let_go_keeps_the_upload(
    client: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.resuming.TAKEOVER_SECONDS", 0.2)
    where = await create(client)
    with closing(services.resumable.claim(upload_id_of(where), viewer=None)):
        response = await send(client, where, CONTENT)
        assert_problem(response, 423, "upload_locked")
        assert int(response.headers["Retry-After"]) > 0
        assert (await client.head(where, headers=TUS)).status_code == 423
        assert_problem(await client.delete(where, headers=TUS), 423, "upload_locked")
        assert (await client.get(where)).status_code == 200
    assert (await send(client, where, CONTENT)).status_code == 204


async def test_another_owners_upload_is_not_found(app: FastAPI, client: httpx.AsyncClient, services: Services) -> None:
    info = UploadInfo(owner="key_1", length=0, filename=None, metadata="", created_at=datetime.now(UTC))
    where = f"/v1/uploads/{services.resumable.create(info).id}"
    app.dependency_overrides[get_viewer] = lambda: "key_2"
    assert_problem(await client.get(where), 404, "upload_not_found")
    assert_problem(await client.delete(where, headers=TUS), 404, "upload_not_found")
    assert_problem(await send(client, where, b""), 404, "upload_not_found")
    app.dependency_overrides[get_viewer] = lambda: "key_1"
    assert (await client.get(where)).status_code == 200


async def test_an_upload_belongs_to_the_key_that_made_it(app: FastAPI, client: httpx.AsyncClient) -> None:
    app.dependency_overrides[get_viewer] = lambda: "key_1"
    where = await create(client)
    assert (await client.get(where)).status_code == 200
    app.dependency_overrides[get_viewer] = lambda: "key_2"
    assert_problem(await client.get(where), 404, "upload_not_found")
