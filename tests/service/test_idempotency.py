"""`Idempotency-Key`: what is sent twice is made once."""

import os
import signal
import socket
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio
import httpx
import pytest
from redis import Redis

from jobs.errors import InvalidRequest
from jobs.keys import KeyRing
from jobs.settings import Settings
from service import submitting
from service.app import create_app
from service.dependencies import Services
from tests.service.http_checks import assert_problem, job_files, pointers
from tests.service.live_server import eventually, running

pytestmark = pytest.mark.anyio
KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


async def test_the_same_again_is_answered_with_the_same_job(client: httpx.AsyncClient, services: Services) -> None:
    first = await client.post("/v1/jobs", headers=KEY, files=job_files(options={"tuning": "fast"}))
    again = await client.post("/v1/jobs", headers=KEY, files=job_files(options={"tuning": "fast"}))
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert len(services.repository.list().data) == 1
    assert services.queue.length() == 1


async def test_two_keys_are_one_too_many(client: httpx.AsyncClient, services: Services) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    problem = assert_problem(await client.post("/v1/jobs", headers=headers, files=job_files()), 422, "invalid_request")
    assert pointers(problem) == ["#/header/Idempotency-Key"]
    assert services.repository.list().data == []


async def test_it_is_the_meaning_that_must_be_the_same(client: httpx.AsyncClient) -> None:
    parts = job_files(references=("a.png", "b.png"), options={"tuning": "fast", "restore": False})
    first = await client.post("/v1/jobs", headers=KEY, files=parts)
    quoted = {"Idempotency-Key": f'"{KEY["Idempotency-Key"]}"'}
    other = job_files(references=("a.png", "b.png"), options={"tuning": "fast"})
    again = await client.post("/v1/jobs", headers=quoted, files=other[::-1])
    assert again.json()["id"] == first.json()["id"]


@pytest.mark.parametrize(
    "other",
    [
        job_files(video=b"another"),
        job_files(references=("b.png",)),
        job_files(references=("a.png", "b.png")),
        job_files(options={"tuning": "off"}),
        [("video", ("b.mp4", b"film", "video/mp4")), job_files()[1]],
    ],
)
async def test_another_submission_needs_another_key(
    client: httpx.AsyncClient, services: Services, stored_files: Callable[[], list[str]], other: list[object]
) -> None:
    await client.post("/v1/jobs", headers=KEY, files=job_files())
    before = stored_files()
    response = await client.post("/v1/jobs", headers=KEY, files=other)
    assert_problem(response, 422, "idempotency_key_reused")
    assert stored_files() == before
    assert len(services.repository.list().data) == 1
    new = {"Idempotency-Key": "another"}
    assert (await client.post("/v1/jobs", headers=new, files=other)).status_code == 202


