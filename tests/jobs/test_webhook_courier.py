"""The courier with a real Redis and real receivers."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from ipaddress import ip_network

import pytest
from fake_server import Answer as Reply
from fake_server import FakeServer
from redis import Redis
from webhook_jobs import SECRET, make_job, succeed, told_to

from jobs.record import Delivery
from jobs.record_keys import RecordKeys
from jobs.repository import JobRepository
from jobs.safe_network import SystemResolver
from jobs.settings import Settings
from jobs.webhook_courier import MOST_IN_FLIGHT, MOST_PER_HOST, PAUSES, Courier
from jobs.webhook_message import WebhookMessage
from jobs.webhook_queue import DueEvent, WebhookQueue
from jobs.webhook_sender import Answer, WebhookSender

StartCourier = Callable[..., None]
LOOPBACK = (ip_network("127.0.0.0/8"),)


@contextmanager
def at_work(courier: Courier) -> Iterator[None]:
    """Run it in a thread until the end of the block."""
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(courier.run(stop),))
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def eventually(happened: Callable[[], bool], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def receiver() -> Iterator[FakeServer]:
    server = FakeServer()
    server.answers = [Reply(204)]
    yield server
    server.close()


@pytest.fixture
def make_courier(redis: Redis, settings: Settings, repository: JobRepository) -> Callable[..., Courier]:
    def make(*, pauses: Sequence[float] = (0.0, 0.0), allowed: bool = True, send: object = None) -> Courier:
        sender = WebhookSender(SystemResolver(threads=4), allowed=LOOPBACK if allowed else ())
        queue = WebhookQueue(redis, settings.queue_name)
        return Courier(queue, repository, send or sender.send, pauses=pauses)  # type: ignore[arg-type]

    return make


def only_delivery(repository: JobRepository, job_id: str) -> Delivery:
    [delivery] = repository.get(job_id).deliveries
    return delivery


def has_ended(repository: JobRepository, job_id: str) -> Callable[[], bool]:
    return lambda: [delivery.status for delivery in repository.get(job_id).deliveries] in (["delivered"], ["failed"])


def waiting(redis: Redis, settings: Settings) -> int:
    count: int = redis.zcard(RecordKeys(settings.queue_name).webhooks)
    return count


def test_the_receiver_gets_the_job_as_everybody_sees_it(
    repository: JobRepository,
    receiver: FakeServer,
    make_courier: Callable[..., Courier],
    redis: Redis,
    settings: Settings,
) -> None:
    job_id = succeed(repository, make_job(repository, receiver.url))
    [(_, happened)] = redis.zrange(RecordKeys(settings.queue_name).webhooks, 0, -1, withscores=True)
    with at_work(make_courier()):
        eventually(has_ended(repository, job_id))
    [(identity, kind, told_of)] = told_to(receiver)
    assert (kind, told_of) == ("job.succeeded", job_id)
    message = json.loads(receiver.received[0].body)
    job = repository.get(job_id)
    # When the job ended, and not when this was sent.
    assert datetime.fromisoformat(message["timestamp"]) == datetime.fromtimestamp(happened / 1000, UTC)
    shown = json.loads(job.model_dump_json())
    [delivery] = shown.pop("deliveries")
    assert [entry["id"] for entry in message["data"].pop("deliveries")] == [identity]
    assert message["data"] == shown
    assert (delivery["id"], delivery["status"], delivery["attempts"]) == (identity, "delivered", 1)
    assert (delivery["last_status"], delivery["last_error"], delivery["next_attempt_at"]) == (204, None, None)
    assert delivery["occurred_at"] == message["timestamp"]


@pytest.mark.parametrize(
    ("events", "told"),
    [
        (["job.processing"], ["job.processing"]),
        (["job.failed"], []),
        (["job.succeeded", "job.processing"], ["job.processing", "job.succeeded"]),
        (None, ["job.succeeded"]),
    ],
)
def test_only_what_was_asked_for_is_sent(
    repository: JobRepository,
    receiver: FakeServer,
    make_courier: Callable[..., Courier],
    redis: Redis,
    settings: Settings,
    events: list[str] | None,
    told: list[str],
) -> None:
    succeed(repository, make_job(repository, receiver.url, events=events))
    with at_work(make_courier()):
        eventually(lambda: waiting(redis, settings) == 0)
    assert sorted(kind for _, kind, _ in told_to(receiver)) == told


def test_it_is_sent_again_with_the_same_id_until_it_is_taken(
    repository: JobRepository, receiver: FakeServer, make_courier: Callable[..., Courier]
) -> None:
    receiver.answers = [Reply(500, b"our inner life"), Reply(503), Reply(200)]
    job_id = succeed(repository, make_job(repository, receiver.url))
    with at_work(make_courier()):
        eventually(has_ended(repository, job_id))
    told = told_to(receiver)
    assert len(told) == 3
    assert len(set(told)) == 1
    delivery = only_delivery(repository, job_id)
    assert (delivery.status, delivery.attempts, delivery.last_status) == ("delivered", 3, 200)
    assert "inner life" not in repository.get(job_id).model_dump_json()


def test_it_is_given_up_after_the_last_attempt(
    repository: JobRepository,
    receiver: FakeServer,
    make_courier: Callable[..., Courier],
    redis: Redis,
    settings: Settings,
) -> None:
    receiver.answers = [Reply(500)]
    job_id = succeed(repository, make_job(repository, receiver.url))
    with at_work(make_courier()):
        eventually(has_ended(repository, job_id))
    delivery = only_delivery(repository, job_id)
    assert (delivery.status, delivery.attempts, delivery.next_attempt_at) == ("failed", 3, None)
    assert delivery.last_error == "The receiver answered 500 Internal Server Error."
    assert len(receiver.received) == 3
    assert waiting(redis, settings) == 0


def test_pauses_grow_as_the_specification_recommends() -> None:
    assert list(PAUSES) == sorted(PAUSES)
    assert len(PAUSES) == 9
    assert 75 * 3600 < sum(PAUSES) < 76 * 3600


@pytest.mark.parametrize(
    ("reply", "least", "most"),
    [
        (Reply(500), 100, 111),
        (Reply(429, headers={"Retry-After": "500"}), 499, 501),
        (Reply(503, headers={"Retry-After": "5"}), 100, 111),
        (Reply(503, headers={"Retry-After": "99999999999"}), 86_399, 86_401),
    ],
)
def test_the_next_attempt_is_after_the_pause_or_when_the_receiver_says(
    repository: JobRepository,
    receiver: FakeServer,
    make_courier: Callable[..., Courier],
    redis: Redis,
    settings: Settings,
    reply: Reply,
    least: float,
    most: float,
) -> None:
    receiver.answers = [reply]
    job_id = succeed(repository, make_job(repository, receiver.url))
    with at_work(make_courier(pauses=(100.0,))):
        eventually(lambda: any(entry.last_status for entry in repository.get(job_id).deliveries))
    delivery = only_delivery(repository, job_id)
    assert delivery.status == "pending"
    assert delivery.last_attempt_at is not None
    assert delivery.next_attempt_at is not None
    assert least <= (delivery.next_attempt_at - delivery.last_attempt_at).total_seconds() < most + 5
    [(_, due)] = redis.zrange(RecordKeys(settings.queue_name).webhooks, 0, -1, withscores=True)
    assert due / 1000 == pytest.approx(delivery.next_attempt_at.timestamp(), abs=5)


def test_a_receiver_that_is_gone_hears_no_more_of_the_job(
    repository: JobRepository, receiver: FakeServer, make_courier: Callable[..., Courier]
) -> None:
    receiver.answers = [Reply(410)]
    job_id = make_job(repository, receiver.url, events=["job.processing", "job.succeeded"])
    assert repository.claim(job_id, "e1")
    with at_work(make_courier()):
        eventually(has_ended(repository, job_id))
        repository.finish(job_id, "e1", variants=[], progress=repository.get(job_id).progress)
        eventually(lambda: len(repository.get(job_id).deliveries) == 2)
    first, second = repository.get(job_id).deliveries
    assert (first.status, first.attempts, first.last_status) == ("failed", 1, 410)
    assert (second.status, second.attempts) == ("failed", 0)
    assert "410" in (second.last_error or "")
    assert len(receiver.received) == 1


def test_events_of_a_job_that_is_gone_are_dropped(
    repository: JobRepository,
    receiver: FakeServer,
    make_courier: Callable[..., Courier],
    redis: Redis,
    settings: Settings,
) -> None:
    deleted = succeed(repository, make_job(repository, receiver.url))
    repository.delete(deleted)
    expired = succeed(repository, make_job(repository, receiver.url))
    repository.delete(expired, expired=True)
    assert waiting(redis, settings) == 2
    with at_work(make_courier()):
        eventually(lambda: waiting(redis, settings) == 0)
    assert receiver.received == []


def test_an_address_inside_is_not_called_and_the_owner_reads_why(
    repository: JobRepository, receiver: FakeServer, make_courier: Callable[..., Courier]
) -> None:
    job_id = succeed(repository, make_job(repository, receiver.url.replace("127.0.0.1", "localhost")))
    with at_work(make_courier(allowed=False)):
        eventually(has_ended(repository, job_id))
    delivery = only_delivery(repository, job_id)
    assert delivery.last_status is None
    assert "RETINT_WEBHOOK_ALLOWED_NETWORKS" in (delivery.last_error or "")
    assert receiver.received == []


def test_a_slow_receiver_holds_up_no_other(
    repository: JobRepository, receiver: FakeServer, make_courier: Callable[..., Courier]
) -> None:
    slow, release = FakeServer(), threading.Event()
    slow.respond = lambda _: Reply(200) if release.wait(15) else Reply(500)
    try:
        for _ in range(MOST_IN_FLIGHT + 10):
            succeed(repository, make_job(repository, slow.url.replace("127.0.0.1", "localhost")))
        job_id = succeed(repository, make_job(repository, receiver.url))
        with at_work(make_courier()):
            eventually(has_ended(repository, job_id), seconds=10)
            assert len(slow.received) == MOST_PER_HOST
            release.set()
    finally:
        release.set()
        slow.close()


def test_no_more_is_in_flight_than_the_limit(
    repository: JobRepository,
    make_courier: Callable[..., Courier],
    redis: Redis,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_flight, most, looks = 0, 0, 0
    release = asyncio.Event()

    async def hold(url: str, message: WebhookMessage) -> Answer:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        await release.wait()
        return Answer(200, None)

    courier = make_courier(send=hold)
    take = courier._queue.take

    def look(count: int) -> Sequence[DueEvent]:
        nonlocal looks
        found = take(count)
        looks += 1
        return found

    monkeypatch.setattr(courier._queue, "take", look)

    for number in range(MOST_IN_FLIGHT + 20):
        succeed(repository, make_job(repository, f"http://host{number}.example/"))
    with at_work(courier):
        eventually(lambda: most >= MOST_IN_FLIGHT)
        seen = looks
        eventually(lambda: looks >= seen + 2)  # the second began after the limit was reached
        # What is taken is not due before its lease is over: so none was taken beyond the limit, sent or not yet.
        due = redis.zcount(RecordKeys(settings.queue_name).webhooks, "-inf", time.time() * 1000)
        assert (due, most) == (20, MOST_IN_FLIGHT)


def test_an_attempt_that_breaks_ends_no_other_and_comes_again(
    repository: JobRepository, receiver: FakeServer, redis: Redis, settings: Settings
) -> None:
    """A fault of this program, or a courier that was killed each time: it ends, too."""

    async def broken(url: str, message: WebhookMessage) -> Answer:
        raise RuntimeError("a fault")

    job_id = succeed(repository, make_job(repository, receiver.url))
    queue = WebhookQueue(redis, settings.queue_name, lease_seconds=0.1)
    with at_work(Courier(queue, repository, broken, pauses=(0.0,))):
        eventually(has_ended(repository, job_id))
    delivery = only_delivery(repository, job_id)
    assert (delivery.status, delivery.attempts) == ("failed", 2)
    assert "on this server's side" in (delivery.last_error or "")


def test_two_couriers_deliver_once(
    repository: JobRepository,
    receiver: FakeServer,
    make_courier: Callable[..., Courier],
    redis: Redis,
    settings: Settings,
) -> None:
    ids = sorted(succeed(repository, make_job(repository, receiver.url)) for _ in range(12))
    with at_work(make_courier()), at_work(make_courier()):
        eventually(lambda: waiting(redis, settings) == 0, seconds=60)
    assert sorted(job_id for _, _, job_id in told_to(receiver)) == ids


def test_the_secret_is_told_to_nobody(
    repository: JobRepository,
    receiver: FakeServer,
    make_courier: Callable[..., Courier],
) -> None:
    receiver.answers = [Reply(500), Reply(200)]
    job_id = succeed(repository, make_job(repository, receiver.url))
    with at_work(make_courier()):
        eventually(has_ended(repository, job_id))
    key = SECRET.removeprefix("whsec_")
    assert key not in repository.get(job_id).model_dump_json()
    assert all(key.encode() not in call.body and key not in str(call.headers) for call in receiver.received)
