"""Jobs and requests for keyframes as users see them: one shape in every answer, in the CLI and in the report."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from jobs.options import ColoringOptions, JobOptions, KeyframeOptions, ResultName, StrictModel, WebhookEvent

Status = Literal["queued", "processing", "succeeded", "failed", "canceled"]
Phase = Literal["probing", "detecting_shots", "tuning", "colorizing", "encoding", "publishing"]

TERMINAL_STATUSES: frozenset[Status] = frozenset({"succeeded", "failed", "canceled"})


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
    """In pixels, as it is stored."""
    height: int
    """In pixels, as it is stored."""
    display_width: int = Field(default_factory=lambda facts: facts["width"])
    """In square pixels, as it is shown: by the sample aspect ratio and the rotation that the video states."""
    display_height: int = Field(default_factory=lambda facts: facts["height"])
    """In square pixels, as it is shown."""
    quarter_turns: int = Field(default=0, ge=0, le=3)
    """Quarter turns counterclockwise in which it is shown."""
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
    """PSNR of ab on the held-out part of the reference, tuned minus untuned; with frames nearby the default model
    measures it by way of a later frame and back. 0 where what was learned is not used; never negative."""
    seconds: float
    """Time that tuning took."""
    stopped_early: bool
    """Whether it ended before the steps asked for, since the held-out part gained no more."""
    curve: list[TuningStepRecord] = Field(default_factory=list)
    """Step 0 and every step taken."""


class TuningUnderWay(StrictModel):
    """What tuning has come to, on the references that are learned now or were last."""

    shots: list[int]
    """Which shots are colored by them."""
    curve: list[TuningStepRecord]
    """Step 0 and every step taken so far."""


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


class ConfidencePoint(StrictModel):
    """Mean and lowest confidence of a stretch of frames."""

    frame: int
    """The first frame of the stretch."""
    mean: float
    """0 to 1."""
    lowest: float
    """Of its least sure frame, 0 to 1."""


class Variant(StrictModel):
    """One finished file."""

    name: ResultName
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


class Delivery(StrictModel):
    """One event on its way to the job's webhook, or there."""

    id: str
    """The `webhook-id` of every attempt."""
    event: WebhookEvent
    occurred_at: datetime
    """When it happened."""
    status: Literal["pending", "delivered", "failed"]
    """`failed`: given up."""
    attempts: int = 0
    """How often it was sent."""
    last_attempt_at: datetime | None = None
    last_status: int | None = None
    """HTTP status of the last answer; null where none came."""
    last_error: str | None = None
    """Why the last attempt did not count; null where it did."""
    next_attempt_at: datetime | None = None
    """Null where no further attempt is due."""


class TaskRecord(StrictModel):
    """What every task of a worker shows."""

    id: str
    status: Status
    """The last three are final."""
    filename: str | None = None
    """That the video or picture was sent with, by this record or by the one whose video it took; null where it had
    none."""
    phase: Phase | None = None
    """What is being done; null while it waits and once it has ended, but a failed one says where it failed."""
    progress: Progress = Progress()
    """How far it is."""
    queue_position: int | None = None
    """How many jobs wait before it; null once it is being worked on."""
    video: VideoFacts | None = None
    """Null before the video is probed."""
    variants: list[Variant] = Field(default_factory=list)
    """Files to download; empty before it has succeeded."""
    stills: list[int] = Field(default_factory=list)
    """Numbers of the frames that can be seen small at `/stills/{frame}`, already while the others are made."""
    warnings: list[str] = Field(default_factory=list)
    """What was left out or done otherwise than one might expect, in sentences."""
    error: JobError | None = None
    """Null unless it failed."""
    created_at: datetime
    """When it was submitted."""
    started_at: datetime | None = None
    """When a worker took it up last."""
    finished_at: datetime | None = None
    """When it ended, however it did."""
    expires_at: datetime | None = None
    """When it and its files are deleted; null before it has ended."""


class Job(TaskRecord):
    """A job, as it is now."""

    options: JobOptions
    """What was asked for, defaults filled in."""
    references: list[PlacedReference] = Field(default_factory=list)
    """Empty before they are placed."""
    shots: list[Shot] = Field(default_factory=list)
    """Empty before they are found."""
    tuning: TuningUnderWay | None = None
    """Null before any step."""
    confidence: list[ConfidencePoint] = Field(default_factory=list)
    """As far as the video is colored, at most 200 points; the report has more."""
    deliveries: list[Delivery] = Field(default_factory=list)
    """What was sent to the webhook, or will be."""


class PickedFrame(StrictModel):
    """A frame of a shot that is worth coloring."""

    shot: int
    """Number of the shot, from 0."""
    first_frame: int
    """First frame of the shot, from 0."""
    last_frame: int
    """Inclusive."""
    frame: int
    """Which frame to color, counted in the whole video."""
    time_seconds: float
    """When it is shown."""
    name: str
    """File name of its picture, in the archive and for a reference made of it; in it shots are counted from 1."""


class Keyframe(PickedFrame):
    """A frame of a shot that is worth coloring, to be had here."""

    href: str
    """Where its picture (PNG) is, relative to this server."""


class Keyframes(TaskRecord):
    """A search for the frames worth coloring, as it is now."""

    options: KeyframeOptions
    """What was asked for, defaults filled in."""
    keyframes: list[Keyframe] = Field(default_factory=list)
    """In order; empty before they are found."""


class Coloring(TaskRecord):
    """A picture that is colored by strokes, as it is now."""

    options: ColoringOptions
    """What was asked for, defaults filled in."""


Record = Job | Keyframes | Coloring
