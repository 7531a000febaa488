"""Pieces of jobs that are forgotten, or another's, while a worker still has something to say of them."""

import time
from dataclasses import replace

import pytest
from redis import Redis

from jobs.errors import StorageFull
from jobs.metrics_store import MetricsStore
from jobs.pieces import PieceOwner, PlannedWork, StretchSum
from jobs.record import Phase, Progress
from jobs.record_keys import RecordKeys
from jobs.repository import JobRepository
from jobs.settings import Settings
from tests.jobs.conftest import MakeJob

WORK = PlannedWork(
    after=((),),
    through=(),
    work_total=1.0,
    work_done=0.0,
    frames_total=1,
    frames_done=0,
    shots=(),
    confidence={},
)
SUMS = [StretchSum(point=0, frames=1, total=0.5, lowest=0.5)]


def test_what_comes_too_late_brings_no_pieces_back(repository: JobRepository, make_job: MakeJob) -> None:
    job, pieces = make_job(), repository.pieces
    assert repository.claim(job.id, "a")
    assert pieces.begin(job.id, "a", WORK)
    assert pieces.claim(job.id, 0, "b")
    assert pieces.add_confidence(job.id, 0, "a", SUMS) == []
    assert pieces.add_confidence(job.id, 0, "b", SUMS) == SUMS
    pieces.forget(job.id)
    assert pieces.add_confidence(job.id, 0, "b", SUMS) == []
    assert pieces.look(job.id) is None
    assert pieces.run_of(job.id) == ""


def test_only_who_has_a_piece_ends_its_job_or_has_it_planned_again(
    repository: JobRepository, make_job: MakeJob
) -> None:
    job, pieces, full = make_job(), repository.pieces, StorageFull("The disk is full.")
    assert repository.claim(job.id, "a")
    assert pieces.begin(job.id, "a", WORK)
    assert pieces.claim(job.id, 0, "late")
    assert pieces.claim(job.id, 0, "b")
    assert not repository.fail(job.id, "a", full, piece=PieceOwner(0, "late"))
    assert not repository.release(job.id, "a", piece=PieceOwner(0, "late"))
    # Who finds the job without pieces does not know who owns it, and may end nothing.
    for nobody in ("", "another"):
        assert not repository.fail(job.id, nobody, full, piece=PieceOwner(0, "b"))
        assert not repository.fail(job.id, nobody, full)
        assert not repository.release(job.id, nobody)
    assert repository.status(job.id) == ("processing", "a")
    assert repository.fail(job.id, "a", full, piece=PieceOwner(0, "b"))


def test_a_piece_without_a_picture_shows_those_of_the_others(repository: JobRepository, make_job: MakeJob) -> None:
    job = make_job()
    assert repository.pieces.add_stills(job.id, []) == []
    assert repository.pieces.add_stills(job.id, [7, 3]) == [3, 7]
    assert repository.pieces.add_stills(job.id, []) == [3, 7]


def test_a_claim_repeated_for_want_of_an_answer_counts_no_lost_execution(
    repository: JobRepository, make_job: MakeJob, redis: Redis, settings: Settings
) -> None:
    job, pieces, metrics = make_job(), repository.pieces, MetricsStore(redis, settings)
    lost = "retint_executions_lost_total jobs"
    assert repository.claim(job.id, "a")
    assert repository.claim(job.id, "a")
    assert pieces.begin(job.id, "a", WORK)
    assert pieces.claim(job.id, 0, "b")
    assert pieces.claim(job.id, 0, "b")
    assert lost not in metrics.counts()
    assert pieces.claim(job.id, 0, "c")
    assert pieces.release(job.id, 0, "c")
    assert repository.claim(job.id, "d")
    assert metrics.counts()[lost] == 3


def test_pieces_that_are_begun_again_for_want_of_an_answer_stay_with_who_has_them(
    repository: JobRepository, make_job: MakeJob
) -> None:
    job, pieces = make_job(), repository.pieces
    assert repository.claim(job.id, "a")
    assert pieces.begin(job.id, "a", WORK)
    assert pieces.claim(job.id, 0, "b")
    assert pieces.begin(job.id, "a", WORK)
    assert pieces.tell(job.id, 0, "b", work=1.0, frames=1, through=True)
    # Planned anew, they are to be done anew.
    assert repository.claim(job.id, "c")
    assert pieces.begin(job.id, "c", WORK)
    state = pieces.look(job.id)
    assert state is not None
    assert (state.run, state.through) == ("c", frozenset())


def begin_one_piece(repository: JobRepository, job_id: str) -> None:
    assert repository.claim(job_id, "a")
    assert repository.pieces.begin(job_id, "a", replace(WORK, frames_total=100))
    assert repository.pieces.claim(job_id, 0, "b")


def test_the_share_that_is_done_does_not_go_back_when_the_plan_knows_of_more_work(
    repository: JobRepository, make_job: MakeJob
) -> None:
    job, pieces = make_job(), repository.pieces
    assert repository.claim(job.id, "a")
    assert repository.update(job.id, "a", progress=Progress(fraction=0.024, frames_total=100))
    assert pieces.begin(job.id, "a", replace(WORK, work_total=1000.0, work_done=5.0))
    assert pieces.claim(job.id, 0, "b")
    shown = []
    phases: list[Phase] = ["tuning", "colorizing", "tuning"]  # a new one is told at once
    for phase, work in zip(phases, (1.0, 10.0, 200.0), strict=True):
        assert pieces.tell(job.id, 0, "b", work=work, frames=0, phase=phase)
        shown.append(repository.get(job.id).progress.fraction)
    assert shown == [0.024, 0.024, 0.205]
    # Another try begins anew.
    assert repository.claim(job.id, "c")
    assert repository.get(job.id).progress.fraction == 0.0


def test_a_long_step_that_says_nothing_leaves_the_time_left_in_bounds(
    repository: JobRepository, make_job: MakeJob, redis: Redis, settings: Settings
) -> None:
    job, pieces = make_job(), repository.pieces
    marks = RecordKeys(settings.queue_name).piece_marks(job.id)
    begin_one_piece(repository, job.id)
    # Two fifths were done at an even pace until three minutes ago; sums of shares are not exact.
    stood_still = time.time() - 180
    for second in range(40):
        redis.rpush(marks, f"{stood_still - 39 + second:.6f} {second / 100:.9f} 0")
    phases: list[Phase] = ["tuning", "colorizing"]  # a new one is told at once
    for phase in phases:
        assert pieces.tell(job.id, 0, "b", work=0.39 + 1e-10, frames=0, phase=phase)
        left = repository.get(job.id).progress.eta_seconds
        assert left is not None
        assert 60 < left < 3_600
    assert redis.llen(marks) <= 40


def test_speed_and_time_left_are_of_all_pieces_and_anew_where_one_is_done_again(
    repository: JobRepository, make_job: MakeJob, redis: Redis, settings: Settings
) -> None:
    job, pieces = make_job(), repository.pieces
    marks = RecordKeys(settings.queue_name).piece_marks(job.id)
    begin_one_piece(repository, job.id)
    redis.rpush(marks, f"{time.time() - 10:.6f} 0.100000000 10")
    assert pieces.tell(job.id, 0, "b", work=0.6, frames=60, phase="tuning")
    told = repository.get(job.id).progress
    assert told.fps == pytest.approx(5.0, rel=0.1)
    assert told.eta_seconds == pytest.approx(8.0, rel=0.1)
    assert pieces.tell(job.id, 0, "b", work=0.6, frames=0, phase="colorizing")
    told = repository.get(job.id).progress
    assert (told.fps, told.eta_seconds) == (None, None)
