"""What tuning has learned is kept in a file."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from jobs.options import TuningOptions
from models.base import Example, Matrix, ModelDescription, Prediction, Reference
from models.tuning import tune
from worker.shot_tuning import as_record, read_tuned, tuning_settings, write_tuned


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
            learning_rate=0.5,
        )

    def clone(self) -> Self:
        return copy.deepcopy(self)

    def colorize(
        self, lumas: Iterable[Tensor], references: Sequence[Reference], *, matrix: Matrix, restore: bool = False
    ) -> Iterator[Prediction]:
        raise AssertionError("nothing is colored here")

    def weights(self) -> Iterator[torch.Tensor]:
        return iter(self.tunable_parameters())

    def tunable_parameters(self) -> list[nn.Parameter]:
        return [self.weight]

    def example(self, reference: Reference, *, matrix: Matrix, variation: int) -> Example:
        truth = reference.rgb * 40
        return lambda: (torch.cat([truth[:1], self.weight[:, None, None].expand(2, *truth.shape[1:])]), truth)


def picture(level: float) -> Reference:
    return Reference(rgb=torch.full((3, 32, 32), level), luma=torch.zeros(32, 32), is_frame=True)


def test_what_was_learned_comes_back_from_its_file_and_the_pretrained_weights_stay(tmp_path: Path) -> None:
    model = Learner()
    tuned = model.clone()
    settings = tuning_settings(TuningOptions(iterations=3), model.description)
    report = tune(tuned, [picture(0.5)], matrix="bt601", settings=settings)
    assert report.gain_db > 0
    write_tuned(tuned, tmp_path / "weights")
    again = read_tuned(model, tmp_path / "weights")
    assert again.weight.tolist() == tuned.weight.tolist() != [0.0, 0.0]
    assert model.weight.tolist() == [0.0, 0.0]
    assert as_record(report).iterations == 3
    assert [step.step for step in as_record(report).curve] == [0, 1, 2, 3]


def test_the_models_own_learning_rate_stands_where_none_is_asked_for() -> None:
    described = Learner().description
    assert tuning_settings(TuningOptions(), described).learning_rate == 0.5
    assert tuning_settings(TuningOptions(learning_rate=0.01), described).learning_rate == 0.01
