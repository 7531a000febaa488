"""Server-sent events: what a client sees of a job, whatever happens on the way."""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from jobs.embedded_redis import embedded_redis
from jobs.errors import VideoUndecodable
from jobs.identifiers import new_job_id
from jobs.keys import KeyRing
from jobs.options import JobOptions
from jobs.record import Job, Progress, Shot
from jobs.repository import JobRepository
from jobs.submission import Submission
from tests.service.event_stream import Message, messages_of
from tests.service.http_checks import assert_problem
from tests.service.live_server import Server, eventually, running

SHOT = Shot(index=0, first_frame=0, last_frame=9, reference="a.png")


class Stage:
    """A server, and the worker's part by hand."""

    def __init__(self, server: Server, redis: Redis, folder: Path) -> None:
        self.server = server
        self.redis = redis
        self.prefix = f"live-{folder.name}"
        self.repository = JobRepository(redis, self.prefix)

    def submit(self, owner: str = "") -> str:
        job = Job(id=new_job_id(), status="queued", options=JobOptions(), created_at=datetime.now(UTC))
        self.repository.create(job, Submission(owner=owner))
        return job.id

    def start(self) -> str:
        """A job that is at its first progress."""
        job_id = self.submit()
        assert self.repository.claim(job_id, "e")
        return job_id

    def advance(self, job_id: str, *fractions: float) -> None:
        for fraction in fractions:
            assert self.repository.update(job_id, "e", progress=Progress(fraction=fraction))

    def shown(self, job_id: str) -> Any:
        return self.server.client.get(f"/v1/jobs/{job_id}").json()

    def readers(self) -> int:
        """Connections that wait for events."""
        return sum(client["cmd"] == "xread" for client in self.redis.client_list())

    @contextmanager
    def watching(self, job_id: str, *, last: str | None = None) -> Iterator[Iterator[Message]]:
        headers = {} if last is None else {"Last-Event-ID": last}
        with self.server.client.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as response:
            assert response.status_code == 200
            yield messages_of(response)


