"""The video of an earlier job or search, in place of a file."""

import json

import httpx
import pytest
from fastapi import FastAPI

from service.dependencies import Services, get_viewer
from tests.service.http_checks import assert_problem, job_files, pointers

pytestmark = pytest.mark.anyio

VIDEO, REFERENCE = job_files()


def kept(record_id: str) -> tuple[str, tuple[None, bytes, str]]:
    return ("video_of", (None, record_id.encode(), "text/plain"))


async def made(client: httpx.AsyncClient, path: str, *parts: object) -> str:
    response = await client.post(path, files=list(parts))  # type: ignore[arg-type]
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


async def test_a_search_and_a_job_hand_their_video_on(client: httpx.AsyncClient, services: Services) -> None:
    search = await made(client, "/v1/keyframes", VIDEO)
    job = await made(client, "/v1/jobs", kept(search), REFERENCE)
    assert (await client.delete(f"/v1/keyframes/{search}")).status_code == 204
    frame = await made(client, "/v1/keyframes", kept(job))
    assert services.store.input_video(frame).read_bytes() == b"film"


async def test_the_file_name_goes_with_the_video(client: httpx.AsyncClient) -> None:
    film = ("video", ("C:\\films\\Zwölf\n Uhr.mkv", b"film", "video/x-matroska"))
    search = await made(client, "/v1/keyframes", film)
    job = await made(client, "/v1/jobs", kept(search), REFERENCE)
    again = await made(client, "/v1/jobs", ("options", (None, json.dumps({"reuse": job}).encode(), "application/json")))
    for address in (f"/v1/keyframes/{search}", f"/v1/jobs/{job}", f"/v1/jobs/{again}"):
        assert (await client.get(address)).json()["filename"] == "Zwölf Uhr.mkv"
    assert [one["filename"] for one in (await client.get("/v1/jobs")).json()["data"]] == ["Zwölf Uhr.mkv"] * 2


async def test_what_is_not_there_is_refused_and_leaves_nothing(client: httpx.AsyncClient, services: Services) -> None:
    for record_id in ("job_" + "0" * 24, "../../etc/passwd", ""):
        response = await client.post("/v1/jobs", files=[kept(record_id), REFERENCE])
        assert pointers(assert_problem(response, 422, "invalid_request")) == ["#/video_of"]
    assert list(services.store.job_ids()) == []


async def test_the_picture_of_a_coloring_is_no_video(client: httpx.AsyncClient, services: Services) -> None:
    picture, strokes = ((part, (f"{part}.png", part.encode(), "image/png")) for part in ("picture", "strokes"))
    coloring = await made(client, "/v1/colorings", picture, strokes)
    for path, parts in (("/v1/jobs", [kept(coloring), REFERENCE]), ("/v1/keyframes", [kept(coloring)])):
        problem = assert_problem(await client.post(path, files=parts), 422, "invalid_request")
        assert pointers(problem) == ["#/video_of"]
        assert "no video" in str(problem["detail"])
    assert list(services.store.job_ids()) == [coloring]


async def test_a_video_that_was_not_kept_is_refused(client: httpx.AsyncClient, services: Services) -> None:
    job = await made(client, "/v1/jobs", VIDEO, REFERENCE)
    services.store.drop_input(job)
    problem = assert_problem(await client.post("/v1/keyframes", files=[kept(job)]), 422, "invalid_request")
    assert "not kept" in str(problem["detail"])


async def test_the_video_of_another_key_is_refused(app: FastAPI, client: httpx.AsyncClient) -> None:
    app.dependency_overrides[get_viewer] = lambda: "key_1"
    job = await made(client, "/v1/jobs", VIDEO, REFERENCE)
    app.dependency_overrides[get_viewer] = lambda: "key_2"
    assert_problem(await client.post("/v1/keyframes", files=[kept(job)]), 422, "invalid_request")


async def test_two_videos_are_one_too_many(client: httpx.AsyncClient) -> None:
    job = await made(client, "/v1/jobs", VIDEO, REFERENCE)
    for parts in ([kept(job), VIDEO, REFERENCE], [VIDEO, kept(job), REFERENCE]):
        assert_problem(await client.post("/v1/jobs", files=parts), 422, "invalid_request")
