"""`/metrics`, as Prometheus reads it."""

import re
import shutil
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

import httpx
import pytest
import redis.exceptions
from anyio import fail_after
from fastapi import FastAPI
from prometheus_client import generate_latest
from prometheus_samples import samples_of
from redis import Redis

from jobs.errors import VideoUndecodable, WorkerLost
from jobs.folder_store import FolderStore
from jobs.identifiers import new_keyframes_id
from jobs.metrics import FRAMES_COLORED, HTTP_REQUESTS, Tally
from jobs.metrics_store import MetricsStore
from jobs.options import KeyframeOptions
from jobs.record import Keyframes, Progress
from jobs.settings import Settings
from service.app import create_app
from service.dependencies import Services
from service.exposition import make_registry
from service.routers import metrics
from tests.service.http_checks import job_files
from tests.service.threads import every_thread_taken

pytestmark = pytest.mark.anyio

Samples = Mapping[str, float]


async def scrape(client: httpx.AsyncClient) -> Samples:
    response = await client.get("/metrics")
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return samples_of(response.text)


def client_of(settings: Settings) -> httpx.AsyncClient:
    """Of another API process, as far as metrics go."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_app(settings)), base_url="http://localhost")


async def test_a_fresh_service_shows_every_kind_of_end_and_failure_at_zero(client: httpx.AsyncClient) -> None:
    samples = await scrape(client)
    assert samples["retint_redis_up"] == 1
    assert samples['retint_jobs_ended_total{kind="jobs",status="canceled"}'] == 0
    assert samples['retint_job_failures_total{code="video_undecodable",kind="keyframes"}'] == 0
    assert samples['retint_open_jobs{status="queued"}'] == 0
    assert samples["retint_oldest_queued_seconds"] == 0
    assert samples["retint_workers"] == 0
    assert [value for name, value in samples.items() if name.startswith("retint_build_info{")] == [1]


async def test_every_failure_of_the_server_is_there_at_zero_before_the_first(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    """Else an alert that asks for an increase would not see the first ones."""
    described = {
        (method.upper(), route, status)
        for route, methods in create_app(settings).openapi()["paths"].items()
        for method, operation in methods.items()
        for status in operation["responses"]
        if int(status) >= 500
    }
    assert {status for _, _, status in described} == {"500", "503", "507"}
    samples = await scrape(client)
    for method, route, status in {*described, ("POST", "/v1/session", "503"), ("GET", "/page/{name}", "500")}:
        assert samples[f'retint_http_requests_total{{method="{method}",route="{route}",status="{status}"}}'] == 0
    assert not [name for name in samples if re.search('POST.*"/v1/jobs/{job_id}/cancel".*507', name)]


async def test_failures_are_counted_from_the_zero_on(client: httpx.AsyncClient, services: Services) -> None:
    name = 'retint_http_requests_total{method="GET",route="/v1/jobs",status="503"}'
    assert (await scrape(client))[name] == 0
    for _ in range(6):
        services.traffic.count(method="GET", route="/v1/jobs", status=503, seconds=0.1)
    assert (await scrape(client))[name] == 6


async def test_the_space_left_for_films_is_told(
    client: httpx.AsyncClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0 < (await scrape(client))["retint_store_free_bytes"] <= shutil.disk_usage(settings.store_folder).total

    def fail(_: object) -> int:
        raise OSError("stale file handle")

    monkeypatch.setattr(FolderStore, "free_bytes", fail)
    samples = await scrape(client)
    assert samples["retint_redis_up"] == 1
    assert "retint_store_free_bytes" not in samples


async def test_a_bucket_has_no_end_that_could_be_told(
    settings: Settings, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FolderStore, "free_bytes", lambda _: None)  # as jobs.s3_store has it
    assert "retint_store_free_bytes" not in samples_of(generate_latest(services.metrics).decode())


async def test_the_queue_is_counted_and_its_oldest_job_has_an_age(
    client: httpx.AsyncClient, redis: Redis, settings: Settings, services: Services
) -> None:
    ids = [(await client.post("/v1/jobs", files=job_files())).json()["id"] for _ in range(3)]
    # As if the second had been submitted an hour ago.
    key = f"{settings.queue_name}:job:{ids[1]}"
    redis.hset(key, "submitted", float(redis.hget(key, "submitted") or 0) - 3600)
    assert services.repository.claim(ids[0], "e1")
    samples = await scrape(client)
    assert samples['retint_open_jobs{status="queued"}'] == 2
    assert samples['retint_open_jobs{status="processing"}'] == 1
    assert 3600 <= samples["retint_oldest_queued_seconds"] < 3700
    assert samples['retint_jobs_submitted_total{kind="jobs"}'] == 3
    assert samples['retint_job_wait_seconds_count{kind="jobs"}'] == 1


async def test_a_job_ends_once_whoever_says_so_and_however_often(
    client: httpx.AsyncClient, job_id: str, services: Services
) -> None:
    repository = services.repository
    assert repository.claim(job_id, "e1")
    counts = {FRAMES_COLORED.name: 12.0}
    for _ in range(2):  # the answer to the first may have been lost
        assert repository.finish(job_id, "e1", variants=[], progress=Progress(), counts=counts)
    assert not repository.fail(job_id, None, WorkerLost("late"))
    assert not repository.cancel(job_id)
    samples = await scrape(client)
    assert samples['retint_jobs_ended_total{kind="jobs",status="succeeded"}'] == 1
    assert samples['retint_jobs_ended_total{kind="jobs",status="failed"}'] == 0
    assert samples['retint_job_failures_total{code="worker_lost",kind="jobs"}'] == 0
    assert samples['retint_job_duration_seconds_count{kind="jobs",status="succeeded"}'] == 1
    assert samples["retint_frames_colored_total"] == 12


async def test_an_execution_that_was_given_up_counts_nothing(
    client: httpx.AsyncClient, job_id: str, services: Services
) -> None:
    repository = services.repository
    assert repository.claim(job_id, "e1")
    assert repository.release(job_id, "e1")
    assert repository.claim(job_id, "e2")
    counts = {FRAMES_COLORED.name: 12.0}
    assert not repository.finish(job_id, "e1", variants=[], progress=Progress(), counts=counts)
    assert not repository.fail(job_id, "e1", VideoUndecodable("none"), counts=counts)
    assert repository.fail(job_id, "e2", VideoUndecodable("none"))
    samples = await scrape(client)
    assert samples["retint_frames_colored_total"] == 0
    assert samples['retint_executions_lost_total{kind="jobs"}'] == 1
    assert samples['retint_job_failures_total{code="video_undecodable",kind="jobs"}'] == 1
    # Waited once, though it was taken up twice.
    assert samples['retint_job_wait_seconds_count{kind="jobs"}'] == 1


async def test_a_job_that_another_execution_takes_over_counts_the_lost_one(
    client: httpx.AsyncClient, job_id: str, services: Services
) -> None:
    assert services.repository.claim(job_id, "e1")
    assert services.repository.claim(job_id, "e2")
    assert (await scrape(client))['retint_executions_lost_total{kind="jobs"}'] == 1


async def test_requests_are_counted_by_route_and_never_by_path(client: httpx.AsyncClient, settings: Settings) -> None:
    for number in range(3):
        await client.get(f"/v1/jobs/job_{number}")
    await client.get("/no/such/path")
    await client.request("BREW", "/v1/jobs")
    samples = await scrape(client)
    assert samples['retint_http_requests_total{method="GET",route="/v1/jobs/{job_id}",status="404"}'] == 3
    assert samples['retint_http_requests_total{method="GET",route="none",status="404"}'] == 1
    assert samples['retint_http_requests_total{method="OTHER",route="/v1/jobs",status="405"}'] == 1
    series = 'method="GET",route="/v1/jobs/{job_id}"'
    assert samples[f"retint_http_request_duration_seconds_count{{{series}}}"] == 3
    assert samples[f'retint_http_request_duration_seconds_bucket{{le="+Inf",{series}}}'] == 3
    assert samples[f"retint_http_request_duration_seconds_sum{{{series}}}"] > 0
    assert not [name for name in samples if "job_1" in name or "/no/such" in name or "BREW" in name]


async def test_any_process_answers_for_all(client: httpx.AsyncClient, settings: Settings) -> None:
    async with client_of(settings) as other:
        await client.get("/version")
        await other.get("/version")
        await scrape(client)
        samples = await scrape(other)
        assert samples['retint_http_requests_total{method="GET",route="/version",status="200"}'] == 2
        assert samples["retint_api_processes"] == 2
        # The scrape of `other` itself is counted by now, and what it counted stays.
        again = await scrape(client)
    assert all(again[name] >= value for name, value in samples.items() if name.endswith("_total"))


async def test_counts_that_are_sent_twice_are_added_once(
    client: httpx.AsyncClient, redis: Redis, settings: Settings
) -> None:
    tally = Tally()
    tally.count(HTTP_REQUESTS, labels=("GET", "/v1/jobs", "200"), amount=5)
    counts = tally.take()
    assert not tally.take()
    store = MetricsStore(redis, settings)
    for _ in range(2):
        store.add(counts, token="one")
    name = 'retint_http_requests_total{method="GET",route="/v1/jobs",status="200"}'
    assert (await scrape(client))[name] == 5
    store.add(counts, token="two")
    assert (await scrape(client))[name] == 10


async def test_buckets_hold_those_below_them(client: httpx.AsyncClient, redis: Redis, settings: Settings) -> None:
    key = f"{settings.queue_name}:metrics"
    # A bound of an earlier version, which keeps its place.
    counted = {"le=0.25": 1, "le=0.3": 2, "le=2": 4, "le=+Inf": 8, "sum": 42.5}
    redis.hset(key, mapping={f"retint_tuning_gain_decibels {name}": value for name, value in counted.items()})
    redis.hset(key, "retint_of_a_later_version thing", 1)
    samples = await scrape(client)
    bounds = ("0", "0.25", "0.3", "0.5", "1.5", "2", "10", "+Inf")
    found = [samples[f'retint_tuning_gain_decibels_bucket{{le="{bound}"}}'] for bound in bounds]
    assert found == [0, 1, 3, 3, 3, 7, 7, 15]
    assert samples["retint_tuning_gain_decibels_count"] == 15
    assert samples["retint_tuning_gain_decibels_sum"] == 42.5


async def test_a_key_is_asked_for_where_keys_are(locked: tuple[httpx.AsyncClient, str]) -> None:
    client, key = locked
    assert (await client.get("/metrics")).status_code == 401
    assert (await client.get("/metrics", headers={"Authorization": f"Bearer {key}"})).status_code == 200


async def test_an_overdue_webhook_is_shown(client: httpx.AsyncClient, redis: Redis, settings: Settings) -> None:
    now = time.time() * 1000
    key = f"{settings.queue_name}:webhooks"
    redis.zadd(key, {"job_1:succeeded:4": now - 1000, "job_2:succeeded:4": now + 60_000})
    assert (await scrape(client))["retint_webhooks_due"] == 1


@pytest.mark.parametrize("auth", ["off", "on"])
@pytest.mark.parametrize("behavior", ["refuses", "is silent"])
async def test_without_redis_it_says_so_soon_and_to_anybody(
    settings: Settings, behavior: str, auth: Literal["off", "on"]
) -> None:
    """No key can be checked then; and calls that wait for Redis may have taken all threads."""
    with socket.socket() as listener, every_thread_taken():
        listener.bind(("127.0.0.1", 0))
        if behavior == "is silent":
            listener.listen()
        app = create_app(settings.model_copy(update={"redis_url": f"redis://127.0.0.1:{listener.getsockname()[1]}/0"}))
        found = app.state.services
        app.state.services = replace(found, settings=found.settings.model_copy(update={"auth": auth}))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            with fail_after(8):
                samples = await scrape(client)
    assert {name.partition("{")[0] for name in samples} == {
        "retint_build_info",
        "retint_redis_up",
        "retint_store_free_bytes",
    }
    assert samples["retint_redis_up"] == 0


async def test_a_redis_whose_name_is_looked_up_for_long_is_away(
    client: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = threading.Event()
    monkeypatch.setattr(metrics, "REDIS_SECONDS", 0.2)
    monkeypatch.setattr(services.looks, "ping", found.wait)
    try:
        with fail_after(5):
            assert (await scrape(client))["retint_redis_up"] == 0
    finally:
        found.set()


async def test_what_was_counted_without_redis_comes_when_it_is_back(
    client: httpx.AsyncClient, app: FastAPI, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.traffic.count(method="GET", route="/version", status=200, seconds=0.1)
    broken = threading.Event()
    broken.set()
    add = MetricsStore.add

    def add_but_lose_the_answer(self: MetricsStore, counts: Mapping[str, float], *, token: str) -> None:
        add(self, counts, token=token)
        if broken.is_set():
            raise redis.exceptions.TimeoutError("the answer was lost")

    monkeypatch.setattr(MetricsStore, "add", add_but_lose_the_answer)
    await client.get("/metrics")
    broken.clear()
    samples = await scrape(client)
    assert samples['retint_http_requests_total{method="GET",route="/version",status="200"}'] == 1


def test_both_kinds_of_record_are_counted_apart(services: Services, settings: Settings, redis: Redis) -> None:
    record_id = new_keyframes_id()
    services.repository.create(
        Keyframes(id=record_id, status="queued", options=KeyframeOptions(), created_at=datetime.now(UTC))
    )
    services.repository.cancel(record_id)
    store = MetricsStore(redis, settings)
    samples = samples_of(generate_latest(make_registry(store, store=services.store, at_zero={})).decode())
    assert samples['retint_jobs_ended_total{kind="keyframes",status="canceled"}'] == 1
    assert samples['retint_jobs_ended_total{kind="jobs",status="canceled"}'] == 0
