"""Every error that a user can meet, with its stable code and the sentence that helps.

RetintError
├── RequestError                 what an HTTP call answers
│   ├── InvalidRequest           422 invalid_request
│   ├── TooManyReferences        422 too_many_references
│   ├── UploadIncomplete         400 upload_incomplete
│   ├── ChecksumUnsupported      400 checksum_unsupported
│   ├── Unauthorized             401 unauthorized
│   ├── PayloadTooLarge          413 payload_too_large
│   ├── UnsupportedMediaType     415 unsupported_media_type
│   ├── NotFound                 404 not_found
│   │   ├── JobNotFound          404 job_not_found
│   │   ├── VariantNotFound      404 variant_not_found
│   │   └── UploadNotFound       404 upload_not_found
│   ├── MethodNotAllowed         405 method_not_allowed
│   ├── JobNotFinished           409 job_not_finished
│   ├── JobAlreadyFinished       409 job_already_finished
│   ├── JobNotFailed             409 job_not_failed
│   ├── UploadUnfinished         409 upload_unfinished
│   ├── UploadOffsetMismatch     409 upload_offset_mismatch
│   ├── JobExpired               410 job_expired
│   ├── UploadExpired            410 upload_expired
│   ├── TusVersionUnsupported    412 tus_version_unsupported
│   ├── IdempotencyKeyInUse      409 idempotency_key_in_use
│   ├── IdempotencyKeyReused     422 idempotency_key_reused
│   ├── TooManyJobs              429 too_many_jobs
│   ├── QueueFull                503 queue_full
│   ├── RangeNotSatisfiable      416 range_not_satisfiable
│   ├── MisdirectedRequest       421 misdirected_request
│   ├── UploadLocked             423 upload_locked
│   ├── ChecksumMismatch         460 checksum_mismatch
│   ├── StoreFull                507 storage_full
│   ├── RedisUnavailable         503 redis_unavailable
│   ├── StoreUnavailable         503 storage_unavailable
│   ├── NotReady                 503 not_ready
│   └── InternalError            500 internal
├── JobFailure                   what ends a job as `failed`
│   ├── VideoUndecodable         video_undecodable
│   ├── VideoUnsupported         video_unsupported
│   ├── VideoTooLarge            video_too_large
│   ├── VideoTooLong             video_too_long
│   ├── ReferenceUndecodable     reference_undecodable
│   ├── ReferenceNotColor        reference_not_color
│   ├── ReferenceUnplaced        reference_unplaced
│   ├── PictureUndecodable       picture_undecodable
│   ├── StrokesUnusable          strokes_unusable
│   ├── FrameNotFound            frame_not_found
│   ├── TooManyFrames            too_many_frames
│   ├── WeightsMissing           weights_missing
│   ├── WeightsDiffer            weights_differ
│   ├── OutOfMemory              out_of_memory
│   ├── WorkerLost               worker_lost
│   ├── TimedOut                 timed_out
│   ├── StorageFull              storage_full
│   ├── StorageUnavailable       storage_unavailable
│   └── Internal                 internal
├── KeyringError                 what `retint keys` cannot do
│   ├── InvalidKeyName           invalid_key_name
│   ├── KeyNameTaken             key_name_taken
│   └── UnknownKey               unknown_key
├── ClipUnusable                 what `retint evaluate` cannot measure
├── StoreAway                    what object storage raises that cannot serve; each front end says it in its way
├── StartupError                 what keeps a process from starting: a setting, a missing program
└── JobCanceled                  control flow inside a worker, never shown
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

OF_PICTURES = "Of a sequence of pictures make a video first: docs/films.md has the commands of FFmpeg."
"""What to do where pictures are given as the film."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One offending place in a request."""

    pointer: str
    """JSON pointer into the request body, such as `#/options/tuning`."""
    detail: str


