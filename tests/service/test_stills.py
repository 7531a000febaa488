"""Small pictures, there while a job still runs."""

import httpx
import pytest
from fastapi import FastAPI

from service.dependencies import Services, get_viewer
from tests.service.http_checks import assert_problem

pytestmark = pytest.mark.anyio


async def test_a_running_job_shows_what_it_has(client: httpx.AsyncClient, services: Services, job_id: str) -> None:
    assert services.repository.claim(job_id, "e1")
    services.store.write_still(job_id, 7, b"picture")
    assert services.repository.update(job_id, "e1", stills=[7])
    assert (await client.get(f"/v1/jobs/{job_id}")).json()["stills"] == [7]
    response = await client.get(f"/v1/jobs/{job_id}/stills/7")
    assert (response.content, response.headers["content-type"]) == (b"picture", "image/jpeg")


async def test_what_is_not_there_is_said(client: httpx.AsyncClient, job_id: str) -> None:
    assert_problem(await client.get(f"/v1/jobs/{job_id}/stills/7"), 404, "variant_not_found")
    assert_problem(await client.get("/v1/jobs/job_0/stills/7"), 404, "job_not_found")
    assert_problem(await client.get(f"/v1/keyframes/{job_id}/stills/7"), 404, "job_not_found")


async def test_pictures_of_another_key_are_not_there(
    app: FastAPI, client: httpx.AsyncClient, services: Services
) -> None:
    app.dependency_overrides[get_viewer] = lambda: "key_1"
    response = await client.post("/v1/keyframes", files={"video": ("film.mp4", b"film", "video/mp4")})
    record_id = response.json()["id"]
    services.store.write_still(record_id, 0, b"picture")
    assert (await client.get(f"/v1/keyframes/{record_id}/stills/0")).status_code == 200
    app.dependency_overrides[get_viewer] = lambda: "key_2"
    assert_problem(await client.get(f"/v1/keyframes/{record_id}/stills/0"), 404, "job_not_found")