async def test_a_submission_that_fails_leaves_the_key_free(
    client: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_problem(await client.post("/v1/jobs", headers=KEY, files=job_files()[:1]), 422, "invalid_request")

    def broken(_: str) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(services.queue, "enqueue", broken)
        assert_problem(await client.post("/v1/jobs", headers=KEY, files=job_files()), 500, "internal")
    response = await client.post("/v1/jobs", headers=KEY, files=job_files())
    assert response.status_code == 202
    assert "idempotency-replayed" not in response.headers


@pytest.mark.parametrize("key", ["", '""', " ", "ä", "x" * 256, "a\tb"])
async def test_a_key_is_printable_and_not_long(client: httpx.AsyncClient, key: str) -> None:
    headers = {"Idempotency-Key": key.encode()}
    assert_problem(await client.post("/v1/jobs", headers=headers, files=job_files()), 422, "invalid_request")  # type: ignore[arg-type]


async def test_a_replay_needs_no_disk_and_no_weights(
    client: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await client.post("/v1/jobs", headers=KEY, files=job_files())

    def refuse(_: object, *, catalog: object) -> None:
        raise InvalidRequest("The weights are gone.")

    monkeypatch.setattr("service.routers.jobs.require_weights", refuse)
    monkeypatch.setattr(type(services.store), "free_bytes", lambda _: -1)
    again = await client.post("/v1/jobs", headers=KEY, files=job_files())
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert again.headers["ratelimit"] == '"jobs";r=99'
    assert_problem(await client.post("/v1/jobs", files=job_files()), 507, "storage_full")


async def test_a_replay_is_answered_where_no_job_more_would_be_taken(settings: Settings) -> None:
    transport = httpx.ASGITransport(create_app(settings.model_copy(update={"max_jobs_per_key": 1})))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        first = await client.post("/v1/jobs", headers=KEY, files=job_files())
        again = await client.post("/v1/jobs", headers=KEY, files=job_files())
        assert again.json()["id"] == first.json()["id"]
        assert again.headers["ratelimit"] == '"jobs";r=0'


async def test_a_replay_does_not_ask_for_the_earlier_job_again(client: httpx.AsyncClient, settings: Settings) -> None:
    earlier = (await client.post("/v1/jobs", files=job_files(references=("a.png", "b.png")))).json()["id"]
    parts = job_files(references=("c.png",), options={"reuse": earlier, "references": [{"name": "a.png", "frame": 3}]})
    parts = parts[1:]  # the video is the earlier job's
    first = await client.post("/v1/jobs", headers=KEY, files=parts)
    assert first.status_code == 202
    await client.delete(f"/v1/jobs/{earlier}")
    again = await client.post("/v1/jobs", headers=KEY, files=parts)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert_problem(await client.post("/v1/jobs", headers=KEY, files=parts[:-1]), 422, "idempotency_key_reused")


async def test_a_replay_is_answered_where_less_is_taken_by_now(settings: Settings, client: httpx.AsyncClient) -> None:
    parts = job_files(references=("a.png", "b.png"))
    first = await client.post("/v1/jobs", headers=KEY, files=parts)
    lowered = settings.model_copy(update={"max_references": 1, "max_reference_bytes": 1})
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(lowered)), base_url="http://localhost"
    ) as later:
        again = await later.post("/v1/jobs", headers=KEY, files=parts)
        assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
        assert_problem(await later.post("/v1/jobs", files=parts), 413, "payload_too_large")


async def test_an_upload_counts_by_its_id(client: httpx.AsyncClient) -> None:
    ids = []
    for _ in range(2):
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "4", "Content-Type": "application/offset+octet-stream"}
        upload = await client.post("/v1/uploads", headers=headers, content=b"film")
        ids.append(upload.json()["id"])
    one, other = ([("video_upload", (None, name.encode())), job_files()[1]] for name in ids)
    first = await client.post("/v1/jobs", headers=KEY, files=one)
    assert first.status_code == 202
    assert (await client.post("/v1/jobs", headers=KEY, files=one)).json()["id"] == first.json()["id"]
    assert_problem(await client.post("/v1/jobs", headers=KEY, files=other), 422, "idempotency_key_reused")
    await client.delete(f"/v1/uploads/{ids[0]}", headers={"Tus-Resumable": "1.0.0"})
    assert (await client.post("/v1/jobs", headers=KEY, files=one)).json()["id"] == first.json()["id"]


def test_an_upload_that_breaks_off_leaves_the_key_free(redis_url: str, tmp_path: Path, redis: Redis) -> None:
    with running(redis_url, tmp_path) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(
                b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\nIdempotency-Key: k\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
            )
            assert eventually(lambda: list(redis.scan_iter(f"live-{tmp_path.name}:idempotency:*")) != [])
            again = server.client.post("/v1/jobs", headers={"Idempotency-Key": "k"}, files=job_files())
            assert_problem(again, 409, "idempotency_key_in_use")
        send = partial(server.client.post, "/v1/jobs", headers={"Idempotency-Key": "k"}, files=job_files())
        assert eventually(lambda: send().status_code == 202)


