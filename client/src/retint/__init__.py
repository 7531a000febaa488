"""Python client of the retint video colorization service.

from retint import Client

with Client("http://127.0.0.1:8000") as client:
    job = client.submit("film.mp4", ["frame.png"])
    client.wait(job.id, on_progress=lambda job: print(job.phase, job.progress.fraction))
    client.download(job.id, "video", "film-color.mp4")
"""

from retint.async_client import AsyncClient
from retint.client import Client
from retint.errors import (
    APIError,
    ChecksumMismatch,
    Conflict,
    ConnectionFailed,
    FieldError,
    FileError,
    FileUnreadable,
    FileUnwritable,
    Gone,
    InvalidRequest,
    JobCanceled,
    JobFailed,
    NotFound,
    Problem,
    RetintError,
    ServerError,
    Unauthorized,
    Unavailable,
    WaitTimedOut,
)
from retint.models import (
    Job,
    JobError,
    Model,
    Phase,
    PlacedReference,
    Progress,
    Shot,
    ShotTuning,
    Status,
    TuningStep,
    Variant,
    VideoFacts,
)

__all__ = [
    "APIError",
    "AsyncClient",
    "ChecksumMismatch",
    "Client",
    "Conflict",
    "ConnectionFailed",
    "FieldError",
    "FileError",
    "FileUnreadable",
    "FileUnwritable",
    "Gone",
    "InvalidRequest",
    "Job",
    "JobCanceled",
    "JobError",
    "JobFailed",
    "Model",
    "NotFound",
    "Phase",
    "PlacedReference",
    "Problem",
    "Progress",
    "RetintError",
    "ServerError",
    "Shot",
    "ShotTuning",
    "Status",
    "TuningStep",
    "Unauthorized",
    "Unavailable",
    "Variant",
    "VideoFacts",
    "WaitTimedOut",
]
