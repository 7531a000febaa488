"""Records are shown without being read; what is shown must be what reading them gives."""

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from redis import Redis

from jobs.errors import JobNotFound, VideoUndecodable
from jobs.identifiers import new_job_id, new_keyframes_id
from jobs.options import JobOptions, KeyframeOptions, WebhookOptions
from jobs.record import Job, Keyframes, Progress, Shot, Variant
from jobs.record_keys import RecordKeys
from jobs.repository import JobRepository
from jobs.settings import Settings

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SHOT = Shot(index=0, first_frame=0, last_frame=9, reference='"ünïcode".png', confidence=0.1 + 0.2)
VIDEO = Variant(name="video", media_type="video/mp4", bytes=2**40, sha256="0" * 64, href="/v1/x")


def leave(repository: JobRepository, job_id: str) -> None:
    """It stays queued."""


def run(repository: JobRepository, job_id: str) -> None:
    repository.claim(job_id, "e")
    repository.update(job_id, "e", phase="tuning", progress=Progress(fraction=1 / 3), shots=[SHOT], warnings=["a\nb"])


def fail(repository: JobRepository, job_id: str) -> None:
    run(repository, job_id)
    repository.fail(job_id, "e", VideoUndecodable("It is no video."))


def succeed(repository: JobRepository, job_id: str) -> None:
    run(repository, job_id)
    repository.finish(job_id, "e", variants=[VIDEO], progress=Progress(fraction=1))


@pytest.mark.parametrize("happen", [leave, run, fail, succeed])
def test_a_job_is_shown_as_it_is_read(repository: JobRepository, happen: Callable[[JobRepository, str], None]) -> None:
    webhook = WebhookOptions(url="https://example.org/", secret=SECRET)  # type: ignore[arg-type]  # pydantic's to make
    job = Job(id=new_job_id(), status="queued", options=JobOptions(webhook=webhook), created_at=datetime.now(UTC))
    repository.create(job)
    happen(repository, job.id)
    look, read = repository.look(job.id), repository.get(job.id)
    assert json.loads(look.body) == read.model_dump(mode="json")
    assert (look.id, look.status, look.queue_position) == (read.id, read.status, read.queue_position)
    assert SECRET.encode() not in look.body


def test_keyframes_are_shown_as_they_are_read_and_are_no_job(repository: JobRepository) -> None:
    record = Keyframes(id=new_keyframes_id(), status="queued", options=KeyframeOptions(), created_at=datetime.now(UTC))
    repository.create(record)
    look = repository.look(record.id, kind="keyframes")
    assert json.loads(look.body) == repository.get_keyframes(record.id).model_dump(mode="json")
    with pytest.raises(JobNotFound):
        repository.look(record.id, kind="jobs")


def test_a_field_that_is_newer_than_the_record_is_shown_with_its_default(
    repository: JobRepository, redis: Redis, settings: Settings
) -> None:
    job = Job(id=new_job_id(), status="queued", options=JobOptions(), created_at=datetime.now(UTC))
    repository.create(job)
    redis.hdel(RecordKeys(settings.queue_name).record(job.id), "deliveries", "warnings")
    assert json.loads(repository.look(job.id).body) == repository.get(job.id).model_dump(mode="json")
