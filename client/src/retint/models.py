"""The server's records as frozen dataclasses. `raw` of jobs and keyframes keeps the answer as it came."""

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
    display_width: int | None = None
    """As it is shown, with square pixels and upright; None from a server that does not tell."""
    display_height: int | None = None
    quarter_turns: int | None = None
    """Counterclockwise, in which it is shown; None from a server that does not tell."""


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
    """PSNR of ab on the held-out part of the reference, tuned minus untuned; with frames nearby the default model
    measures it by way of a later frame and back. 0 where what was learned is not used; never negative."""
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
class Delivery:
    """One event on its way to the job's webhook, or there."""

    id: str
    """The `webhook-id` of every attempt."""
    event: str
    """Such as `job.succeeded`."""
    occurred_at: datetime
    """When it happened."""
    status: Literal["pending", "delivered", "failed"]
    """`failed`: given up."""
    attempts: int = 0
    last_attempt_at: datetime | None = None
    last_status: int | None = None
    """HTTP status of the last answer; None where none came."""
    last_error: str | None = None
    next_attempt_at: datetime | None = None
    """None where no further attempt is due."""


@dataclass(frozen=True, slots=True)
class Task:
    """What jobs and searches for keyframes have in common."""

    id: str
    status: Status
    created_at: datetime
    phase: Phase | None = None
    progress: Progress = Progress()
    queue_position: int | None = None
    """How many jobs wait before it; None once it is being worked on."""
    filename: str | None = None
    """That the video was sent with; None where it had none."""
    options: Mapping[str, Any] = field(default_factory=dict)
    video: VideoFacts | None = None
    variants: tuple[Variant, ...] = ()
    warnings: tuple[str, ...] = ()
    error: JobError | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    """When it and its files are deleted; None before it has ended."""
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The server's answer, fields that this version does not know included."""

    @property
    def finished(self) -> bool:
        """Whether the status is final."""
        return self.status in ("succeeded", "failed", "canceled")


@dataclass(frozen=True, slots=True)
class Job(Task):
    references: tuple[PlacedReference, ...] = ()
    shots: tuple[Shot, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    """What was sent to the webhook, or will be."""


@dataclass(frozen=True, slots=True)
class Keyframe:
    """The frame of a shot that is worth coloring."""

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
    """File name of its picture."""
    href: str
    """Where its picture (PNG) is, relative to the server."""


@dataclass(frozen=True, slots=True)
class Keyframes(Task):
    """A search for the frames worth coloring."""

    keyframes: tuple[Keyframe, ...] = ()
    """In order; empty before it has succeeded."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A video on the server, whole or still on its way, which jobs can be made of."""

    id: str
    length: int
    """Bytes that it will have."""
    offset: int
    """Bytes that are there."""
    filename: str | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None
    """When it goes, if nothing more comes."""

    @property
    def finished(self) -> bool:
        """Whether all of it is there."""
        return self.offset == self.length


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
