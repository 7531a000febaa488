"""What the pipeline is given and what it hands back."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from jobs.options import JobOptions, ResultName
from jobs.settings import Settings


@dataclass(frozen=True, slots=True)
class ReferenceFile:
    name: str
    """File name that the user gave it; `options.references` names it so."""
    path: Path


@dataclass(frozen=True, slots=True)
class Limits:
    """What a video may be at most; beyond it the job fails with the limit's own code."""

    max_pixels: int
    max_duration_seconds: float
    max_frames: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(
            max_pixels=settings.max_pixels,
            max_duration_seconds=settings.max_duration_seconds,
            max_frames=settings.max_frames,
        )


@dataclass(frozen=True, slots=True)
class ColorizationTask:
    """One job, as files."""

    video: Path
    references: tuple[ReferenceFile, ...]
    options: JobOptions
    folder: Path
    """An empty folder of this execution's own: results and temporary files go there."""
    limits: Limits


@dataclass(frozen=True, slots=True)
class VariantFile:
    """One finished file in the task's folder."""

    name: ResultName
    path: Path
    media_type: str
