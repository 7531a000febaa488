"""Whose a record is, of which kind, and what is left of it for those who watch."""

import json
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError
from redis import Redis

from jobs.errors import JobExpired, JobNotFound, VideoUndecodable
from jobs.identifiers import new_job_id, new_keyframes_id
from jobs.options import JobOptions, KeyframeOptions, WebhookOptions
from jobs.record import Job, Keyframe, Keyframes, Progress, Shot
from jobs.record_keys import RecordKeys
from jobs.repository import JobRepository
from jobs.settings import Settings
from jobs.submission import Submission

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def keys(settings: Settings) -> RecordKeys:
    return RecordKeys(settings.queue_name)


def make(repository: JobRepository, *, owner: str = "", options: JobOptions | None = None) -> str:
    job = Job(id=new_job_id(), status="queued", options=options or JobOptions(), created_at=datetime.now(UTC))
    repository.create(job, Submission(owner=owner, request_id="r1", trace_context="00-1"))
    return job.id


def test_a_job_is_there_for_its_owner_and_for_nobody_else(repository: JobRepository) -> None:
    job_id = make(repository, owner="ann")
    assert repository.get(job_id, viewer="ann").id == job_id
    assert repository.get(job_id).id == job_id
    with pytest.raises(JobNotFound):
        repository.get(job_id, viewer="bob")


def test_an_expired_job_is_told_to_its_owner_alone(repository: JobRepository) -> None:
    job_id = make(repository, owner="ann")
    repository.delete(job_id, expired=True)
    with pytest.raises(JobExpired):
        repository.get(job_id, viewer="ann")
    with pytest.raises(JobNotFound):
        repository.get(job_id, viewer="bob")


def test_everybody_lists_their_own(repository: JobRepository) -> None:
    first, _, third = make(repository, owner="ann"), make(repository, owner="bob"), make(repository, owner="ann")
    assert [job.id for job in repository.list(viewer="ann").data] == [third, first]
    assert len(repository.list().data) == 3
    repository.delete(first)
    assert [job.id for job in repository.list(viewer="ann").data] == [third]


def test_what_is_open_is_counted_by_owner_until_it_ends(
    repository: JobRepository, redis: Redis, keys: RecordKeys
) -> None:
    ended, deleted = make(repository, owner="ann"), make(repository, owner="ann")
    assert redis.scard(keys.open_of("ann")) == 2
    repository.cancel(ended)
    repository.delete(deleted)
    assert redis.scard(keys.open_of("ann")) == 0


def test_where_it_came_from_is_kept(repository: JobRepository) -> None:
    assert repository.submission(make(repository, owner="ann")) == Submission("ann", (), "r1", "00-1")


def test_keyframes_are_no_job(repository: JobRepository) -> None:
    record = Keyframes(id=new_keyframes_id(), status="queued", options=KeyframeOptions(), created_at=datetime.now(UTC))
    repository.create(record)
    keyframe = Keyframe(shot=0, first_frame=0, last_frame=9, frame=3, time_seconds=0.1, name="a.png", href="/a")
    assert repository.claim(record.id, "e")
    assert repository.update(record.id, "e", keyframes=[keyframe])
    assert repository.get_keyframes(record.id).keyframes == [keyframe]
    assert repository.list().data == []
    assert record.id in repository.all_ids()
    with pytest.raises(JobNotFound):
        repository.get(record.id)
    with pytest.raises(JobNotFound):
        repository.get_keyframes(make(repository))


def test_a_webhook_secret_is_kept_and_never_shown(repository: JobRepository) -> None:
    webhook = WebhookOptions.model_validate({"url": "https://example.org/hook", "secret": SECRET})
    job = repository.get(make(repository, options=JobOptions(webhook=webhook)))
    assert job.options.webhook is not None
    assert job.options.webhook.secret.get_secret_value() == SECRET
    assert SECRET not in job.model_dump_json()
    assert SECRET not in str(job.model_dump(mode="json"))


@pytest.mark.parametrize("secret", ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_!!!!"])
def test_a_webhook_needs_a_secret_that_signs(secret: str) -> None:
    with pytest.raises(ValidationError):
        WebhookOptions.model_validate({"url": "https://example.org/hook", "secret": secret})


def test_a_webhooks_address_stays_as_it_was_given(repository: JobRepository) -> None:
    url = "https://EXAMPLE.org?" + "%C3" * 600
    webhook = WebhookOptions.model_validate({"url": url, "secret": SECRET})
    job = repository.get(make(repository, options=JobOptions(webhook=webhook)))
    assert job.options.webhook is not None
    assert job.options.webhook.url == url


@pytest.mark.parametrize(
    "url", ["ftp://example.org", "example.org/hook", "https://", "https://exämple.org", "https://a b"]
)
def test_a_webhook_is_a_web_address(url: str) -> None:
    with pytest.raises(ValidationError):
        WebhookOptions.model_validate({"url": url, "secret": SECRET})


def test_every_change_is_in_the_stream_and_what_is_large_is_only_named(
    repository: JobRepository, redis: Redis, keys: RecordKeys
) -> None:
    job_id = make(repository)
    assert repository.claim(job_id, "e")
    shot = Shot(index=0, first_frame=0, last_frame=9, reference=None)
    assert repository.update(job_id, "e", progress=Progress(fraction=0.5), shots=[shot])
    assert repository.fail(job_id, "e", VideoUndecodable("It is no video."))
    assert not repository.update(job_id, "e", progress=Progress(fraction=0.6))
    found = redis.xrange(keys.events(job_id))
    entries = [entry for _, entry in found]
    claimed, updated, failed = (json.loads(entry[b"changes"]) for entry in entries)
    assert claimed["status"] == "processing"
    assert updated["progress"]["fraction"] == 0.5
    assert "shots" not in updated
    assert [entry[b"heavy"] for entry in entries] == [b"", b"shots", b""]
    assert (failed["status"], failed["error"]["code"]) == ("failed", "video_undecodable")
    assert [number for number, _ in found] == [b"2-0", b"3-0", b"4-0"]
    assert repository.look(job_id).version == 4
    assert 0 < redis.ttl(keys.events(job_id)) <= 3600


def test_those_who_watch_a_deleted_job_are_told(repository: JobRepository, redis: Redis, keys: RecordKeys) -> None:
    job_id = make(repository)
    repository.delete(job_id)
    [(_, entry)] = redis.xrange(keys.events(job_id))
    assert entry == {b"deleted": b"1"}
    assert 0 < redis.ttl(keys.events(job_id)) <= 60


def test_a_webhook_is_told_of_what_it_asks_for(repository: JobRepository, redis: Redis, keys: RecordKeys) -> None:
    webhook = WebhookOptions.model_validate(
        {"url": "https://example.org/hook", "secret": SECRET, "events": ["job.processing", "job.failed"]}
    )
    job_id = make(repository, options=JobOptions(webhook=webhook))
    unheard = make(repository)
    for told in (job_id, unheard):
        assert repository.claim(told, "e")
        assert repository.update(told, "e", progress=Progress(fraction=0.5))
        assert repository.release(told, "e")
        assert repository.cancel(told)
    assert redis.zrange(keys.webhooks, 0, -1) == [f"{job_id}:processing:2".encode()]
