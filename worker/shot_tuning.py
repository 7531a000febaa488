"""Tunes a copy of the pretrained network on a set of references, and keeps what it has learned in a file."""

from io import BytesIO
from pathlib import Path

import torch

from jobs.options import TuningOptions
from jobs.record import ShotTuning, TuningStepRecord
from models.base import Colorizer, ModelDescription
from models.tuning import TuningReport
from models.tuning_run import TuningSettings

SMALLEST_TUNED = 48
"""Short side in pixels of the frames fed below which nothing is tuned: of chroma at half that size no part could be
held out to measure by."""

ReferenceSet = tuple[int, ...]
"""Numbers of the references that one tuning learns from, ascending."""


def tuning_settings(options: TuningOptions, description: ModelDescription) -> TuningSettings:
    return TuningSettings(
        iterations=options.iterations,
        learning_rate=options.learning_rate or description.learning_rate,
        objective=options.objective,
        weight_noise=options.weight_noise,
    )


def write_tuned(colorizer: Colorizer, path: Path) -> None:
    """Write the weights that tuning changes.

    Raises:
        OSError: the disk is full, among others; torch itself would say so in a `RuntimeError` like any other.
    """
    packed = BytesIO()
    torch.save([parameter.detach().cpu() for parameter in colorizer.tunable_parameters()], packed)
    path.write_bytes(packed.getbuffer())


@torch.no_grad()
def read_tuned(pretrained: Colorizer, path: Path) -> Colorizer:
    """A copy of the pretrained network with the weights in `path`."""
    colorizer = pretrained.clone()
    weights = torch.load(path, weights_only=True)
    for parameter, weight in zip(colorizer.tunable_parameters(), weights, strict=True):
        parameter.copy_(weight)
    return colorizer


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
