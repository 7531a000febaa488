"""Pieces of jobs that are forgotten while a worker still has something to say of them."""

from jobs.pieces import PlannedWork, StretchSum
from jobs.repository import JobRepository
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
    assert pieces.add_confidence(job.id, 0, SUMS) == SUMS
    pieces.forget(job.id)
    assert pieces.add_confidence(job.id, 0, SUMS) == []
    assert pieces.look(job.id) is None
    assert pieces.run_of(job.id) == ""
