import asyncio
import json
import time
from collections.abc import Callable

import httpx
import pytest

from jobs.catalog import CatalogModel
from jobs.errors import VideoUndecodable
from jobs.record import Progress
from jobs.record_keys import Kind
from jobs.record_reader import Look
from service.dependencies import Services
from tests.service.http_checks import assert_problem, job_files, pointers

pytestmark = pytest.mark.anyio
Succeed = Callable[[str], None]


def model(name: str, *, present: bool) -> CatalogModel:
    return CatalogModel(
        name=name,
        title=name,
        license="Apache-2.0",
        source="here",
        weights_present=present,
        restores=False,
        working_size=480,
    )


async def test_a_new_job_is_queued_and_says_where_it_is(client: httpx.AsyncClient, services: Services) -> None:
    response = await client.post(
        "/v1/jobs",
        files=job_files(
            references=("a.png", "b.png"), options={"tuning": "fast", "references": [{"name": "b.png", "frame": 7}]}
        ),
    )
    assert response.status_code == 202
    job = response.json()
    assert response.headers["location"] == f"/v1/jobs/{job['id']}"
    assert int(response.headers["retry-after"]) > 0
    assert (job["status"], job["queue_position"], job["options"]["tuning"]) == ("queued", 0, "fast")
    assert (await client.get(response.headers["location"])).json() == job
    assert services.store.input_video(job["id"]).read_bytes() == b"film"
    assert [path.read_bytes() for path in services.store.input_references(job["id"])] == [b"picture"] * 2
    assert services.repository.submission(job["id"]).reference_names == ("a.png", "b.png")
    assert services.queue.is_alive(job["id"])


async def test_an_unchanged_job_is_not_sent_again(client: httpx.AsyncClient, services: Services, job_id: str) -> None:
    first = await client.get(f"/v1/jobs/{job_id}")
    headers = {"If-None-Match": first.headers["etag"]}
    again = await client.get(f"/v1/jobs/{job_id}", headers=headers)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    services.repository.claim(job_id, "e1")
    changed = await client.get(f"/v1/jobs/{job_id}", headers=headers)
    assert (changed.status_code, changed.json()["status"]) == (200, "processing")


@pytest.fixture
def looks(services: Services, monkeypatch: pytest.MonkeyPatch) -> list[Look]:
    """What the service saw each time that it looked at a job."""
    seen: list[Look] = []
    real = services.repository.look

    def look(job_id: str, *, kind: Kind, viewer: str | None) -> Look:
        seen.append(real(job_id, kind=kind, viewer=viewer))
        return seen[-1]

    monkeypatch.setattr(services.repository, "look", look)
    return seen


async def test_waiting_ends_when_the_job_changes(
    client: httpx.AsyncClient, services: Services, job_id: str, looks: list[Look]
) -> None:
    waiting = asyncio.create_task(client.get(f"/v1/jobs/{job_id}?wait=30"))
    while not looks:
        await asyncio.sleep(0.01)
    services.repository.claim(job_id, "e1")
    assert (await waiting).json()["status"] == "processing"
    # It answered at the first sight of the change.
    assert [look.status for look in looks].count("processing") == 1


async def test_waiting_ends_with_its_time(client: httpx.AsyncClient, job_id: str) -> None:
    first = await client.get(f"/v1/jobs/{job_id}")
    started = time.monotonic()
    response = await client.get(f"/v1/jobs/{job_id}?wait=0.4", headers={"If-None-Match": first.headers["etag"]})
    assert response.status_code == 304
    assert time.monotonic() - started >= 0.4


async def test_a_finished_job_is_never_waited_for(
    client: httpx.AsyncClient, job_id: str, succeed: Succeed, looks: list[Look]
) -> None:
    succeed(job_id)
    job = (await client.get(f"/v1/jobs/{job_id}?wait=30")).json()
    assert job["status"] == "succeeded"
    assert [variant["name"] for variant in job["variants"]] == ["video", "report"]
    assert len(looks) == 1


@pytest.mark.parametrize("wait", ["31", "-1", "soon"])
async def test_a_wait_out_of_bounds_is_refused(client: httpx.AsyncClient, job_id: str, wait: str) -> None:
    problem = assert_problem(await client.get(f"/v1/jobs/{job_id}?wait={wait}"), 422, "invalid_request")
    assert pointers(problem) == ["#/query/wait"]


@pytest.mark.parametrize("path", ["", "/content", "/cancel"])
@pytest.mark.parametrize("job_id", ["job_0123", "..%2f..", "%00", "é", "x" * 500])
async def test_a_job_that_does_not_exist_is_said_so(client: httpx.AsyncClient, job_id: str, path: str) -> None:
    call = client.post if path == "/cancel" else client.get
    response = await call(f"/v1/jobs/{job_id}{path}")
    assert_problem(response, 404, "not_found" if "%2f" in job_id else "job_not_found")


