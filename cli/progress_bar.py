"""How a job's progress looks: a bar on a terminal, a line now and then elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from cli.console import format_bytes, format_seconds

LINE_SECONDS = 5.0
"""Between two lines where there is no terminal, as in a log."""


class ProgressBar:
    """A context manager; `update` as often as you like."""

    def __init__(self, *, title: str = "", enabled: bool = True) -> None:
        self._console = Console(stderr=True)
        self._title = f"{title} " if title else ""
        self._enabled = enabled
        self._live = self._console.is_terminal
        self._progress = Progress(
            TextColumn(f"{self._title}{{task.description}}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[percent]}"),
            TextColumn("{task.fields[facts]}"),
            console=self._console,
            disable=not (enabled and self._live),
        )
        self._task: TaskID | None = None
        self._line: tuple[str, float] = ("", float("-inf"))
        self._complete = False

    def __enter__(self) -> Self:
        self._progress.start()
        self._task = self._progress.add_task("starting", total=1.0, percent="", facts="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(
        self,
        phase: str,
        *,
        fraction: float,
        frames: tuple[int, int | None] | None = None,
        fps: float | None = None,
        seconds_left: float | None = None,
    ) -> None:
        """`frames` are those done and those in all."""
        facts = []
        if frames is not None and frames[1]:
            facts.append(f"{frames[0]}/{frames[1]} frames")
        if fps:
            facts.append(f"{fps:.1f} fps")
        if seconds_left is not None:
            facts.append(f"{format_seconds(seconds_left)} left")
        self._show(phase.replace("_", " "), fraction=fraction, facts=", ".join(facts))

    def transferred(self, what: str, *, done: int, total: int | None) -> None:
        """Bytes sent or received; `total` is None where nobody said how many there are."""
        if total is None:
            self._show(what, fraction=None, facts=format_bytes(done))
            return
        fraction = done / total if total else 1.0
        self._show(what, fraction=fraction, facts=f"{format_bytes(done)} of {format_bytes(total)}")

    def _show(self, description: str, *, fraction: float | None, facts: str) -> None:
        if self._task is None or not self._enabled:
            return
        percent = "" if fraction is None else f"{fraction:.0%}"
        done = fraction or 0.0
        if self._live:
            self._progress.update(
                self._task, description=description, completed=done, percent=f"{percent:>4}", facts=facts
            )
            return
        previous, since = self._line
        now = time.monotonic()
        completed = done >= 1.0 and not self._complete
        if description != previous or completed or now - since >= LINE_SECONDS:
            self._line = (description, now)
            self._complete = done >= 1.0
            line = " ".join(word for word in (description, percent, facts) if word)
            self._console.print(f"{self._title}{line}", highlight=False, markup=False)
