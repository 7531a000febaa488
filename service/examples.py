"""Answers as they may look, for the OpenAPI description; made of the real classes, so that they cannot be wrong."""

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from jobs.options import JobOptions, ReferenceOptions
from jobs.record import Job, PlacedReference, Progress, Shot, ShotTuning, VideoFacts
from jobs.record_reader import JobPage

FILM = VideoFacts(
    width=720,
    height=576,
    display_width=1024,
    display_height=576,
    frames=240,
    duration_seconds=9.6,
    frame_rate=25.0,
    codec="h264",
    has_audio=True,
)

_HALFWAY = Job(
    id="job_5f1c9b2e7a4d60318c2b9e55",
    status="processing",
    filename="film.mkv",
    phase="colorizing",
    progress=Progress(fraction=0.42, frames_done=101, frames_total=240, fps=6.5, eta_seconds=21.4),
    options=JobOptions(tuning="fast", references=[ReferenceOptions(name="frame.png", frame=0)]),
    video=FILM,
    references=[PlacedReference(name="frame.png", frame=0, shot=0, placed_by="user")],
    shots=[
        Shot(
            index=0,
            first_frame=0,
            last_frame=239,
            reference="frame.png",
            confidence=0.87,
            tuning=ShotTuning(iterations=5, gain_db=0.8, seconds=3.1, stopped_early=False),
        )
    ],
    created_at=datetime(2026, 11, 23, 12, 0, tzinfo=UTC),
    started_at=datetime(2026, 11, 23, 12, 0, 1, tzinfo=UTC),
)
_CANCELED = _HALFWAY.model_copy(
    update={
        "status": "canceled",
        "phase": None,
        "finished_at": datetime(2026, 11, 23, 12, 0, 20, tzinfo=UTC),
        "expires_at": datetime(2026, 11, 30, 12, 0, 20, tzinfo=UTC),
    }
)


def content_of(example: BaseModel) -> dict[str, Any]:
    """`content` of an answer; FastAPI adds the schema."""
    return {"application/json": {"example": example.model_dump(mode="json")}}


JOB_CONTENT = content_of(_HALFWAY)
CANCELED_JOB_CONTENT = content_of(_CANCELED)
JOB_PAGE_CONTENT = content_of(JobPage(data=[_HALFWAY], has_more=False, next=None))
