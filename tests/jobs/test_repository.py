from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import redis.exceptions

from jobs.catalog import CatalogModel
from jobs.connection import connect
from jobs.errors import JobExpired, JobNotFound, TimedOut, VideoUndecodable
from jobs.record import Job, Phase, Progress, Shot, Variant, VideoFacts
from jobs.repository import JobRepository

MakeJob = Callable[..., Job]
FACTS = VideoFacts(width=4, height=3, frames=2, duration_seconds=1.0, frame_rate=2.0, codec="h264", has_audio=True)
VARIANT = Variant(name="video", media_type="video/mp4", bytes=3, sha256="00", href="/v1/jobs/x/content?variant=video")


def ended(repository: JobRepository, job_id: str, how: str, *, phase: Phase | None = None) -> None:
    assert repository.claim(job_id, "a")
    assert repository.update(job_id, "a", phase=phase)
    if how == "succeeded":
        assert repository.finish(job_id, "a", variants=[VARIANT], progress=Progress(fraction=1))
    elif how == "failed":
        assert repository.fail(job_id, "a", VideoUndecodable("It is no video."))
    else:
        assert repository.cancel(job_id)
    assert repository.get(job_id).status == how


@pytest.mark.parametrize(("how", "phase"), [("succeeded", None), ("failed", "tuning"), ("canceled", None)])
def test_an_ended_job_has_no_phase_but_that_in_which_it_failed(
    repository: JobRepository, make_job: MakeJob, how: str, phase: str | None
) -> None:
    job = make_job()
    ended(repository, job.id, how, phase="tuning")
    assert repository.get(job.id).phase == phase


@pytest.mark.parametrize("how", ["failed", "canceled"])
def test_of_a_job_that_ended_early_nothing_is_left_to_wait_for(
    repository: JobRepository, make_job: MakeJob, how: str
) -> None:
    job = make_job()
    assert repository.claim(job.id, "a")
    assert repository.update(job.id, "a", progress=Progress(fraction=0.5, frames_done=7, fps=2.0, eta_seconds=12.5))
    assert repository.cancel(job.id) if how == "canceled" else repository.fail(job.id, "a", TimedOut("Too long."))
    assert repository.get(job.id).progress == Progress(fraction=0.5, frames_done=7, fps=2.0)


def test_a_job_comes_back_as_it_was_made(repository: JobRepository, make_job: MakeJob) -> None:
    job = make_job()
    assert repository.get(job.id) == job.model_copy(update={"queue_position": 0})
    assert repository.submission(job.id).reference_names == ("first.png", "second.png")


def test_an_execution_claims_updates_and_finishes(repository: JobRepository, make_job: MakeJob) -> None:
    job = make_job()
    assert repository.claim(job.id, "a")
    shot = Shot(index=0, first_frame=0, last_frame=1, reference="first.png", confidence=0.5)
    assert repository.update(
        job.id, "a", phase="colorizing", progress=Progress(fraction=0.5), video=FACTS, shots=[shot], warnings=["w"]
    )
    seen = repository.get(job.id)
    assert (seen.status, seen.phase, seen.progress.fraction) == ("processing", "colorizing", 0.5)
    assert (seen.video, seen.shots, seen.warnings) == (FACTS, [shot], ["w"])
    assert repository.finish(job.id, "a", variants=[VARIANT], progress=Progress(fraction=1))
    seen = repository.get(job.id)
    assert (seen.status, seen.phase, seen.variants) == ("succeeded", None, [VARIANT])
    assert seen.finished_at is not None
    assert seen.expires_at == seen.finished_at + timedelta(hours=1)


def test_every_change_changes_the_version(repository: JobRepository, make_job: MakeJob) -> None:
    job = make_job()
    versions = [repository.look(job.id).version]
    repository.claim(job.id, "a")
    versions.append(repository.look(job.id).version)
    repository.update(job.id, "a", phase="tuning")
    versions.append(repository.look(job.id).version)
    repository.update(job.id, "stale", phase="probing")
    assert versions == sorted(set(versions))
    assert repository.look(job.id).version == versions[-1]


@pytest.mark.parametrize("how", ["succeeded", "failed", "canceled"])
def test_an_ended_job_stays_as_it_is(repository: JobRepository, make_job: MakeJob, how: str) -> None:
    job = make_job()
    ended(repository, job.id, how)
    before = repository.get(job.id)
    assert not repository.claim(job.id, "b")
    assert not repository.update(job.id, "a", phase="tuning")
    # True still of the execution that said so first, as it may not have heard the answer.
    assert repository.finish(job.id, "a", variants=[], progress=Progress()) == (how == "succeeded")
    assert not repository.finish(job.id, "b", variants=[], progress=Progress())
    assert not repository.fail(job.id, "a", TimedOut("Too late."))
    assert not repository.fail(job.id, None, TimedOut("Too late."))
    assert not repository.cancel(job.id)
    assert not repository.release(job.id, "a")
    assert repository.get(job.id) == before


def test_a_stale_execution_can_change_nothing(repository: JobRepository, make_job: MakeJob) -> None:
    job = make_job()
    assert repository.claim(job.id, "old")
    assert repository.claim(job.id, "new")
    before = repository.get(job.id)
    assert not repository.update(job.id, "old", phase="encoding")
    assert not repository.finish(job.id, "old", variants=[VARIANT], progress=Progress(fraction=1))
    assert not repository.fail(job.id, "old", TimedOut("Too late."))
    assert not repository.release(job.id, "old")
    assert repository.get(job.id) == before
    assert repository.finish(job.id, "new", variants=[VARIANT], progress=Progress(fraction=1))


def test_a_released_job_waits_again(repository: JobRepository, make_job: MakeJob) -> None:
    job = make_job()
    repository.claim(job.id, "a")
    repository.update(job.id, "a", phase="tuning", progress=Progress(fraction=0.5))
    assert repository.release(job.id, "a")
    seen = repository.get(job.id)
    assert (seen.status, seen.phase, seen.progress.fraction) == ("queued", None, 0.0)
    assert seen.started_at is None


def test_a_deleted_job_is_gone_and_an_expired_one_is_remembered(repository: JobRepository, make_job: MakeJob) -> None:
    deleted, expired = make_job(), make_job()
    ended(repository, expired.id, "succeeded")
    assert repository.expired_ids(now=datetime.now(UTC)) == []
    assert repository.expired_ids(now=datetime.now(UTC) + timedelta(hours=2)) == [expired.id]
    repository.delete(deleted.id)
    repository.delete(deleted.id)
    repository.delete(expired.id, expired=True)
    with pytest.raises(JobNotFound):
        repository.get(deleted.id)
    with pytest.raises(JobExpired):
        repository.get(expired.id)
    assert repository.list().data == []
    assert repository.open_ids() == set()


def test_the_catalog_is_what_a_worker_published(repository: JobRepository) -> None:
    assert repository.read_catalog() == []
    model = CatalogModel(
        name="retint",
        title="Flow",
        license="Apache-2.0",
        source="here",
        weights_present=True,
        restores=False,
        working_size=480,
    )
    repository.publish_catalog([model])
    assert repository.read_catalog() == [model]


def test_an_absent_redis_is_a_connection_error_and_soon() -> None:
    repository = JobRepository(connect("unix:///nonexistent/redis.sock"), "retint")
    with pytest.raises(redis.exceptions.ConnectionError):
        repository.get("job_1")
