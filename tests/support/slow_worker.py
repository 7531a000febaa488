"""Runs a real worker with the real pipeline, slowed down by so many seconds per frame: `python slow_worker.py SECONDS`.

Tests need to meet pieces of tiny films while they are done.
"""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import models.registry
from jobs.settings import Settings
from models.base import Colorizer, Matrix, Prediction, Reference
from worker.main import run_worker

SECONDS = float(sys.argv[1])
load = models.registry.load


class Slow:
    """A colorizer that takes its time."""

    def __init__(self, inner: Colorizer) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def clone(self) -> "Slow":
        return Slow(self._inner.clone())

    def colorize(
        self, lumas: Iterable[Tensor], references: Sequence[Reference], *, matrix: Matrix, restore: bool = False
    ) -> Iterator[Prediction]:
        for prediction in self._inner.colorize(lumas, references, matrix=matrix, restore=restore):
            time.sleep(SECONDS)
            yield prediction


def load_slow(name: str, *, device: torch.device, weights_folder: Path) -> Any:
    return Slow(load(name, device=device, weights_folder=weights_folder))


if __name__ == "__main__":
    import worker.film_work
    import worker.piece_work

    if SECONDS:
        models.registry.load = load_slow  # type: ignore[assignment]
        worker.film_work.load = load_slow  # type: ignore[assignment]
    run_worker(Settings())
