"""What an execution leaves: what it has made for a record, or a film's pieces that are to be done next."""

from dataclasses import dataclass
from pathlib import Path

from jobs.pieces import PlannedWork
from jobs.record import Keyframe
from worker.task import VariantFile


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was made for a record."""

    files: tuple[VariantFile, ...]
    keyframes: tuple[Keyframe, ...] = ()
    """Where they were asked for."""
    pictures: tuple[Path, ...] = ()
    """Of the keyframes, published beside the files."""
    leftovers: tuple[str, ...] = ()
    """Names of what is kept for executions to come and nobody will read."""


@dataclass(frozen=True, slots=True)
class HandOver:
    """A film that is planned: its pieces are to be done next, by whoever is free."""

    planned: PlannedWork
