"""Tunes a copy of the pretrained network on the references of each shot, once for each set of references."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch

from jobs.options import TuningOptions
from jobs.record import ShotTuning, TuningStepRecord
from models.base import Colorizer, Matrix, Reference
from models.tuning import TuningReport, TuningSettings, TuningStep, tune

SMALLEST_TUNED = 48
"""Short side in pixels of the frames fed below which nothing is tuned: of chroma at half that size no part could be
held out to measure by."""

ReferenceSet = tuple[int, ...]
"""Numbers of the references that one tuning learns from, ascending."""


@dataclass(frozen=True, slots=True)
class TunedColorizer:
    colorizer: Colorizer
    record: ShotTuning | None
    """None where tuning is off."""
    note: str | None = None
    """Why nothing was learned, as a sentence, where the set was to be tuned now."""


class ShotTuner:
    """Tunes, and remembers what it tuned.

    The weights of one set are in memory, those of others that come again in files of `folder`: a hundred shots with
    references of their own take no more room than one. Every tuning starts from the pretrained weights.
    """

    def __init__(
        self,
        pretrained: Colorizer,
        *,
        options: TuningOptions,
        matrix: Matrix,
        folder: Path,
        order: Sequence[ReferenceSet],
    ) -> None:
        """`order` has the set of every shot that will be asked for, in that order."""
        self._pretrained = pretrained
        self._settings = TuningSettings(
            iterations=options.iterations,
            learning_rate=options.learning_rate or pretrained.description.learning_rate,
            objective=options.objective,
            weight_noise=options.weight_noise,
        )
        self._matrix = matrix
        self._folder = folder
        # Neighbors with the same set are one use.
        self._uses_left = Counter(references for references, _ in groupby(order))
        self._records: dict[ReferenceSet, ShotTuning] = {}
        self._current: tuple[ReferenceSet, Colorizer] | None = None

    @property
    def iterations(self) -> int:
        """Steps that one tuning takes at most."""
        return self._settings.iterations

    @property
    def sets_tuned(self) -> int:
        """How many sets of references were learned so far."""
        return len(self._records)

    def is_tuned(self, references: ReferenceSet) -> bool:
        return self._settings.iterations == 0 or references in self._records

    def tuned(
        self,
        references: ReferenceSet,
        *,
        pictures: Callable[[], Sequence[Reference]],
        on_step: Callable[[TuningStep], None],
    ) -> TunedColorizer:
        """The colorizer for shots with this set of references; `pictures` is called where it is tuned now.

        Raises:
            OutOfMemory: a reference does not fit the device.
        """
        if self._settings.iterations == 0:
            return TunedColorizer(self._pretrained, record=None)
        if self._current is not None and self._current[0] == references:
            return TunedColorizer(self._current[1], record=self._records[references])
        # The one before goes first, so that at no time there are two copies beside the pretrained network.
        self._current = None
        self._uses_left[references] -= 1
        comes_again = self._uses_left[references] > 0
        colorizer = self._pretrained.clone()
        note = None
        if references in self._records:
            self._restore(references, colorizer)
            if not comes_again:
                self._file(references).unlink()
        else:
            report = tune(colorizer, pictures(), matrix=self._matrix, settings=self._settings, on_step=on_step)
            self._records[references] = as_record(report)
            note = report.note
            if comes_again:
                self._keep(references, colorizer)
        self._current = (references, colorizer)
        return TunedColorizer(colorizer, record=self._records[references], note=note)

    def _keep(self, references: ReferenceSet, colorizer: Colorizer) -> None:
        weights = [parameter.detach().cpu() for parameter in colorizer.tunable_parameters()]
        torch.save(weights, self._file(references))

    @torch.no_grad()
    def _restore(self, references: ReferenceSet, colorizer: Colorizer) -> None:
        weights = torch.load(self._file(references), weights_only=True)
        for parameter, weight in zip(colorizer.tunable_parameters(), weights, strict=True):
            parameter.copy_(weight)

    def _file(self, references: ReferenceSet) -> Path:
        return self._folder / f"tuned-{'-'.join(map(str, references))}.pt"


def as_record(report: TuningReport) -> ShotTuning:
    """The report as users see it."""
    return ShotTuning(
        iterations=report.iterations,
        gain_db=report.gain_db,
        seconds=report.seconds,
        stopped_early=report.stopped_early,
        curve=[
            TuningStepRecord(step=step.step, loss=step.loss, held_out_psnr_db=step.held_out_psnr_db)
            for step in report.curve
        ],
    )
