"""What a worker tells of a film while it does a piece of it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.connection import connect
from jobs.embedded_redis import embedded_redis
from jobs.folder_store import FolderStore
from jobs.options import JobOptions
from jobs.pieces import PieceOwner, PlannedWork, StretchSum
from jobs.record import Job
from jobs.repository import JobRepository
from worker.piece_reporting import CURVE_SECONDS, PieceObserver, add_to_curve

FILM_FRAMES = 20
OTHERS = StretchSum(point=0, frames=1, total=0.25, lowest=0.25)
"""The first frame, which another piece has colored."""


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[JobRepository]:
    with embedded_redis(tmp_path / "redis") as url:
        yield JobRepository(connect(url), "test", retention_seconds=3600)


def test_the_curve_of_confidence_grows_while_a_piece_is_colored(repository: JobRepository, tmp_path: Path) -> None:
    job = Job(id="job_1", status="queued", options=JobOptions(), created_at=datetime.now(UTC))
    repository.create(job)
    assert repository.claim(job.id, "plan")
    work = PlannedWork(
        after=((), ()),
        through=(0,),
        work_total=2.0,
        work_done=1.0,
        frames_total=FILM_FRAMES,
        frames_done=1,
        shots=(),
        confidence={0: [OTHERS]},
    )
    assert repository.pieces.begin(job.id, "plan", work)
    assert repository.pieces.claim(job.id, 1, "a")
    now = 1000.0
    observer = PieceObserver(
        repository,
        job_id=job.id,
        number=1,
        execution_id="a",
        run="plan",
        cost=1.0,
        film_frames=FILM_FRAMES,
        seconds_allowed=3600,
        store=FolderStore(tmp_path / "store"),
        on_phase=lambda _: None,
        clock=lambda: now,
    )

    def curve() -> list[tuple[int, float]]:
        return [(point.frame, point.mean) for point in repository.get(job.id).confidence or ()]

    observer.colored(1, confidence=0.5)
    observer.tick()
    assert curve() == []  # not with every tick
    now += CURVE_SECONDS
    observer.tick()
    assert curve() == [(0, 0.25), (1, 0.5)]
    observer.colored(2, confidence=0.75)
    now += CURVE_SECONDS
    observer.tick()
    assert curve() == [(0, 0.25), (1, 0.5), (2, 0.75)]

    # Done again, at a smaller size: what the first try found is not counted beside it.
    observer.restart()
    observer.colored(1, confidence=1.0)
    now += CURVE_SECONDS
    observer.tick()
    assert curve() == [(0, 0.25), (1, 1.0)]

    # What comes too late, of an execution that has lost the piece, changes nothing.
    late = PieceOwner(1, "late")
    add_to_curve(repository, job.id, "plan", piece=late, confidences=[0.1], first=1, frames=FILM_FRAMES)
    assert curve() == [(0, 0.25), (1, 1.0)]
