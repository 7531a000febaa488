"""Ctrl-C and SIGTERM unwind, so that temporary files go and processes that were started are stopped: once, whoever
sends them how often."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

PATIENCE_SECONDS = 10.0
"""What comes so soon after the first is the same wish. Who asks later still may be stuck in what unwinds."""


class Terminated(SystemExit):
    """SIGTERM came."""


@contextmanager
def unwinding(*, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Inside, SIGINT raises `KeyboardInterrupt` and SIGTERM `Terminated`; another one does nothing for a while.

    Once one has come nothing interrupts what is done after the block either: the process is to end, and the interpreter
    and the libraries take their time for it, in which a signal would leave threads and its own status behind.
    """
    first: float | None = None

    def come(number: int, _frame: FrameType | None) -> None:
        nonlocal first
        now = clock()
        if first is not None and now - first < PATIENCE_SECONDS:
            return
        first = now
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise Terminated(128 + number)

    signal.signal(signal.SIGTERM, come)
    # A shell has what its scripts start in the background ignore Ctrl-C.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, come)
    try:
        yield
    finally:
        if first is not None:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
