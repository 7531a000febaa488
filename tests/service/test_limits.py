"""How much may be sent: so many open jobs of a key, so many that wait, however many send at once."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from redis import Redis

from jobs.admission import Limits
from jobs.connection import connect
from jobs.errors import QueueFull, TooManyJobs
from jobs.identifiers import new_job_id
from jobs.keys import KeyRing
from jobs.options import JobOptions
from jobs.record import Job, Progress
from jobs.repository import JobRepository
from jobs.settings import Settings
from jobs.submission import Submission
from service.app import create_app
from tests.service.http_checks import assert_problem, job_files
from tests.service.live_server import running

pytestmark = pytest.mark.anyio


def client_of(settings: Settings) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_app(settings)), base_url="http://localhost")


def bearer(redis: Redis, settings: Settings, name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {KeyRing(redis, settings.queue_name).create(name)[1]}"}


async def test_a_key_has_so_many_jobs_at_once(settings: Settings, redis: Redis, tmp_path: Path) -> None:
    ann, bob = bearer(redis, settings, "ann"), bearer(redis, settings, "bob")
    async with client_of(settings.model_copy(update={"auth": "on", "max_jobs_per_key": 2})) as client:
        answers = [await client.post("/v1/jobs", headers=ann, files=job_files()) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [202, 202, 429]
        assert [answer.headers["ratelimit"] for answer in answers] == ['"jobs";r=1', '"jobs";r=0', '"jobs";r=0;t=30']
        assert answers[0].headers["ratelimit-policy"] == '"jobs";q=2'
        assert_problem(answers[2], 429, "too_many_jobs")
        assert answers[2].headers["retry-after"] == "30"
        assert (await client.post("/v1/jobs", headers=bob, files=job_files())).status_code == 202
        await client.post(f"/v1/jobs/{answers[0].json()['id']}/cancel", headers=ann)
        assert (await client.post("/v1/jobs", headers=ann, files=job_files())).status_code == 202
    assert len(list((settings.store_folder / "jobs").iterdir())) == 4


async def test_the_queue_has_an_end_for_all_and_what_runs_does_not_wait(settings: Settings, redis: Redis) -> None:
    async with client_of(settings.model_copy(update={"max_queued_jobs": 1})) as client:
        first = await client.post("/v1/jobs", files=job_files())
        assert first.headers["ratelimit"] == '"queue";r=0'
        full = await client.post("/v1/jobs", files=job_files())
        assert_problem(full, 503, "queue_full")
        assert (full.headers["retry-after"], full.headers["ratelimit-policy"]) == ("30", '"queue";q=1')
        repository = JobRepository(redis, settings.queue_name)
        assert repository.claim(first.json()["id"], "e")
        assert (await client.post("/v1/jobs", files=job_files())).status_code == 202
        assert repository.release(first.json()["id"], "e")
        assert_problem(await client.post("/v1/jobs", files=job_files()), 503, "queue_full")


async def test_without_keys_all_that_is_sent_counts_as_one(settings: Settings) -> None:
    async with client_of(settings.model_copy(update={"max_jobs_per_key": 1})) as client:
        assert (await client.post("/v1/jobs", files=job_files())).headers["ratelimit"] == '"jobs";r=0'
        assert_problem(await client.post("/v1/jobs", files=job_files()), 429, "too_many_jobs")


async def test_a_refusal_says_when_the_first_job_should_be_done(settings: Settings, redis: Redis) -> None:
    repository = JobRepository(redis, settings.queue_name)
    async with client_of(settings.model_copy(update={"max_jobs_per_key": 2})) as client:
        ids = [(await client.post("/v1/jobs", files=job_files())).json()["id"] for _ in range(2)]
        for job_id, seconds in zip(ids, (250.0, 41.5), strict=True):
            assert repository.claim(job_id, "e")
            assert repository.update(job_id, "e", progress=Progress(fraction=0.5, eta_seconds=seconds))
        refused = await client.post("/v1/jobs", files=job_files())
        assert (refused.headers["retry-after"], refused.headers["ratelimit"]) == ("42", '"jobs";r=0;t=42')


async def test_what_is_refused_is_refused_before_it_is_sent(settings: Settings) -> None:
    async with client_of(settings.model_copy(update={"max_queued_jobs": 1})) as client:
        await client.post("/v1/jobs", files=job_files())
        sent = 0

        async def film() -> "object":
            nonlocal sent
            for _ in range(1000):
                sent += 1
                yield b"x" * 65536

        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        assert_problem(await client.post("/v1/jobs", headers=headers, content=film()), 503, "queue_full")  # type: ignore[arg-type]
        assert sent < 100


@pytest.mark.parametrize(("owner", "error"), [("ann", TooManyJobs), ("", QueueFull)])
def test_a_hundred_that_race_do_not_pass_a_limit(
    settings: Settings, redis: Redis, owner: str, error: type[Exception]
) -> None:
    limits = Limits(per_key=7 if owner else 1000, queued=1000 if owner else 7)
    made, refused = [], []

    def submit() -> None:
        with connect(settings.redis_url or "") as client:
            repository = JobRepository(client, settings.queue_name)
            for _ in range(10):
                job = Job(id=new_job_id(), status="queued", options=JobOptions(), created_at=datetime.now(UTC))
                try:
                    repository.create(job, Submission(owner=owner), limits=limits)
                    made.append(job.id)
                except error:
                    refused.append(job.id)

    threads = [threading.Thread(target=submit) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(refused)) == (7, 93)
    repository = JobRepository(redis, settings.queue_name)
    assert {job.id for job in repository.list(limit=100).data} == set(made)


def test_two_servers_hold_to_one_limit(redis_url: str, tmp_path: Path, redis: Redis) -> None:
    _, token = KeyRing(redis, f"live-{tmp_path.name}").create("ann")
    statuses: list[int] = []
    settings = {"auth": "on", "max_jobs_per_key": 7}
    with running(redis_url, tmp_path, **settings) as one, running(redis_url, tmp_path, **settings) as other:

        def submit(client: httpx.Client) -> None:
            for _ in range(10):
                sent = client.post("/v1/jobs", headers={"Authorization": f"Bearer {token}"}, files=job_files())
                statuses.append(sent.status_code)

        threads = [threading.Thread(target=submit, args=[server.client]) for server in (one, other) * 5]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [202] * 7 + [429] * 93
        assert len(list((tmp_path / "store" / "jobs").iterdir())) == 7
