"""Events on their way, in a real Redis."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis
from webhook_jobs import make_job, succeed

from jobs.record import Delivery
from jobs.record_keys import RecordKeys
from jobs.repository import JobRepository
from jobs.settings import Settings
from jobs.webhook_queue import DueEvent, WebhookQueue

URL = "https://hooks.example/"


@pytest.fixture
def keys(settings: Settings) -> RecordKeys:
    return RecordKeys(settings.queue_name)


@pytest.fixture
def webhooks(redis: Redis, settings: Settings) -> WebhookQueue:
    return WebhookQueue(redis, settings.queue_name)


def attempt(event: DueEvent, **known: object) -> Delivery:
    first = {"id": event.id, "event": event.type, "occurred_at": event.due_at, "status": "pending", "attempts": 1}
    return Delivery.model_validate(first | known)


def test_an_event_is_there_when_it_has_happened(repository: JobRepository, webhooks: WebhookQueue) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    job_id = succeed(repository, make_job(repository, URL))
    [event] = webhooks.take(10)
    assert (event.job_id, event.type) == (job_id, "job.succeeded")
    assert before <= event.due_at <= datetime.now(UTC)
    assert event.id.startswith("msg_")
    assert "." not in event.id


def test_what_is_taken_is_nobody_elses_until_its_lease_is_over(
    repository: JobRepository, redis: Redis, settings: Settings
) -> None:
    succeed(repository, make_job(repository, URL))
    assert len(WebhookQueue(redis, settings.queue_name).take(10)) == 1
    assert WebhookQueue(redis, settings.queue_name).take(10) == []
    succeed(repository, make_job(repository, URL))
    hasty = WebhookQueue(redis, settings.queue_name, lease_seconds=0)
    [first], [again] = hasty.take(10), hasty.take(10)
    assert first.id == again.id


def test_no_more_is_taken_than_asked_for_and_the_longest_due_first(
    repository: JobRepository, webhooks: WebhookQueue, redis: Redis, keys: RecordKeys
) -> None:
    first, second, third = (succeed(repository, make_job(repository, URL)) for _ in range(3))
    for due, job_id in enumerate((second, third, first)):
        redis.zadd(keys.webhooks, {f"{job_id}:succeeded:3": due})
    assert [event.job_id for event in webhooks.take(2)] == [second, third]
    assert [event.job_id for event in webhooks.take(2)] == [first]
    assert webhooks.take(0) == []


def test_an_attempt_is_logged_with_the_job_and_due_again_later(
    repository: JobRepository, webhooks: WebhookQueue, redis: Redis, keys: RecordKeys
) -> None:
    job_id = succeed(repository, make_job(repository, URL))
    [event] = webhooks.take(1)
    assert webhooks.begin(event, attempt(event))
    failed = attempt(event, last_status=500, last_error="The receiver answered 500.", last_attempt_at=datetime.now(UTC))
    assert webhooks.settle(event, failed, due_in=300)
    assert repository.get(job_id).deliveries == [failed]
    due = redis.zscore(keys.webhooks, event.member)
    assert due is not None
    assert due / 1000 == pytest.approx(datetime.now(UTC).timestamp() + 300, abs=30)


def test_what_is_delivered_leaves_the_queue_and_stays_delivered(
    repository: JobRepository, webhooks: WebhookQueue, redis: Redis, keys: RecordKeys
) -> None:
    """A courier that was held up longer than its lease must not have the event sent again."""
    job_id = succeed(repository, make_job(repository, URL))
    [event] = webhooks.take(1)
    assert webhooks.settle(event, attempt(event, status="delivered"), due_in=None)
    assert redis.zcard(keys.webhooks) == 0
    assert not webhooks.settle(event, attempt(event, last_error="Too late."), due_in=5)
    assert redis.zcard(keys.webhooks) == 0
    assert [delivery.status for delivery in repository.get(job_id).deliveries] == ["delivered"]


def test_every_event_has_its_own_entry(repository: JobRepository, webhooks: WebhookQueue) -> None:
    job_id = succeed(repository, make_job(repository, URL, events=["job.processing", "job.succeeded"]))
    events = webhooks.take(10)
    for event in events:
        assert webhooks.begin(event, attempt(event))
    for event in events:
        assert webhooks.settle(event, attempt(event, status="delivered", attempts=2), due_in=None)
    logged = repository.get(job_id).deliveries
    assert [(entry.event, entry.status, entry.attempts) for entry in logged] == [
        ("job.processing", "delivered", 2),
        ("job.succeeded", "delivered", 2),
    ]


def test_of_a_deleted_job_nothing_is_written_and_nothing_is_due(
    repository: JobRepository, webhooks: WebhookQueue, redis: Redis, keys: RecordKeys
) -> None:
    job_id = succeed(repository, make_job(repository, URL))
    [event] = webhooks.take(1)
    repository.delete(job_id)
    assert not webhooks.begin(event, attempt(event))
    assert not repository.exists(job_id)
    assert redis.zcard(keys.webhooks) == 0


def test_those_who_watch_see_the_log_and_the_state_of_the_job(
    repository: JobRepository, webhooks: WebhookQueue, redis: Redis, keys: RecordKeys
) -> None:
    job_id = succeed(repository, make_job(repository, URL, events=["job.succeeded"]))
    [event] = webhooks.take(1)
    redis.delete(keys.events(job_id))  # it has run out
    assert webhooks.begin(event, attempt(event))
    [(number, entry)] = redis.xrange(keys.events(job_id))
    version = redis.hget(keys.record(job_id), "version")
    assert version is not None
    assert number == version + b"-0"
    assert (json.loads(entry[b"changes"]), entry[b"heavy"]) == ({"status": "succeeded"}, b"deliveries")
    assert 0 < redis.ttl(keys.events(job_id)) <= 3600


def test_what_waits_for_its_turn_is_due_a_little_later_and_not_logged(
    repository: JobRepository, webhooks: WebhookQueue, redis: Redis, keys: RecordKeys
) -> None:
    job_id = succeed(repository, make_job(repository, URL))
    [event] = webhooks.take(1)
    webhooks.postpone(event, seconds=5)
    due = redis.zscore(keys.webhooks, event.member)
    assert due is not None
    assert due / 1000 == pytest.approx(datetime.now(UTC).timestamp() + 5, abs=4)
    assert repository.get(job_id).deliveries == []
    webhooks.drop(event)
    webhooks.postpone(event, seconds=5)
    assert redis.zcard(keys.webhooks) == 0
