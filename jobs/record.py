"""The job as users see it: one shape in every answer, in the CLI and in the report."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from jobs.options import JobOptions, VariantName

Status = Literal["queued", "processing", "succeeded", "failed", "canceled"]
Phase = Literal["probing", "detecting_shots", "tuning", "colorizing", "encoding", "publishing"]

TERMINAL_STATUSES: frozenset[Status] = frozenset({"succeeded", "failed", "canceled"})


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Progress(Part):
    fraction: float = Field(default=0.0, ge=0, le=1)
    frames_done: int = 0
    frames_total: int | None = None
    fps: float | None = None
    eta_seconds: float | None = None


class VideoFacts(Part):
    width: int
    height: int
    frames: int
    duration_seconds: float
    frame_rate: float
    codec: str
    has_audio: bool


class PlacedReference(Part):
    name: str
    frame: int | None
    """Frame number from 0; null for a reference that is no frame of the video."""
    shot: int | None
    placed_by: Literal["user", "matching"]
    note: str | None = None
    """Such as: fitted from 1000x800 to 854x480."""


class TuningStepRecord(Part):
    step: int
    loss: float
    held_out_psnr_db: float


class ShotTuning(Part):
    iterations: int
    gain_db: float
    """PSNR of ab on the held-out part of the reference, tuned minus untuned; never negative."""
    seconds: float
    stopped_early: bool
    curve: list[TuningStepRecord] = []


class Shot(Part):
    index: int
    first_frame: int
    last_frame: int
    """Inclusive."""
    reference: str | None
    confidence: float | None = None
    """Mean confidence of its frames, 0 to 1."""
    tuning: ShotTuning | None = None


class Variant(Part):
    name: VariantName
    media_type: str
    bytes: int
    sha256: str
    href: str


class JobError(Part):
    code: str
    title: str
    detail: str


class Job(Part):
    id: str
    status: Status
    phase: Phase | None = None
    """What is being done; null while the job waits and once it has ended, but a failed one says where it failed."""
    progress: Progress = Progress()
    queue_position: int | None = None
    """How many jobs are before it; null once it is being worked on."""
    options: JobOptions
    video: VideoFacts | None = None
    references: list[PlacedReference] = []
    shots: list[Shot] = []
    variants: list[Variant] = []
    warnings: list[str] = []
    error: JobError | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
