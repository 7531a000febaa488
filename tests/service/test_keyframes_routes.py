"""`/v1/keyframes`, up to the worker, whose part is done by hand."""

import hashlib
import io
import zipfile
from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI

from jobs.record import Keyframe, Progress, Variant
from service.dependencies import Services, get_viewer
from tests.service.http_checks import assert_problem, job_files, pointers

pytestmark = pytest.mark.anyio
Succeed = Callable[[str], bytes]

VIDEO, REFERENCE = job_files()
STREAM = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
NAME = "shot-0001_frame-000007.png"
PICTURE = bytes(range(256)) * 4


def options(text: str) -> tuple[str, tuple[None, bytes, str]]:
    return ("options", (None, text.encode(), "application/json"))


@pytest.fixture
async def record_id(client: httpx.AsyncClient) -> str:
    """A queued search."""
    response = await client.post("/v1/keyframes", files=[VIDEO])
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


@pytest.fixture
def succeed(services: Services) -> Succeed:
    """Does what a worker does, and returns the archive."""

    def run(record_id: str) -> bytes:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(NAME, PICTURE)
        content = packed.getvalue()
        assert services.repository.claim(record_id, "e1")
        work = services.store.open_execution(record_id, "e1")
        (work / "archive.zip").write_bytes(content)
        (work / NAME).write_bytes(PICTURE)
        services.store.publish(record_id, "e1", [work / "archive.zip", work / NAME])
        href = f"/v1/keyframes/{record_id}"
        keyframe = Keyframe(
            shot=0, first_frame=0, last_frame=9, frame=7, time_seconds=0.28, name=NAME, href=f"{href}/frames/7"
        )
        variant = Variant(
            name="archive",
            media_type="application/zip",
            bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            href=f"{href}/content",
        )
        assert services.repository.update(record_id, "e1", keyframes=[keyframe])
        assert services.repository.finish(record_id, "e1", variants=[variant], progress=Progress(fraction=1))
        return content

    return run


async def test_a_new_search_is_queued_and_says_where_it_is(client: httpx.AsyncClient, services: Services) -> None:
    response = await client.post("/v1/keyframes", files=[VIDEO, options('{"shots": [40], "metadata": {"reel": "7"}}')])
    assert response.status_code == 202
    record = response.json()
    assert record["id"].startswith("keyframes_")
    assert response.headers["location"] == f"/v1/keyframes/{record['id']}"
    assert int(response.headers["retry-after"]) > 0
    assert (record["status"], record["queue_position"], record["keyframes"]) == ("queued", 0, [])
    assert record["options"] == {
        "frames": [],
        "shots": [40],
        "every_seconds": None,
        "metadata": {"reel": "7"},
        "keep_input": True,
    }
    assert (await client.get(response.headers["location"])).json() == record
    assert services.store.input_video(record["id"]).read_bytes() == b"film"
    assert services.queue.is_alive(record["id"])


async def test_an_upload_is_taken_for_the_video(client: httpx.AsyncClient, services: Services) -> None:
    uploaded = await client.post("/v1/uploads", content=b"film", headers={**STREAM, "Upload-Length": "4"})
    part = ("video_upload", (None, uploaded.json()["id"].encode(), "text/plain"))
    response = await client.post("/v1/keyframes", files=[part])
    assert response.status_code == 202, response.text
    assert services.store.input_video(response.json()["id"]).read_bytes() == b"film"


@pytest.mark.parametrize(
    ("parts", "pointer"),
    [
        ([options("{}")], "#/video"),
        ([VIDEO, REFERENCE], "#/references"),
        ([VIDEO, options('{"tuning": "fast"}')], "#/options/tuning"),
        ([VIDEO, options('{"shots": "two"}')], "#/options/shots"),
        ([VIDEO, options('{"frames": [{"frame": 7}], "every_seconds": 3}')], "#/options"),
        ([VIDEO, VIDEO], "#/video"),
    ],
)
async def test_a_form_that_does_not_fit_is_refused_and_leaves_nothing(
    client: httpx.AsyncClient, services: Services, parts: list[tuple[str, tuple[str | None, bytes, str]]], pointer: str
) -> None:
    problem = assert_problem(await client.post("/v1/keyframes", files=parts), 422, "invalid_request")
    assert pointers(problem) == [pointer]
    assert list(services.store.job_ids()) == []
    assert services.repository.all_ids() == set()


async def test_the_same_submission_with_the_same_key_makes_one_search(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "reel-7"}
    first = await client.post("/v1/keyframes", files=[VIDEO], headers=headers)
    again = await client.post("/v1/keyframes", files=[VIDEO], headers=headers)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    other = await client.post("/v1/jobs", files=[VIDEO, REFERENCE], headers=headers)
    assert_problem(other, 422, "idempotency_key_reused")