@pytest.fixture(scope="module")
def stage(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("stage")
    with running(redis_url, folder) as server, Redis.from_url(redis_url) as redis:
        yield Stage(server, redis, folder)


def heads(messages: Sequence[Message]) -> Sequence[tuple[str, str | None]]:
    return [(message.event, message.id) for message in messages]


def test_the_job_comes_first_then_what_changes_and_in_the_end_the_job(stage: Stage) -> None:
    job_id = stage.submit()
    with stage.watching(job_id) as messages:
        snapshot = next(messages)
        assert (snapshot.event, snapshot.id, snapshot.data) == ("snapshot", "1", stage.shown(job_id))
        stage.repository.claim(job_id, "e")
        claimed = next(messages)
        assert (claimed.event, claimed.id, claimed.data["status"]) == ("change", "2", "processing")
        assert snapshot.data | claimed.data == stage.shown(job_id)
        assert stage.repository.update(job_id, "e", shots=[SHOT], progress=Progress(fraction=0.5))
        changed = next(messages)
        assert sorted(changed.data) == ["progress", "shots"]
        assert snapshot.data | claimed.data | changed.data == stage.shown(job_id)
        assert stage.repository.fail(job_id, "e", VideoUndecodable("It is no video."))
        failed, end = messages
        assert (failed.event, failed.id, failed.data["error"]["code"]) == ("change", "4", "video_undecodable")
        assert (end.event, end.id, end.data) == ("end", "end", stage.shown(job_id))


def test_the_answer_is_kept_and_held_back_by_nobody(stage: Stage) -> None:
    with stage.server.client.stream("GET", f"/v1/jobs/{stage.submit()}/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-accel-buffering"] == "no"
        assert next(response.iter_lines()).startswith("retry: ")


def test_a_queued_job_moves_up(stage: Stage) -> None:
    first, second = stage.submit(), stage.submit()
    stage.redis.rpush(f"rq:queue:{stage.prefix}", first, second)
    with stage.watching(second) as messages:
        assert next(messages).data["queue_position"] == 1
        stage.redis.lpop(f"rq:queue:{stage.prefix}")
        moved = next(messages)
        assert (moved.event, moved.id, moved.data) == ("change", None, {"queue_position": 0})


def test_who_comes_back_gets_what_was_missed_and_nothing_twice(stage: Stage) -> None:
    job_id = stage.start()
    with stage.watching(job_id) as messages:
        assert next(messages).id == "2"
    stage.advance(job_id, 0.0, 0.1, 0.2, 0.3, 0.4)
    with stage.watching(job_id, last="4") as messages:
        missed = [next(messages) for _ in range(3)]
        assert heads(missed) == [("change", "5"), ("change", "6"), ("change", "7")]
        assert [message.data["progress"]["fraction"] for message in missed] == [0.2, 0.3, 0.4]
        stage.advance(job_id, 0.9)
        assert next(messages).id == "8"


def test_what_is_large_is_sent_once_to_who_missed_several_changes_of_it(stage: Stage) -> None:
    job_id = stage.start()
    for frame in range(3):
        assert stage.repository.update(job_id, "e", shots=[SHOT.model_copy(update={"last_frame": frame})])
    with stage.watching(job_id, last="2") as messages:
        shots = [next(messages).data.get("shots") for _ in range(3)]
    assert shots == [None, None, stage.shown(job_id)["shots"]]


def test_who_was_away_for_too_long_gets_the_job_anew(stage: Stage) -> None:
    job_id = stage.start()
    stage.advance(job_id, 0.0, 0.1, 0.2, 0.3, 0.4)
    stage.redis.xtrim(f"{stage.prefix}:events:{job_id}", maxlen=2, approximate=False)
    with stage.watching(job_id, last="2") as messages:
        assert heads([next(messages)]) == [("snapshot", "7")]
        stage.advance(job_id, 0.9)
        assert next(messages).id == "8"


@pytest.mark.parametrize("last", ["999", "-1", "end", "1-0", "", "9" * 400])
def test_an_id_that_never_was_gets_the_job_anew(stage: Stage, last: str) -> None:
    with stage.watching(stage.submit(), last=last) as messages:
        assert next(messages).event == "snapshot"


def test_an_ended_job_is_told_once_and_never_again(stage: Stage) -> None:
    job_id = stage.submit()
    stage.repository.cancel(job_id)
    with stage.watching(job_id) as messages:
        assert heads([*messages]) == [("snapshot", "2"), ("end", "end")]
    headers = {"Last-Event-ID": "end"}
    assert stage.server.client.get(f"/v1/jobs/{job_id}/events", headers=headers).status_code == 204


@pytest.mark.parametrize(("last", "rest"), [("1", [("change", "2"), ("end", "end")]), ("2", [("end", "end")])])
def test_who_saw_the_last_change_but_not_the_end_gets_the_end(
    stage: Stage, last: str, rest: Sequence[tuple[str, str]]
) -> None:
    job_id = stage.submit()
    stage.repository.cancel(job_id)
    with stage.watching(job_id, last=last) as messages:
        assert heads([*messages]) == rest


def test_a_job_that_is_deleted_is_said_to_be(stage: Stage) -> None:
    job_id = stage.start()
    with stage.watching(job_id) as messages:
        next(messages)
        stage.advance(job_id, 0.5)
        stage.repository.delete(job_id)
        assert [message.event for message in messages][-1] == "deleted"
    assert_problem(stage.server.client.get(f"/v1/jobs/{job_id}/events"), 404, "job_not_found")


def test_a_change_that_is_lost_from_the_stream_is_told_all_the_same(stage: Stage) -> None:
    job_id = stage.submit()
    with stage.watching(job_id) as messages:
        next(messages)
        stage.redis.hset(f"{stage.prefix}:job:{job_id}", mapping={"status": "canceled", "version": 7})
        assert heads([*messages]) == [("snapshot", "7"), ("end", "end")]


def test_the_end_is_never_missed_whenever_it_comes(stage: Stage) -> None:
    """Jobs that end about when their watchers come."""
    chance = random.Random(0)
    jobs = [stage.submit() for _ in range(60)]

    def end(job_id: str) -> None:
        time.sleep(chance.uniform(0, 0.05))
        stage.repository.cancel(job_id)

    def watch(job_id: str) -> str:
        with stage.watching(job_id) as messages:
            return [message.data["status"] for message in messages if message.event == "end"].pop()

    with ThreadPoolExecutor(24) as pool:
        endings = [pool.submit(call, job_id) for job_id in jobs for call in (end, watch)]
        assert [ending.result() for ending in endings[1::2]] == ["canceled"] * 60


def test_a_hundred_who_watch_see_the_same_through_one_reader(stage: Stage) -> None:
    job_id = stage.start()
    seen: list[Sequence[str | None]] = []
    ready = threading.Semaphore(0)

    def watch() -> None:
        with (
            httpx.Client(base_url=stage.server.client.base_url, timeout=20) as client,
            client.stream("GET", f"/v1/jobs/{job_id}/events") as response,
        ):
            messages = messages_of(response)
            ids = [next(messages).id]
            ready.release()
            seen.append(ids + [message.id for message in messages])

    threads = [threading.Thread(target=watch) for _ in range(100)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert ready.acquire(timeout=20)
    assert eventually(lambda: stage.readers() == 1)
    stage.advance(job_id, *(step / 10 for step in range(10)))
    assert stage.readers() <= 1
    stage.repository.cancel(job_id)
    for thread in threads:
        thread.join(20)
    assert seen == [["2", *(str(version) for version in range(3, 14)), "end"]] * 100


def test_who_leaves_frees_what_was_held(stage: Stage) -> None:
    assert eventually(lambda: stage.readers() == 0)
    with stage.watching(stage.submit()) as messages:
        next(messages)
        assert eventually(lambda: stage.readers() == 1)
    assert eventually(lambda: stage.readers() == 0)


def test_who_takes_nothing_and_leaves_frees_what_was_held(stage: Stage) -> None:
    job_id = stage.start()
    large = [SHOT.model_copy(update={"reference": "x" * 1_000_000})]
    with stage.watching(job_id) as messages:
        next(messages)
        for _ in range(20):
            assert stage.repository.update(job_id, "e", shots=large)
    assert eventually(lambda: stage.readers() == 0)


def test_a_redis_that_goes_and_comes_back_loses_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("away")
    with ExitStack() as stack:
        first_life = stack.enter_context(ExitStack())
        url = first_life.enter_context(embedded_redis(folder))
        stage = Stage(stack.enter_context(running(url, folder)), stack.enter_context(Redis.from_url(url)), folder)
        job_id = stage.start()
        messages = stack.enter_context(stage.watching(job_id))
        assert next(messages).id == "2"
        stage.advance(job_id, 0.5)
        assert next(messages).id == "3"
        first_life.close()
        assert stack.enter_context(embedded_redis(folder)) == url
        stage.advance(job_id, 0.6, 0.7)
        stage.repository.cancel(job_id)
        assert heads([*messages]) == [("change", "4"), ("change", "5"), ("change", "6"), ("end", "end")]


def test_the_job_of_another_key_is_not_there(redis_url: str, redis: Redis, tmp_path: Path) -> None:
    keys = KeyRing(redis, f"live-{tmp_path.name}")
    (ann, token), (bob, _) = keys.create("ann"), keys.create("bob")
    with running(redis_url, tmp_path, auth="on") as server:
        stage = Stage(server, redis, tmp_path)
        assert_problem(server.client.get(f"/v1/jobs/{stage.submit(ann.id)}/events"), 401, "unauthorized")
        server.client.headers["Authorization"] = f"Bearer {token}"
        assert_problem(server.client.get(f"/v1/jobs/{stage.submit(bob.id)}/events"), 404, "job_not_found")
        with stage.watching(stage.submit(ann.id)) as messages:
            assert next(messages).event == "snapshot"


def test_a_stream_ends_soon_after_its_key_is_revoked(redis_url: str, redis: Redis, tmp_path: Path) -> None:
    keys = KeyRing(redis, f"live-{tmp_path.name}")
    ann, token = keys.create("ann")
    with running(redis_url, tmp_path, auth="on") as server:
        stage = Stage(server, redis, tmp_path)
        server.client.headers["Authorization"] = f"Bearer {token}"
        job_id = stage.submit(ann.id)
        with stage.watching(job_id) as messages:
            assert next(messages).event == "snapshot"
            keys.revoke("ann")
            revoked = time.monotonic()
            assert list(messages) == []
            assert time.monotonic() - revoked < 10
        assert_problem(server.client.get(f"/v1/jobs/{job_id}/events"), 401, "unauthorized")


def test_a_server_that_stops_ends_its_streams_at_once(redis_url: str, redis: Redis, tmp_path: Path) -> None:
    with running(redis_url, tmp_path) as server:
        stage = Stage(server, redis, tmp_path)
        with stage.watching(stage.submit()) as messages:
            assert next(messages).event == "snapshot"
            server.stop()
            # A stream that is cut, not ended, raises.
            assert list(messages) == []
