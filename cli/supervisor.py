"""Child processes that are kept running, stopped in order, and never left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
HEALTHY_SECONDS = 30.0
"""A child that lived this long is started again as if it had never died before."""
GRACE_SECONDS = 6.0
"""How long a child may take to end after it was asked to."""


@dataclass(slots=True)
class Child:
    """One `retint` command in a process of its own."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    sockets: Sequence[int] = ()
    """File descriptors that it inherits."""
    failures: int = 0
    """Deaths in a row."""
    _process: "subprocess.Popen[bytes] | None" = None
    _started: float = 0.0
    _due: float = 0.0

    def start(self) -> None:
        # A session of its own: Ctrl-C in a terminal reaches the parent alone, which stops the children in order.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cli", *self.arguments, "--parent", str(os.getpid())],
            env=dict(self.environment),
            pass_fds=self.sockets,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._started = time.monotonic()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def tend(self, *, tell: Callable[[str], None]) -> None:
        """Start it again where it has died, later each time."""
        now = time.monotonic()
        if self._process is None:
            if now >= self._due:
                self.start()
            return
        status = self._process.poll()
        if status is None:
            return
        self.failures = 1 if now - self._started > HEALTHY_SECONDS else self.failures + 1
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** (self.failures - 1))
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        tell(f"The {self.name} {how}; it is started again in {pause:g} s.")
        self._process = None
        self._due = now + pause

    def stop(self) -> None:
        """Ask it twice (a worker takes the first as: finish your job), then end it."""
        process = self._process
        if process is None:
            return
        for wish in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            if process.poll() is not None:
                break
            process.send_signal(wish)
            try:
                process.wait(GRACE_SECONDS / 2)
            except subprocess.TimeoutExpired:
                continue
        process.wait()
        self._process = None


@dataclass(slots=True)
class Supervisor:
    """Start in the order given, stop in that order too: first what takes new work, then what does it."""

    tell: Callable[[str], None]
    children: list[Child] = field(default_factory=list)

    def start(self, child: Child) -> None:
        self.children.append(child)
        child.start()

    def tend(self) -> None:
        for child in self.children:
            child.tend(tell=self.tell)

    def stop(self) -> None:
        for child in self.children:
            child.stop()
