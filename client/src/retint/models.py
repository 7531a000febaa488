"""The server's records as frozen dataclasses. `Job.raw` keeps the answer as it came."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Status = Literal["queued", "processing", "succeeded", "failed", "canceled"]
Phase = Literal["probing", "detecting_shots", "tuning", "colorizing", "encoding", "publishing"]


@dataclass(frozen=True, slots=True)
class Progress:
    fraction: float = 0.0
    """Of the whole job, 0 to 1."""
    frames_done: int = 0
    frames_total: int | None = None
    fps: float | None = None
    """Frames colorized per second."""
    eta_seconds: float | None = None
    """Time left."""


@dataclass(frozen=True, slots=True)
class VideoFacts:
    width: int
    height: int
    frames: int
    duration_seconds: float
    frame_rate: float
    codec: str
    has_audio: bool


@dataclass(frozen=True, slots=True)
class PlacedReference:
    name: str
    frame: int | None = None
    """Frame number from 0; None for a reference that is no frame of the video."""
    shot: int | None = None
    placed_by: str = "user"
    """`user` or `matching`."""
    note: str | None = None


@dataclass(frozen=True, slots=True)
class TuningStep:
    step: int
    loss: float
    held_out_psnr_db: float


@dataclass(frozen=True, slots=True)
class ShotTuning:
    iterations: int
    gain_db: float
    """PSNR of ab on the held-out part of the reference, tuned minus untuned; never negative."""
    seconds: float
    stopped_early: bool
    curve: tuple[TuningStep, ...] = ()


@dataclass(frozen=True, slots=True)
class Shot:
    index: int
    first_frame: int
    last_frame: int
    """Inclusive."""
    reference: str | None = None
    confidence: float | None = None
    """0 to 1."""
    tuning: ShotTuning | None = None


@dataclass(frozen=True, slots=True)
class Variant:
    name: str
    media_type: str
    bytes: int
    sha256: str
    href: str


@dataclass(frozen=True, slots=True)
class JobError:
    code: str
    title: str
    detail: str


@dataclass(frozen=True, slots=True)
class Job:
    id: str
    status: Status
    created_at: datetime
    phase: Phase | None = None
    progress: Progress = Progress()
    queue_position: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    video: VideoFacts | None = None
    references: tuple[PlacedReference, ...] = ()
    shots: tuple[Shot, ...] = ()
    variants: tuple[Variant, ...] = ()
    warnings: tuple[str, ...] = ()
    error: JobError | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The server's answer, fields that this version does not know included."""

    @property
    def finished(self) -> bool:
        """Whether the status is final."""
        return self.status in ("succeeded", "failed", "canceled")


@dataclass(frozen=True, slots=True)
class Model:
    """What a server can colorize with."""

    name: str
    title: str = ""
    license: str = ""
    """SPDX identifier of the weights' licence."""
    source: str = ""
    weights_present: bool = False
    restores: bool = False
    """Whether it can change luma too."""
    working_size: int | None = None
    """Default short side, in pixels, at which color is predicted."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list of jobs."""

    data: tuple[Job, ...]
    next: str | None
    """The `after` of the next page; None on the last."""
