"""Every set of references is tuned once, from the pretrained weights, and remembered outside of memory."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from jobs.options import TuningOptions
from models.base import Example, Matrix, ModelDescription, Prediction, Reference
from worker.shot_tuning import ShotTuner


class Learner:
    """Two weights that learn the mean color of the reference."""

    def __init__(self) -> None:
        self.weight = nn.Parameter(torch.zeros(2))

    @property
    def description(self) -> ModelDescription:
        return ModelDescription(
            name="learner",
            title="",
            license="",
            source="",
            size_multiple=1,
            working_size=32,
            restores=False,
            propagates=True,
            references_must_be_frames=False,
            memory_megabytes_per_megapixel=0,
            learning_rate=0.5,
        )

    def clone(self) -> Self:
        return copy.deepcopy(self)

    def colorize(
        self, lumas: Iterable[Tensor], references: Sequence[Reference], *, matrix: Matrix, restore: bool = False
    ) -> Iterator[Prediction]:
        raise AssertionError("nothing is colored here")

    def tunable_parameters(self) -> list[nn.Parameter]:
        return [self.weight]

    def example(self, reference: Reference, *, matrix: Matrix, variation: int) -> Example:
        truth = reference.rgb * 40
        return lambda: (torch.cat([truth[:1], self.weight[:, None, None].expand(2, *truth.shape[1:])]), truth)


def picture(level: float) -> Reference:
    return Reference(rgb=torch.full((3, 32, 32), level), luma=torch.zeros(32, 32), is_frame=True)


def tuner_of(model: Learner, folder: Path, iterations: int, *order: int) -> ShotTuner:
    """`order` are the references of the shots, one each."""
    return ShotTuner(
        model,
        options=TuningOptions(iterations=iterations),
        matrix="bt601",
        folder=folder,
        order=[(number,) for number in order],
    )


def test_a_set_met_again_has_the_weights_that_it_was_tuned_to(tmp_path: Path) -> None:
    model, calls = Learner(), []
    tuner = tuner_of(model, tmp_path, 5, 0, 1, 0)

    def tuned(number: int) -> Any:
        def pictures() -> list[Reference]:
            calls.append(number)
            return [picture(0.5 + 0.3 * number)]

        return tuner.tuned((number,), pictures=pictures, on_step=lambda _: None)

    first = tuned(0)
    weights = first.colorizer.weight.tolist()
    second = tuned(1)
    again = tuned(0)
    assert calls == [0, 1]
    assert weights != [0.0, 0.0]
    assert again.colorizer.weight.tolist() == weights
    assert again.record == first.record
    assert second.record != first.record
    assert model.weight.tolist() == [0.0, 0.0]
    assert tuner.sets_tuned == 2


def test_only_weights_that_are_needed_again_are_on_the_disk(tmp_path: Path) -> None:
    order = [0, 0, 1, 2, 1, 3]
    tuner = tuner_of(Learner(), tmp_path, 1, *order)
    files = []
    for number in order:
        tuner.tuned((number,), pictures=lambda: [picture(0.5)], on_step=lambda _: None)
        files.append([path.stem for path in tmp_path.iterdir()])
    assert files == [[], [], ["tuned-1"], ["tuned-1"], [], []]


def test_why_nothing_was_learned_is_said_once(tmp_path: Path) -> None:
    tuner = tuner_of(Learner(), tmp_path, 5, 0, 0)
    notes = [tuner.tuned((0,), pictures=lambda: [], on_step=lambda _: None).note for _ in range(2)]
    assert notes == ["There is no reference to tune on.", None]


def test_neighboring_shots_share_one_network(tmp_path: Path) -> None:
    tuner = tuner_of(Learner(), tmp_path, 2, 0, 0)
    first = tuner.tuned((0,), pictures=lambda: [picture(0.5)], on_step=lambda _: None)
    second = tuner.tuned((0,), pictures=lambda: [], on_step=lambda _: None)
    assert second.colorizer is first.colorizer


def test_without_tuning_the_pretrained_network_itself_colors(tmp_path: Path) -> None:
    model = Learner()
    tuned = tuner_of(model, tmp_path, 0, 0).tuned((0,), pictures=lambda: [], on_step=lambda _: None)
    assert tuned.colorizer is model
    assert tuned.record is None
    assert list(tmp_path.iterdir()) == []