class RetintError(Exception):
    """Root of the tree; `detail` is a whole sentence for a user: what was wrong, what was expected, what to do."""

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class RequestError(RetintError):
    """An HTTP call that cannot be answered as asked."""

    status: ClassVar[int] = 400

    def __init__(self, detail: str, *, errors: Sequence[FieldError] = (), retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.errors = tuple(errors)
        self.retry_after = retry_after


class InvalidRequest(RequestError):
    code, status, title = "invalid_request", 422, "The request does not fit the API"


class TooManyReferences(RequestError):
    code, status, title = "too_many_references", 422, "More references than allowed"


class UploadIncomplete(RequestError):
    code, status, title = "upload_incomplete", 400, "The upload ended early"


class ChecksumUnsupported(RequestError):
    code, status, title = "checksum_unsupported", 400, "The checksum cannot be checked here"


class Unauthorized(RequestError):
    code, status, title = "unauthorized", 401, "The call carries no valid key"


class PayloadTooLarge(RequestError):
    code, status, title = "payload_too_large", 413, "The upload is too large"


class UnsupportedMediaType(RequestError):
    code, status, title = "unsupported_media_type", 415, "The content type is not supported"


class NotFound(RequestError):
    code, status, title = "not_found", 404, "Nothing is here"


class JobNotFound(NotFound):
    code, title = "job_not_found", "No such job"


class VariantNotFound(NotFound):
    code, title = "variant_not_found", "No such variant"


class UploadNotFound(NotFound):
    code, title = "upload_not_found", "No such upload"


class MethodNotAllowed(RequestError):
    code, status, title = "method_not_allowed", 405, "The method is not allowed here"


class JobNotFinished(RequestError):
    code, status, title = "job_not_finished", 409, "The job is not finished"


class JobAlreadyFinished(RequestError):
    code, status, title = "job_already_finished", 409, "The job is already finished"


class JobNotFailed(RequestError):
    code, status, title = "job_not_failed", 409, "The job cannot be tried again"


class UploadUnfinished(RequestError):
    code, status, title = "upload_unfinished", 409, "The upload is not finished"


class UploadOffsetMismatch(RequestError):
    code, status, title = "upload_offset_mismatch", 409, "The upload stands at another offset"


class JobExpired(RequestError):
    code, status, title = "job_expired", 410, "The job's files have expired"


class UploadExpired(RequestError):
    code, status, title = "upload_expired", 410, "The upload has expired"


class TusVersionUnsupported(RequestError):
    code, status, title = "tus_version_unsupported", 412, "The version of tus is not spoken here"


class IdempotencyKeyInUse(RequestError):
    code, status, title = "idempotency_key_in_use", 409, "A call with this key is under way"


class IdempotencyKeyReused(RequestError):
    code, status, title = "idempotency_key_reused", 422, "The key stands for another submission"


class LimitReached(RequestError):
    """A quota is used up."""

    quota: ClassVar[str]
    """Its name in the headers `RateLimit` and `RateLimit-Policy`."""

    def __init__(self, detail: str, *, limit: int, retry_after: int) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.limit = limit


class TooManyJobs(LimitReached):
    code, status, title, quota = "too_many_jobs", 429, "Too many jobs are open", "jobs"


class QueueFull(LimitReached):
    code, status, title, quota = "queue_full", 503, "Too many jobs wait", "queue"


class RangeNotSatisfiable(RequestError):
    code, status, title = "range_not_satisfiable", 416, "The range lies outside the file"


class MisdirectedRequest(RequestError):
    code, status, title = "misdirected_request", 421, "The server does not answer to that name"


class UploadLocked(RequestError):
    code, status, title = "upload_locked", 423, "Another call is writing to the upload"


class ChecksumMismatch(RequestError):
    code, status, title = "checksum_mismatch", 460, "The bytes do not have the checksum that was sent"


class StoreFull(RequestError):
    code, status, title = "storage_full", 507, "The server's storage is full"


class RedisUnavailable(RequestError):
    code, status, title = "redis_unavailable", 503, "The job queue cannot be reached"


class StoreUnavailable(RequestError):
    code, status, title = "storage_unavailable", 503, "The storage cannot be reached"


class NotReady(RequestError):
    code, status, title = "not_ready", 503, "The service cannot take jobs now"


class InternalError(RequestError):
    code, status, title = "internal", 500, "Something went wrong on the server"


class JobFailure(RetintError):
    """Ends a job as `failed`; `code` and `detail` are what the job's `error` shows."""


class VideoUndecodable(JobFailure):
    code, title = "video_undecodable", "The video cannot be decoded"


class VideoUnsupported(JobFailure):
    code, title = "video_unsupported", "The video's format is not supported"


class VideoTooLarge(JobFailure):
    code, title = "video_too_large", "The video's picture is too large"


class VideoTooLong(JobFailure):
    code, title = "video_too_long", "The video is too long"


class ReferenceUndecodable(JobFailure):
    code, title = "reference_undecodable", "A reference cannot be decoded"


class ReferenceNotColor(JobFailure):
    code, title = "reference_not_color", "A reference has no color"


class ReferenceUnplaced(JobFailure):
    code, title = "reference_unplaced", "A reference matches no frame of the video"


class PictureUndecodable(JobFailure):
    code, title = "picture_undecodable", "The picture to color cannot be decoded"


class StrokesUnusable(JobFailure):
    code, title = "strokes_unusable", "The strokes cannot be used"


class FrameNotFound(JobFailure):
    code, title = "frame_not_found", "The video has no such frame"


class TooManyFrames(JobFailure):
    code, title = "too_many_frames", "More frames to color than one search finds"


class WeightsMissing(JobFailure):
    code, title = "weights_missing", "The model's weights are not installed"


class WeightsDiffer(JobFailure):
    code, title = "weights_differ", "The workers have different weights"


class OutOfMemory(JobFailure):
    code, title = "out_of_memory", "The video does not fit the device's memory"


class WorkerLost(JobFailure):
    code, title = "worker_lost", "The worker died"


class TimedOut(JobFailure):
    code, title = "timed_out", "The job took too long"


class StorageFull(JobFailure):
    code, title = "storage_full", "The storage is full"


class StorageUnavailable(JobFailure):
    code, title = "storage_unavailable", "The storage cannot be reached"


class Internal(JobFailure):
    code, title = "internal", "Something went wrong inside the worker"


class KeyringError(RetintError):
    """A key cannot be made or taken back as asked."""


class InvalidKeyName(KeyringError):
    code, title = "invalid_key_name", "No key can have that name"


class KeyNameTaken(KeyringError):
    code, title = "key_name_taken", "There is a key of that name"


class UnknownKey(KeyringError):
    code, title = "unknown_key", "There is no such key"


class ClipUnusable(RetintError):
    """A path given to `retint evaluate` holds no clip, or one from which nothing can be measured."""

    code, title = "clip_unusable", "The clip cannot be measured"


class StoreAway(RetintError):
    """Object storage does not answer, refuses, or lacks the bucket, also after every try; `detail` says it to those
    who run the service."""

    code, title = "storage_unavailable", "The storage cannot be reached"


class StartupError(RetintError):
    """Keeps a process from starting; `detail` says which setting or program it wants."""

    code, title = "startup", "The service cannot start"


class JobCanceled(RetintError):
    """Raised inside a worker when the job is no longer its own; never shown to a user."""

    code, title = "canceled", "The job was canceled"
