"""Runs a real worker with the real pipeline, in a mood that tests change while it runs: `python slow_worker.py MOOD`.

MOOD is a JSON file, which need not be there:

    {"slow": {"colorizing": 0.12}}    seconds that each step of a phase takes longer: a frame that is looked at, fed or
                                      joined, a step of tuning, all of probing, all of publishing
    {"full_from": "tuning"}           from that phase on files grow no larger than a kilobyte, as on a full disk
    {"other_weights": true}           what is begun from now on has other weights than what was before
"""

import json
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from torch import Tensor

import models.registry
from jobs.record import Phase
from jobs.settings import Settings
from models.base import Colorizer
from worker.main import run_worker

MOOD = Path(sys.argv[1])
PHASES = get_args(Phase)


def mood() -> dict[str, Any]:
    try:
        return dict(json.loads(MOOD.read_text()))
    except FileNotFoundError:
        return {}


def pause(phase: Phase | None) -> None:
    seconds = mood().get("slow", {}).get(phase, 0.0)
    if seconds:
        time.sleep(seconds)


def fill_disk(phase: Phase) -> None:
    """Let writing fail where the disk is full from an earlier phase on, or from this one."""
    since = mood().get("full_from")
    full = since is not None and PHASES.index(phase) >= PHASES.index(since)
    # SIGXFSZ would kill the process before write() could say so.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024 if full else hard, hard))


def after(kind: type, method: str, then: Callable[..., None]) -> None:
    """Have something done after every call of a method, with its arguments."""
    plain = getattr(kind, method)

    def both(meter: Any, *given: Any, **named: Any) -> None:
        plain(meter, *given, **named)
        then(meter, *given, **named)

    setattr(kind, method, both)


def enter(_: object, phase: Phase) -> None:
    fill_disk(phase)
    if phase in ("probing", "publishing"):
        pause(phase)


def joined(progress: Any) -> None:
    if progress._phase == "encoding":
        pause("encoding")


def change_ways() -> None:
    from worker.piece_reporting import PieceObserver
    from worker.progress import Progress

    for kind in (Progress, PieceObserver):
        after(kind, "enter", enter)
    after(Progress, "analyzed", lambda *_: pause("detecting_shots"))
    after(Progress, "check", joined)
    after(PieceObserver, "tuned_step", lambda _: pause("tuning"))
    after(PieceObserver, "fed", lambda _: pause("colorizing"))


class Other:
    """A colorizer that is another one, and gives the same colors."""

    def __init__(self, inner: Colorizer) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def weights(self) -> list[Tensor]:
        return [weight + 1 for weight in self._inner.weights()]


def change_weights() -> None:
    import worker.film_work

    load = models.registry.load

    def load_other(*given: Any, **named: Any) -> Any:
        model = load(*given, **named)
        return Other(model) if mood().get("other_weights") else model

    models.registry.load = load_other
    worker.film_work.load = load_other


if __name__ == "__main__":
    change_ways()
    change_weights()
    run_worker(Settings())
