"""Threads beside the API that do something now and then, such as keeping house."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from jobs.connection import REDIS_AWAY
from jobs.errors import StoreAway

INTERVAL_SECONDS = 15.0
AWAY: tuple[type[Exception], ...] = (StoreAway, *REDIS_AWAY)

log = structlog.stdlib.get_logger("retint.api")


@contextmanager
def sweeping(sweep: Callable[[], None], *, interval: float = INTERVAL_SECONDS, name: str = "sweeper") -> Iterator[None]:
    """Call `sweep` at once and then every `interval` seconds while inside, whatever it raises."""
    stop = threading.Event()

    def run() -> None:
        away = False
        while True:
            try:
                sweep()
                away = False
            except AWAY as error:
                # Said once per outage: the next sweep makes up for what this one missed.
                if not away:
                    log.warning("sweep_skipped", thread=name, cause=str(error))
                away = True
            except Exception:
                log.exception("sweep_failed", thread=name)
            if stop.wait(interval):
                return

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=5)
