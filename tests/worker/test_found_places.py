"""What was found once is not looked for again, and stays what it was: found, and doubtful where it was so."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.worker.test_pipeline import Painter, Watcher, task_of
from worker.checkpoints import FolderCheckpoints
from worker.film_plan import FilmPlan
from worker.planning import plan_film
from worker.progress import Progress
from worker.reference_search import ReferenceSearch
from worker.taking_over import TakingOver

ALIKE = ((1, 20), (2, 20), (1, 20))
"""Scenes of a film whose last shot looks like its first."""


class Jobs:
    """Plans jobs, each with what the earlier one has kept."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch
        self._count = 0
        self.searches = 0

    def plan(self, film: Any, *pictures: Any, **options: Any) -> FilmPlan:
        """`searches` counts those for this job."""
        anywhere, self.searches = ReferenceSearch.anywhere, 0

        def counted(*arguments: Any, **named: Any) -> Any:
            self.searches += 1
            return anywhere(*arguments, **named)

        folder = self._folder / f"job-{self._count + 1}"
        kept = folder / "kept"
        kept.mkdir(parents=True)
        task = task_of(film, folder, *pictures, **options)
        if self._count:
            earlier = FolderCheckpoints(self._folder / f"job-{self._count}" / "kept")
            TakingOver(earlier, FolderCheckpoints(kept), scratch=task.folder).take_analyses()
        self._count += 1
        with self._monkeypatch.context() as patched:
            patched.setattr(ReferenceSearch, "anywhere", counted)
            return plan_film(
                task,
                model=Painter(),
                progress=Progress(Watcher()),
                checkpoints=FolderCheckpoints(kept),
                scratch=task.folder,
            )


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    return Jobs(tmp_path, monkeypatch)


def places(plan: FilmPlan) -> list[tuple[int | None, str]]:
    return [(reference.frame, reference.record.placed_by) for reference in plan.references]


def test_what_was_found_is_taken_over_as_found_with_its_doubts(make_film: Callable[..., Any], jobs: Jobs) -> None:
    film = make_film(scenes=ALIKE)
    first = jobs.plan(film, film.pictures[4], film.pictures[30])
    assert jobs.searches == 2
    assert places(first)[1] == (30, "matching")
    [doubt] = [warning for warning in first.warnings if "as well as frame" in warning]
    again = jobs.plan(film, film.pictures[4], film.pictures[30])
    assert jobs.searches == 0
    assert again.references == first.references
    assert doubt in again.warnings
    assert [piece.key for piece in again.pieces] == [piece.key for piece in first.pieces]
    # Also from a job that has itself taken it over, and beside what is new.
    more = jobs.plan(film, film.pictures[4], film.pictures[26])
    assert jobs.searches == 1
    assert places(more) == [places(first)[0], (26, "matching")]
    jobs.plan(film, film.pictures[26], film.pictures[30])
    assert jobs.searches == 0


def test_the_word_of_a_user_counts_before_what_was_found(make_film: Callable[..., Any], jobs: Jobs) -> None:
    film = make_film(scenes=ALIKE)
    [(found, _)] = places(jobs.plan(film, film.pictures[4]))
    other = 48 - (found or 0)
    said = jobs.plan(film, film.pictures[4], references=[{"name": "0.png", "frame": other}])
    assert places(said) == [(other, "user")]
    assert not any("as well as frame" in warning for warning in said.warnings)
    within = {"name": "0.png", "within": [20, 59] if found == 4 else [0, 39]}
    assert places(jobs.plan(film, film.pictures[4], references=[within])) == [(other, "matching")]
    assert places(jobs.plan(film, film.pictures[4], references=[{"name": "0.png"}])) == [(found, "matching")]
    assert jobs.searches == 0


def test_in_another_video_it_is_looked_for_anew(make_film: Callable[..., Any], jobs: Jobs) -> None:
    film = make_film(scenes=((1, 14), (2, 12)))
    trimmed = make_film("trimmed.mkv", scenes=((2, 12),))
    assert places(jobs.plan(film, film.pictures[20])) == [(20, "matching")]
    assert places(jobs.plan(trimmed, film.pictures[20])) == [(6, "matching")]