async def test_jobs_are_listed_newest_first_in_pages(client: httpx.AsyncClient, services: Services) -> None:
    ids = [(await client.post("/v1/jobs", files=job_files())).json()["id"] for _ in range(3)]
    first = (await client.get("/v1/jobs?limit=2")).json()
    assert [job["id"] for job in first["data"]] == [ids[2], ids[1]]
    assert first["has_more"]
    second = (await client.get("/v1/jobs", params={"limit": 2, "after": first["next"]})).json()
    assert [job["id"] for job in second["data"]] == [ids[0]]
    assert (second["has_more"], second["next"]) == (False, None)
    services.repository.claim(ids[1], "e1")
    processing = (await client.get("/v1/jobs?status=processing")).json()
    assert [job["id"] for job in processing["data"]] == [ids[1]]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [("status=done", "#/query/status"), ("limit=0", "#/query/limit"), ("limit=101", "#/query/limit")],
)
async def test_a_bad_list_query_is_pointed_at(client: httpx.AsyncClient, query: str, pointer: str) -> None:
    problem = assert_problem(await client.get(f"/v1/jobs?{query}"), 422, "invalid_request")
    assert pointers(problem) == [pointer]


async def test_a_cursor_of_another_kind_is_refused(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get("/v1/jobs?after=nonsense"), 422, "invalid_request")


async def test_a_canceled_job_may_be_canceled_again_and_its_film_be_used_for_another(
    client: httpx.AsyncClient, services: Services, job_id: str
) -> None:
    for _ in range(2):
        response = await client.post(f"/v1/jobs/{job_id}/cancel")
        assert (response.status_code, response.json()["status"]) == (200, "canceled")
    assert not services.queue.is_alive(job_id)
    options = json.dumps({"reuse": job_id, "tuning": "off"})
    again = await client.post("/v1/jobs", files=[("options", (None, options.encode(), "application/json"))])
    assert again.status_code == 202, again.text


async def test_what_has_succeeded_or_failed_cannot_be_canceled(
    client: httpx.AsyncClient, services: Services, succeed: Succeed, job_id: str
) -> None:
    succeed(job_id)
    assert_problem(await client.post(f"/v1/jobs/{job_id}/cancel"), 409, "job_already_finished")
    failed = (await client.post("/v1/jobs", files=job_files())).json()["id"]
    services.repository.fail(failed, None, VideoUndecodable("No video stream."))
    assert_problem(await client.post(f"/v1/jobs/{failed}/cancel"), 409, "job_already_finished")
    shown = (await client.get(f"/v1/jobs/{failed}")).json()
    assert (shown["status"], shown["error"]["code"]) == ("failed", "video_undecodable")


async def test_deleting_removes_record_and_files(
    client: httpx.AsyncClient, services: Services, job_id: str, stored_files: Callable[[], list[str]]
) -> None:
    services.repository.claim(job_id, "e1")
    services.repository.update(job_id, "e1", progress=Progress(fraction=0.5))
    response = await client.delete(f"/v1/jobs/{job_id}")
    assert (response.status_code, response.content) == (204, b"")
    assert stored_files() == []
    assert services.repository.status(job_id)[0] is None
    assert_problem(await client.get(f"/v1/jobs/{job_id}"), 404, "job_not_found")
    assert_problem(await client.delete(f"/v1/jobs/{job_id}"), 404, "job_not_found")


async def test_models_are_those_of_the_workers(client: httpx.AsyncClient, services: Services) -> None:
    assert (await client.get("/v1/models")).json() == {"data": []}
    services.repository.publish_catalog([model("retint", present=True)])
    shown = (await client.get("/v1/models")).json()["data"]
    assert [(entry["name"], entry["license"], entry["weights_present"]) for entry in shown] == [
        ("retint", "Apache-2.0", True)
    ]


@pytest.mark.parametrize("options", [{"model": "deepremaster"}, None])
async def test_a_model_without_weights_is_refused_with_what_to_do(
    client: httpx.AsyncClient, services: Services, options: object, stored_files: Callable[[], list[str]]
) -> None:
    services.repository.publish_catalog(
        [model("retint", present=options is not None), model("deepremaster", present=False)]
    )
    response = await client.post("/v1/jobs", files=job_files(options=options))
    problem = assert_problem(response, 422, "invalid_request")
    assert pointers(problem) == ["#/options/model"]
    model_name = "deepremaster" if options else "retint"
    assert f"`retint weights fetch {model_name} --accept-license`" in str(problem["detail"])
    assert stored_files() == []


async def test_a_model_that_no_worker_knows_is_refused(client: httpx.AsyncClient, services: Services) -> None:
    services.repository.publish_catalog([model("retint", present=True)])
    response = await client.post("/v1/jobs", files=job_files(options={"model": "deepremaster"}))
    assert "Ready to use: retint." in str(assert_problem(response, 422, "invalid_request")["detail"])
