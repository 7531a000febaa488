"""Pieces are decided by the plan alone, need only what is done before them, and shrink where memory is short."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from jobs.errors import OutOfMemory
from models import errors as model_errors
from models.base import Matrix, ModelDescription, Prediction, Reference
from tests.worker.test_pipeline import Painter, Watcher, chroma_of, lumas_of, mean_chroma, run, task_of
from worker.analysis import ShotRange
from worker.checkpoints import FolderCheckpoints
from worker.film_plan import FORMAT, FilmPlan
from worker.pieces import Piece, group, in_turn
from worker.planning import plan_film
from worker.progress import Progress
from worker.stretches import LONGEST_STRETCH, SHORTEST_STRETCH, longest_stretch, stretches_of


@given(st.integers(1, 3000), st.sets(st.integers(0, 2999), max_size=6), st.integers(40, 600), st.booleans())
def test_every_frame_of_a_shot_is_in_one_piece_and_all_can_be_done_in_some_order(
    frames: int, places: set[int], longest: int, propagates: bool
) -> None:
    anchors = sorted(place for place in places if place < frames)
    stretches = stretches_of(ShotRange(0, frames - 1), anchors, propagates=propagates, longest=longest)
    colorings = group(stretches, shot=0, longest=longest)
    assert [frame for one in colorings for frame in range(one.first, one.last + 1)] == [*range(frames)]
    assert all(one.feeds <= longest or len(one.stretches) == 1 for one in colorings)
    pieces = []
    for number, one in enumerate(colorings):
        after = (number - 1,) if one.stretches[0].forward == "before" else ()
        after += (number + 1,) if one.stretches[-1].backward == "behind" else ()
        pieces.append(Piece(number, one, after, key=str(number), cost=1.0))
        for needed in after:
            neighbor = colorings[needed]
            assert neighbor.keeps_last if needed < number else neighbor.keeps_first
    done: set[int] = set()
    for piece in in_turn(pieces):
        assert done.issuperset(piece.after)
        done.add(piece.number)
    assert done == {piece.number for piece in pieces}


def test_large_frames_and_slow_models_make_shorter_pieces() -> None:
    assert longest_stretch(640 * 360, model="retint") == LONGEST_STRETCH
    assert SHORTEST_STRETCH < longest_stretch(1920 * 1080, model="retint") < LONGEST_STRETCH
    assert longest_stretch(4096 * 2160, model="retint") == SHORTEST_STRETCH
    assert longest_stretch(854 * 480, model="deepremaster") < longest_stretch(854 * 480, model="retint")


class Revised(Painter):
    """A painter with the same weights and another revision of its algorithm."""

    @property
    def description(self) -> ModelDescription:
        return replace(super().description, revision=2)


def test_what_another_revision_of_a_model_or_of_the_pipeline_made_is_no_piece_of_the_film(
    make_film: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = make_film()
    folders = (tmp_path / f"plan-{number}" for number in range(4))

    def planned(model: Painter) -> FilmPlan:
        folder = next(folders)
        (folder / "kept").mkdir(parents=True)
        task = task_of(film, folder, film.pictures[0], tuning="fast")
        return plan_film(
            task,
            model=model,
            progress=Progress(Watcher()),
            checkpoints=FolderCheckpoints(folder / "kept"),
            scratch=task.folder,
        )

    def keys(plan: FilmPlan) -> set[str]:
        return {piece.key for piece in plan.pieces}

    plan, revised = planned(Painter()), planned(Revised())
    assert len(keys(plan)) == 2
    assert keys(planned(Painter())) == keys(plan)
    assert keys(revised).isdisjoint(keys(plan))
    # By this a worker that begins a piece, and one that tries a job again, tell whether the plan is its own.
    assert revised.weights != plan.weights
    monkeypatch.setattr("worker.planning.FORMAT", FORMAT + 1)
    assert keys(planned(Painter())).isdisjoint(keys(plan))


class Cramped(Painter):
    """A painter without memory for frames higher than `most`."""

    most = 72

    def colorize(
        self, lumas: Iterable[Tensor], references: Sequence[Reference], *, matrix: Matrix, restore: bool = False
    ) -> Iterator[Prediction]:
        for count, prediction in enumerate(super().colorize(lumas, references, matrix=matrix, restore=restore)):
            if references[0].luma.shape[0] > self.most and count == 3:
                raise model_errors.OutOfMemory("The device is full.")
            yield prediction


def test_what_memory_does_not_hold_is_done_smaller_and_said(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film, watcher = make_film(width=144, height=96), Watcher()
    task = task_of(film, tmp_path, film.pictures[0], working_size=96)
    files = run(task, model=Cramped(), watcher=watcher)
    report = json.loads(files["report_json"].path.read_text())
    [said] = [warning for warning in report["warnings"] if "Memory did not hold" in warning]
    assert "shot 1" in said
    assert "at 67" in said
    assert watcher.frames[-1] == len(film.lumas)
    assert watcher.fractions == sorted(watcher.fractions)


def test_what_no_size_can_hold_fails_as_such(make_film: Callable[..., Any], tmp_path: Path) -> None:
    class Full(Cramped):
        most = 0

    film = make_film(width=144, height=96)
    with pytest.raises(OutOfMemory):
        run(task_of(film, tmp_path, film.pictures[0], working_size=96), model=Full())
    assert np.any(film.lumas[0])


def test_a_long_shot_is_done_in_pieces_that_go_on_with_each_others_colors(
    make_film: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.planning.longest_stretch", lambda *_, **__: 16)
    film, model = make_film(scenes=((1, 90),)), Painter()
    files = run(task_of(film, tmp_path, film.pictures[40], shots="single"), model=model)
    # Backward to the start in three, forward to the end in four, each from a frame that is colored.
    assert sorted(model.fed) == [12, 13, 14, 14, 14, 14, 15]
    assert all((one == two).all() for one, two in zip(lumas_of(files["video"].path), film.lumas, strict=True))
    found = chroma_of(files["video"].path)
    assert len(found) == 90
    for frame in found:
        assert frame == pytest.approx(mean_chroma(film.pictures[40]), abs=1.5)
    curve = [point["mean"] for point in json.loads(files["report_json"].path.read_text())["confidence"]]
    # No surer than what it is colored from; a little of it is rounded where it waits on disk.
    assert (np.diff(curve[:41]) > -0.005).all()
    assert (np.diff(curve[40:]) < 0.005).all()
    assert max(curve[0], curve[-1]) < 0.8
