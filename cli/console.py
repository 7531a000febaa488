"""Where the command writes: results on standard output, everything about them on standard error."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from cli.interruption import Terminated


def say(text: str = "") -> None:
    """One line of the result."""
    typer.echo(text)


def tell(text: str) -> None:
    """One line about the work, which a program that reads the result does not want."""
    typer.echo(text, err=True)


@contextmanager
def interruptible(advice: str) -> Iterator[None]:
    """Say `advice` where Ctrl-C or SIGTERM ends what is inside: what became of the work, and how to go on."""
    try:
        yield
    except (KeyboardInterrupt, Terminated):
        tell(f"retint: Stopped. {advice}")
        raise


def write_json(data: Mapping[str, Any] | Sequence[Any]) -> None:
    """The result for programs: one JSON document."""
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))


def write_json_line(data: Mapping[str, Any]) -> None:
    """For programs that read while this one runs on."""
    typer.echo(json.dumps(data))


def write_table(rows: Sequence[Sequence[str]], *, header: Sequence[str]) -> None:
    """Columns aligned by width; nothing else, so that it pipes well."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, *rows]:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def format_bytes(count: float) -> str:
    """Such as `12.3 MB`."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def format_seconds(seconds: float) -> str:
    """Such as `1:05` or `2:03:07`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
