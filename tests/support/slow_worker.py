"""Runs a real worker with the real pipeline, slowed down by so many seconds per frame: `python slow_worker.py SECONDS`.

Tests need to meet pieces of tiny films while they are done. RETINT_TEST_SLOW_PHASE makes frames slow in another phase
than `colorizing`; in the phase RETINT_TEST_FULL_IN files grow no larger than a kilobyte, as on a full disk, as long as
the file RETINT_TEST_FULL_WHILE is there.
"""

import os
import resource
import signal
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


SLOW_PHASE = os.environ.get("RETINT_TEST_SLOW_PHASE", "colorizing")
FULL_IN = os.environ.get("RETINT_TEST_FULL_IN")
FULL_WHILE = Path(os.environ.get("RETINT_TEST_FULL_WHILE", "/nowhere"))


def slowed(frames: Iterable[Any]) -> Iterator[Any]:
    for frame in frames:
        time.sleep(SECONDS)
        yield frame


def fill_disk(phase: str) -> None:
    """Let writing fail from here on where the phase is the one asked for, and succeed again elsewhere."""
    full = phase == FULL_IN and FULL_WHILE.exists()
    # SIGXFSZ would kill the process before write() could say so.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024 if full else hard, hard))


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


def slow_down() -> None:
    import worker.assembly
    import worker.film_work
    import worker.piece_work
    import worker.planning
    import worker.progress
    from worker.piece_reporting import PieceObserver
    from worker.progress import Progress

    if SLOW_PHASE == "colorizing" and SECONDS:
        models.registry.load = load_slow  # type: ignore[assignment]
        worker.film_work.load = load_slow  # type: ignore[assignment]
    if SLOW_PHASE == "detecting_shots":
        analyze = worker.planning.analyze

        def analyze_slowly(frames: Iterable[Any], **more: Any) -> Any:
            return analyze(slowed(frames), **more)

        worker.planning.analyze = analyze_slowly
    if SLOW_PHASE == "encoding":
        check = Progress.check

        def check_slowly(progress: Progress) -> None:
            if progress._phase == "encoding":
                time.sleep(SECONDS)
            check(progress)

        Progress.check = check_slowly  # type: ignore[method-assign]
    for kind in (Progress, PieceObserver):
        enter = kind.enter

        def enter_and_fill(meter: Any, phase: Any, enter: Any = enter) -> None:
            enter(meter, phase)
            fill_disk(phase)

        kind.enter = enter_and_fill  # type: ignore[method-assign]


if __name__ == "__main__":
    slow_down()
    run_worker(Settings())
