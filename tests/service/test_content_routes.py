import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from jobs.housekeeping import sweep
from service.dependencies import Services
from tests.service.conftest import RESULTS
from tests.service.http_checks import assert_problem, job_files, pointers

pytestmark = pytest.mark.anyio
Succeed = Callable[[str], None]

VIDEO = RESULTS["video"][1]
ETAG = f'"{hashlib.sha256(VIDEO).hexdigest()}"'


@pytest.fixture
def address(job_id: str, succeed: Succeed) -> str:
    """The content of a job that has succeeded."""
    succeed(job_id)
    return f"/v1/jobs/{job_id}/content"


async def test_the_video_comes_whole_with_a_name_and_its_hash(client: httpx.AsyncClient, address: str) -> None:
    response = await client.get(address)
    assert (response.status_code, response.content) == (200, VIDEO)
    assert response.headers["content-type"] == "video/mp4"
    assert response.headers["content-length"] == str(len(VIDEO))
    assert response.headers["etag"] == ETAG
    assert response.headers["content-disposition"] == 'inline; filename="film-color.mp4"'


async def test_a_head_says_the_same_without_the_bytes(client: httpx.AsyncClient, address: str) -> None:
    whole, head = await client.get(address), await client.head(address)
    assert (head.status_code, head.content) == (200, b"")
    differing = {"x-request-id"}
    assert {k: v for k, v in head.headers.items() if k not in differing} == {
        k: v for k, v in whole.headers.items() if k not in differing
    }


async def test_another_variant_is_asked_for_by_name(client: httpx.AsyncClient, address: str) -> None:
    response = await client.get(f"{address}?variant=report")
    assert response.content == RESULTS["report"][1]
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "sandbox" in response.headers["content-security-policy"]


@pytest.mark.parametrize("variant", ["comparison", "frames", "../../input/video"])
async def test_an_unknown_variant_is_answered_with_those_there_are(
    client: httpx.AsyncClient, address: str, variant: str
) -> None:
    problem = assert_problem(await client.get(address, params={"variant": variant}), 404, "variant_not_found")
    assert "video, report" in str(problem["detail"])
    assert pointers(problem) == ["#/query/variant"]


@pytest.mark.parametrize("asked", ["bytes=100-199", "bytes=10000-", "bytes=-1"])
async def test_a_range_is_that_part(client: httpx.AsyncClient, address: str, asked: str) -> None:
    first, _, last = asked.removeprefix("bytes=").partition("-")
    expected = VIDEO[-int(last) :] if not first else VIDEO[int(first) : int(last) + 1 if last else None]
    response = await client.get(address, headers={"Range": asked})
    assert (response.status_code, response.content) == (206, expected)
    start = VIDEO.index(expected) if first == "" else int(first)
    assert response.headers["content-length"] == str(len(expected))
    if first:
        assert response.headers["content-range"] == f"bytes {start}-{start + len(expected) - 1}/{len(VIDEO)}"


async def test_a_download_goes_on_only_if_the_file_is_the_same(client: httpx.AsyncClient, address: str) -> None:
    same = await client.get(address, headers={"Range": "bytes=5-", "If-Range": ETAG})
    assert (same.status_code, same.content) == (206, VIDEO[5:])
    other = await client.get(address, headers={"Range": "bytes=5-", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, VIDEO)


async def test_a_range_behind_the_end_is_416_with_the_size(client: httpx.AsyncClient, address: str) -> None:
    response = await client.get(address, headers={"Range": f"bytes={len(VIDEO)}-"})
    assert_problem(response, 416, "range_not_satisfiable")
    assert response.headers["content-range"] == f"bytes */{len(VIDEO)}"


async def test_a_malformed_range_is_ignored(client: httpx.AsyncClient, address: str) -> None:
    response = await client.get(address, headers={"Range": "bytes=five-"})
    assert (response.status_code, response.content) == (200, VIDEO)


async def test_a_file_that_the_client_has_is_not_sent_again(client: httpx.AsyncClient, address: str) -> None:
    response = await client.get(address, headers={"If-None-Match": ETAG, "Range": "bytes=0-1"})
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == ETAG


async def test_a_job_under_way_has_no_content_yet(client: httpx.AsyncClient, services: Services, job_id: str) -> None:
    response = await client.get(f"/v1/jobs/{job_id}/content")
    assert "queued" in str(assert_problem(response, 409, "job_not_finished")["detail"])
    assert int(response.headers["retry-after"]) > 0


async def test_a_canceled_job_has_none_and_says_so(client: httpx.AsyncClient, job_id: str) -> None:
    await client.post(f"/v1/jobs/{job_id}/cancel")
    problem = assert_problem(await client.get(f"/v1/jobs/{job_id}/content"), 404, "variant_not_found")
    assert "canceled" in str(problem["detail"])


async def test_an_expired_job_is_gone_before_and_after_the_sweep(
    client: httpx.AsyncClient, services: Services, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = datetime.now(UTC) + timedelta(days=8)

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return later

    with monkeypatch.context() as patched:
        patched.setattr("jobs.record_reader.datetime", Later)
        assert_problem(await client.get(address), 410, "job_expired")
        assert_problem(await client.get(address.removesuffix("/content")), 410, "job_expired")
        assert (await client.get("/v1/jobs")).json()["data"] == []
    sweep(services.repository, services.queue, services.store, later)
    assert_problem(await client.get(address), 410, "job_expired")
    assert_problem(await client.get(address.removesuffix("/content")), 410, "job_expired")


async def test_files_that_vanished_are_gone_not_an_error_of_the_server(
    client: httpx.AsyncClient, services: Services, address: str
) -> None:
    services.store.drop_results(address.split("/")[3])
    assert_problem(await client.get(address), 410, "job_expired")


async def test_a_title_names_what_is_saved(client: httpx.AsyncClient, succeed: Callable[[str], None]) -> None:
    options = {"metadata": {"title": 'Sommer "1931" – Tür.mkv'}}
    job_id = (await client.post("/v1/jobs", files=job_files(options=options))).json()["id"]
    succeed(job_id)
    response = await client.get(f"/v1/jobs/{job_id}/content")
    assert response.headers["content-disposition"] == (
        "inline; filename=\"Sommer _1931_ _ T_r-color.mp4\"; filename*=UTF-8''Sommer%20_1931_%20_%20T%C3%BCr-color.mp4"
    )
