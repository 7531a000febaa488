"""Pieces of jobs that are forgotten, or another's, while a worker still has something to say of them."""

from redis import Redis

from jobs.errors import StorageFull
from jobs.metrics_store import MetricsStore
from jobs.pieces import PieceOwner, PlannedWork, StretchSum
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
