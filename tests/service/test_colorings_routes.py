"""`/v1/colorings`, up to the worker."""

import hashlib

import httpx
import pytest
from fastapi import FastAPI

from jobs.record import Progress, Variant
from service.dependencies import Services, get_viewer
from tests.service.http_checks import assert_problem, job_files, pointers

pytestmark = pytest.mark.anyio

PICTURE = ("picture", ("frame.png", b"picture", "image/png"))
STROKES = ("strokes", ("strokes.png", b"strokes", "image/png"))


async def made(client: httpx.AsyncClient) -> str:
    response = await client.post("/v1/colorings", files=[PICTURE, STROKES])
    assert response.status_code == 202, response.text
    assert response.headers["location"] == f"/v1/colorings/{response.json()['id']}"
    return str(response.json()["id"])


def finish(services: Services, coloring: str, content: bytes) -> None:
    """Does what a worker does."""
    assert services.repository.claim(coloring, "e1")
    picture = services.store.open_execution(coloring, "e1") / "picture.png"
    picture.write_bytes(content)
    services.store.publish(coloring, "e1", [picture])
    variant = Variant(
        name="picture",
        media_type="image/png",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        href=f"/v1/colorings/{coloring}/content",
    )
    assert services.repository.finish(coloring, "e1", variants=[variant], progress=Progress(fraction=1))


async def test_a_coloring_waits_before_all_jobs(client: httpx.AsyncClient, services: Services) -> None:
    job = (await client.post("/v1/jobs", files=job_files())).json()["id"]
    search = (await client.post("/v1/keyframes", files=job_files()[:1])).json()["id"]
    coloring = await made(client)
    assert services.queue.waiting_ids() == [coloring, job, search]
    assert (await client.get(f"/v1/colorings/{coloring}")).json()["queue_position"] == 0


async def test_a_single_frame_waits_before_all_jobs_too(client: httpx.AsyncClient, services: Services) -> None:
    job = (await client.post("/v1/jobs", files=job_files())).json()["id"]
    options = ("options", (None, b'{"frames": [{"frame": 3}]}', "application/json"))
    frame = (await client.post("/v1/keyframes", files=[job_files()[0], options])).json()["id"]
    assert services.queue.waiting_ids() == [frame, job]


@pytest.mark.parametrize(
    ("parts", "where"),
    [
        ([PICTURE], ["#/strokes"]),
        ([STROKES], ["#/picture"]),
        ([], ["#/picture", "#/strokes"]),
        ([PICTURE, STROKES, STROKES], ["#/strokes/1"]),
        ([PICTURE, PICTURE, STROKES], ["#/picture"]),
        ([PICTURE, STROKES, job_files()[0]], ["#/video"]),
    ],
)
async def test_a_form_that_does_not_fit_is_refused_and_leaves_nothing(
    client: httpx.AsyncClient, services: Services, parts: list[object], where: list[str]
) -> None:
    files = [*parts, ("options", (None, b"{}", "application/json"))]
    response = await client.post("/v1/colorings", files=files)  # type: ignore[arg-type]
    assert pointers(assert_problem(response, 422, "invalid_request")) == where
    assert list(services.store.job_ids()) == []


async def test_what_is_no_picture_is_refused(client: httpx.AsyncClient) -> None:
    video = ("picture", ("film.mp4", b"film", "video/mp4"))
    response = await client.post("/v1/colorings", files=[video, STROKES])
    assert_problem(response, 415, "unsupported_media_type")


async def test_the_same_coloring_with_the_same_key_is_told_as_described(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    first, again = [
        await client.post("/v1/colorings", files=[PICTURE, STROKES], headers={"Idempotency-Key": "one"})
        for _ in range(2)
    ]
    assert again.json()["id"] == first.json()["id"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    described = app.openapi()["paths"]["/v1/colorings"]["post"]["responses"]["202"]["headers"]
    assert described.keys() >= {"Location", "Retry-After", "RateLimit", "RateLimit-Policy", "Idempotency-Replayed"}


async def test_the_picture_can_be_looked_at_without_downloading_it(
    client: httpx.AsyncClient, services: Services
) -> None:
    coloring = await made(client)
    address = f"/v1/colorings/{coloring}/content"
    assert (await client.head(address)).status_code == 409
    finish(services, coloring, b"colored")
    whole, head = await client.get(address), await client.head(address)
    assert (whole.status_code, whole.content) == (200, b"colored")
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-type", "content-length", "content-disposition", "etag"):
        assert head.headers[name] == whole.headers[name]


async def test_a_deleted_coloring_is_gone(client: httpx.AsyncClient, services: Services) -> None:
    coloring = await made(client)
    assert (await client.delete(f"/v1/colorings/{coloring}")).status_code == 204
    assert_problem(await client.get(f"/v1/colorings/{coloring}"), 404, "job_not_found")
    assert list(services.store.job_ids()) == []


async def test_colorings_are_no_jobs_and_those_of_another_key_are_not_there(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    app.dependency_overrides[get_viewer] = lambda: "key_1"
    coloring = await made(client)
    assert (await client.get("/v1/jobs")).json()["data"] == []
    assert_problem(await client.get(f"/v1/jobs/{coloring}"), 404, "job_not_found")
    app.dependency_overrides[get_viewer] = lambda: "key_2"
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        assert_problem(await client.request(method, f"/v1/colorings/{coloring}{path}"), 404, "job_not_found")
