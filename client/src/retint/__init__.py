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
    RateLimited,
    RetintError,
    ServerError,
    Unauthorized,
    Unavailable,
    WaitTimedOut,
)
from retint.models import (
    Delivery,
    Job,
    JobError,
    Keyframe,
    Keyframes,
    Model,
    Phase,
    PlacedReference,
    Progress,
    Shot,
    ShotTuning,
    Status,
    Task,
    TuningStep,
    Upload,
    Variant,
    VideoFacts,
)
from retint.upload_meter import UploadProgress

__all__ = [
    "APIError",
    "AsyncClient",
    "ChecksumMismatch",
    "Client",
    "Conflict",
    "ConnectionFailed",
    "Delivery",
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
    "Keyframe",
    "Keyframes",
    "Model",
    "NotFound",
    "Phase",
    "PlacedReference",
    "Problem",
    "Progress",
    "RateLimited",
    "RetintError",
    "ServerError",
    "Shot",
    "ShotTuning",
    "Status",
    "Task",
    "TuningStep",
    "Unauthorized",
    "Unavailable",
    "Upload",
    "UploadProgress",
    "Variant",
    "VideoFacts",
    "WaitTimedOut",
]