async def test_a_deleted_job_is_told_as_everywhere(client: httpx.AsyncClient) -> None:
    first = await client.post("/v1/jobs", headers=KEY, files=job_files())
    await client.delete(f"/v1/jobs/{first.json()['id']}")
    assert_problem(await client.post("/v1/jobs", headers=KEY, files=job_files()), 404, "job_not_found")


async def test_everybody_has_keys_of_their_own(settings: Settings, redis: Redis) -> None:
    ring = KeyRing(redis, settings.queue_name)
    tokens = [ring.create(name)[1] for name in ("ann", "bob")]
    transport = httpx.ASGITransport(create_app(settings.model_copy(update={"auth": "on"})))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answers = [
            await client.post("/v1/jobs", headers=KEY | {"Authorization": f"Bearer {token}"}, files=job_files())
            for token in tokens
        ]
    assert answers[0].json()["id"] != answers[1].json()["id"]


async def test_a_lease_is_renewed_while_a_slow_upload_comes(
    client: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.idempotency.LEASE_SECONDS", 1)
    monkeypatch.setattr(submitting, "LEASE_SECONDS", 1)
    form = httpx.Request("POST", "http://test", files=job_files())
    body = form.read()

    async def slowly() -> "object":
        yield body[:50]
        await anyio.sleep(2.5)
        yield body[50:]

    headers = {**KEY, "Content-Type": form.headers["content-type"]}
    async with anyio.create_task_group() as group:

        async def send() -> None:
            response = await client.post("/v1/jobs", headers=headers, content=slowly())  # type: ignore[arg-type]
            assert response.status_code == 202

        group.start_soon(send)
        await anyio.sleep(2)
        response = await client.post("/v1/jobs", headers=KEY, files=job_files())
        assert_problem(response, 409, "idempotency_key_in_use")
        assert response.headers["retry-after"] == "2"
    assert len(services.repository.list().data) == 1


def test_two_servers_make_one_job(redis_url: str, tmp_path: Path) -> None:
    answers: list[httpx.Response] = []
    with running(redis_url, tmp_path) as one, running(redis_url, tmp_path) as other:

        def send(client: httpx.Client) -> None:
            answers.append(client.post("/v1/jobs", headers=KEY, files=job_files(video=b"x" * 3_000_000)))

        threads = [threading.Thread(target=send, args=[server.client]) for server in (one, other) * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {answer.status_code for answer in answers} <= {202, 409}
        assert len({answer.json()["id"] for answer in answers if answer.status_code == 202}) == 1
        assert len(one.client.get("/v1/jobs").json()["data"]) == 1


def test_a_server_that_dies_holds_the_key_for_its_lease_alone(redis_url: str, tmp_path: Path, redis: Redis) -> None:
    with running(redis_url, tmp_path) as dying, socket.create_connection(("127.0.0.1", dying.port)) as connection:
        form = httpx.Request("POST", "http://test", files=job_files(video=b"x" * 100_000))
        head = f"Host: localhost\r\nContent-Length: 200000\r\nContent-Type: {form.headers['content-type']}\r\n"
        key_header = f"Idempotency-Key: {KEY['Idempotency-Key']}\r\n\r\n"
        connection.sendall(f"POST /v1/jobs HTTP/1.1\r\n{head}{key_header}".encode() + form.read()[:1000])
        pattern = f"live-{tmp_path.name}:idempotency:*"
        assert eventually(lambda: list(redis.scan_iter(pattern)) != [])
        os.kill(dying.pid, signal.SIGKILL)
    [key] = redis.scan_iter(pattern)
    assert 0 < redis.ttl(key) <= 45
    with running(redis_url, tmp_path) as server:
        assert server.client.post("/v1/jobs", headers=KEY, files=job_files()).status_code == 409
        redis.pexpire(key, 1)  # as if the lease were over
        assert eventually(lambda: server.client.post("/v1/jobs", headers=KEY, files=job_files()).status_code == 202)
