"""The job as users see it: one shape in every answer, in the CLI and in the report."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from jobs.options import JobOptions, StrictModel, VariantName

Status = Literal["queued", "processing", "succeeded", "failed", "canceled"]
Phase = Literal["probing", "detecting_shots", "tuning", "colorizing", "encoding", "publishing"]

TERMINAL_STATUSES: frozenset[Status] = frozenset({"succeeded", "failed", "canceled"})


"""The name under which `jobs.repository` has it."""


class Progress(StrictModel):
    """How far the job is."""

    fraction: float = Field(default=0.0, ge=0, le=1)
    """Of the whole job, 0 to 1."""
    frames_done: int = 0
    """Frames whose color is final."""
    frames_total: int | None = None
    """Frames of the video; null before they are counted."""
    fps: float | None = None
    """Frames colored per second, of the last half minute, and in the end of the whole job; null before any is."""
    eta_seconds: float | None = None
    """Seconds that are left at the present speed; null before it is known."""


class VideoFacts(StrictModel):
    """What the video turned out to be."""

    width: int
    """In pixels."""
    height: int
    """In pixels."""
    frames: int
    """How many there are."""
    duration_seconds: float
    """From the first frame to the end of the last."""
    frame_rate: float
    """Frames per second, on average where they come irregularly."""
    codec: str
    """As FFmpeg names it, such as h264."""
    has_audio: bool


class PlacedReference(StrictModel):
    """A reference, and where it stands in the video."""

    name: str
    """File name that it was uploaded with."""
    frame: int | None
    """Frame number from 0; null for a reference that is no frame of the video."""
    shot: int | None
    """`index` of the shot that its frame is in; null where it has none."""
    placed_by: Literal["user", "matching"]
    """Who said where it stands: the job's options, or the search for the frame with its luma."""
    note: str | None = None
    """Such as: fitted from 1000x800 to 854x480."""


class TuningStepRecord(StrictModel):
    """One point of a loss curve."""

    step: int
    """0 is before tuning."""
    loss: float
    """What tuning lowers: the errors on the references, a number without unit."""
    held_out_psnr_db: float
    """PSNR of ab on the held-out part of the references, in dB."""


class ShotTuning(StrictModel):
    """What tuning did for a shot."""

    iterations: int
    """Steps taken."""
    gain_db: float
    """PSNR of ab on the held-out part of the reference, tuned minus untuned; never negative."""
    seconds: float
    """Time that tuning took."""
    stopped_early: bool
    """Whether it ended before the steps asked for, since the held-out part gained no more."""
    curve: list[TuningStepRecord] = Field(default_factory=list)
    """Step 0 and every step taken."""


class Shot(StrictModel):
    """Frames between two cuts, colored together."""

    index: int
    """From 0, in order."""
    first_frame: int
    """Frame number from 0."""
    last_frame: int
    """Inclusive."""
    reference: str | None
    """Name of the reference that colors it, the first where several do; null where none does."""
    confidence: float | None = None
    """Mean confidence of its frames, 0 to 1; null before it is colored."""
    tuning: ShotTuning | None = None
    """Null before, or where nothing is tuned."""


class Variant(StrictModel):
    """One finished file."""

    name: VariantName
    media_type: str
    """Such as video/mp4."""
    bytes: int
    """Size of the file in bytes."""
    sha256: str
    """Checksum of the file, in hexadecimal."""
    href: str
    """Where to download it, relative to this server."""


class JobError(StrictModel):
    """Why the job failed."""

    code: str
    """Stable name of the kind of failure, for programs."""
    title: str
    """The kind of failure in words."""
    detail: str
    """What was wrong, what was expected, what to do."""


class Job(StrictModel):
    """A job, as it is now."""

    id: str
    status: Status
    """The last three are final."""
    phase: Phase | None = None
    """What is being done; null while the job waits and once it has ended, but a failed one says where it failed."""
    progress: Progress = Progress()
    """How far it is."""
    queue_position: int | None = None
    """How many jobs are before it; null once it is being worked on."""
    options: JobOptions
    """What was asked for, defaults filled in."""
    video: VideoFacts | None = None
    """Null before the video is probed."""
    references: list[PlacedReference] = Field(default_factory=list)
    """Empty before they are placed."""
    shots: list[Shot] = Field(default_factory=list)
    """Empty before they are found."""
    variants: list[Variant] = Field(default_factory=list)
    """Files to download; empty before the job has succeeded."""
    warnings: list[str] = Field(default_factory=list)
    """What was left out or done otherwise than one might expect, in sentences."""
    error: JobError | None = None
    """Null unless the job failed."""
    created_at: datetime
    """When it was submitted."""
    started_at: datetime | None = None
    """When a worker took it up last."""
    finished_at: datetime | None = None
    """When it ended, however it did."""
    expires_at: datetime | None = None
    """When it and its files are deleted; null before it has ended."""