async def test_an_unchanged_record_is_not_sent_again(
    client: httpx.AsyncClient, services: Services, record_id: str
) -> None:
    first = await client.get(f"/v1/keyframes/{record_id}")
    headers = {"If-None-Match": first.headers["etag"]}
    assert (await client.get(f"/v1/keyframes/{record_id}", headers=headers)).status_code == 304
    services.repository.claim(record_id, "e1")
    changed = await client.get(f"/v1/keyframes/{record_id}?wait=20", headers=headers)
    assert (changed.status_code, changed.json()["status"]) == (200, "processing")


async def test_the_archive_comes_whole_and_in_parts(
    client: httpx.AsyncClient, succeed: Succeed, record_id: str
) -> None:
    content = succeed(record_id)
    address = (await client.get(f"/v1/keyframes/{record_id}")).json()["variants"][0]["href"]
    whole = await client.get(address)
    assert (whole.status_code, whole.content) == (200, content)
    assert whole.headers["content-type"] == "application/zip"
    assert whole.headers["content-disposition"] == 'inline; filename="film-frames.zip"'
    head = await client.head(address)
    assert (head.headers["content-length"], head.content) == (str(len(content)), b"")
    part = await client.get(address, headers={"Range": "bytes=10-19", "If-Range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, content[10:20])
    unchanged = await client.get(address, headers={"If-None-Match": whole.headers["etag"]})
    assert unchanged.status_code == 304


async def test_one_picture_comes_by_its_frame(client: httpx.AsyncClient, succeed: Succeed, record_id: str) -> None:
    succeed(record_id)
    keyframe = (await client.get(f"/v1/keyframes/{record_id}")).json()["keyframes"][0]
    picture = await client.get(keyframe["href"])
    assert (picture.status_code, picture.content) == (200, PICTURE)
    assert picture.headers["content-type"] == "image/png"
    assert picture.headers["content-disposition"] == f'inline; filename="{NAME}"'
    again = await client.get(keyframe["href"], headers={"If-None-Match": picture.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert_problem(await client.get(f"/v1/keyframes/{record_id}/frames/8"), 404, "variant_not_found")
    assert_problem(await client.get(f"/v1/keyframes/{record_id}/frames/first"), 422, "invalid_request")


async def test_what_is_not_there_yet_is_409(client: httpx.AsyncClient, record_id: str) -> None:
    for address in ("content", "frames/7"):
        response = await client.get(f"/v1/keyframes/{record_id}/{address}")
        assert_problem(response, 409, "job_not_finished")


async def test_a_search_can_be_canceled_until_it_has_ended(
    client: httpx.AsyncClient, services: Services, succeed: Succeed, record_id: str
) -> None:
    for _ in range(2):
        canceled = await client.post(f"/v1/keyframes/{record_id}/cancel")
        assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")
    assert not services.queue.is_alive(record_id)
    assert services.store.input_video(record_id).exists()
    assert_problem(await client.get(f"/v1/keyframes/{record_id}/content"), 404, "variant_not_found")
    ended = (await client.post("/v1/keyframes", files=[VIDEO])).json()["id"]
    succeed(ended)
    assert_problem(await client.post(f"/v1/keyframes/{ended}/cancel"), 409, "job_already_finished")


async def test_a_deleted_search_is_gone_with_its_files(
    client: httpx.AsyncClient, services: Services, succeed: Succeed, record_id: str
) -> None:
    succeed(record_id)
    assert (await client.delete(f"/v1/keyframes/{record_id}")).status_code == 204
    assert_problem(await client.get(f"/v1/keyframes/{record_id}"), 404, "job_not_found")
    assert list(services.store.job_ids()) == []


CALLS = [
    ("GET", ""),
    ("GET", "/content"),
    ("HEAD", "/content"),
    ("GET", "/frames/7"),
    ("POST", "/cancel"),
    ("DELETE", ""),
]


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_a_job_and_what_nobody_has_are_no_keyframes(
    client: httpx.AsyncClient, job_id: str, method: str, path: str
) -> None:
    for name in (job_id, "keyframes_none", "..%2F.."):
        assert (await client.request(method, f"/v1/keyframes/{name}{path}")).status_code == 404
    assert (await client.get(f"/v1/jobs/{job_id}")).json()["status"] == "queued"


async def test_keyframes_are_no_job(client: httpx.AsyncClient, record_id: str) -> None:
    assert_problem(await client.get(f"/v1/jobs/{record_id}"), 404, "job_not_found")
    assert_problem(await client.delete(f"/v1/jobs/{record_id}"), 404, "job_not_found")
    assert (await client.get("/v1/jobs")).json()["data"] == []


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_keyframes_of_another_key_are_not_there(
    client: httpx.AsyncClient, app: FastAPI, succeed: Succeed, method: str, path: str
) -> None:
    app.dependency_overrides[get_viewer] = lambda: "ann"
    record_id = (await client.post("/v1/keyframes", files=[VIDEO])).json()["id"]
    succeed(record_id)
    app.dependency_overrides[get_viewer] = lambda: "bob"
    assert (await client.request(method, f"/v1/keyframes/{record_id}{path}")).status_code == 404
    app.dependency_overrides[get_viewer] = lambda: "ann"
    assert (await client.get(f"/v1/keyframes/{record_id}/frames/7")).content == PICTURE
