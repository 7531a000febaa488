"""The part `video_of`: the video of an earlier job, or search for keyframes, in place of a file."""

from jobs.errors import FieldError, InvalidRequest, JobExpired, JobNotFound
from jobs.record import Coloring
from jobs.repository import JobRepository
from jobs.store import Store

POINTER = "#/video_of"


def take_kept_video(
    record_id: str,
    *,
    repository: JobRepository,
    viewer: str | None,
    store: Store,
    job_id: str,
    pointer: str,
) -> str | None:
    """Make the video of the record `record_id` that of `job_id` too, whose folder is there; returns its file name, None
    where it has none. `pointer` leads to where the request names the record.

    Raises:
        InvalidRequest: the viewer has no such record, or it has no video, or one that is not kept.
        OSError: with `errno.ENOSPC` where it had to be copied and the disk is full.
    """
    try:
        record = repository.get_record(record_id, viewer=viewer)
        if isinstance(record, Coloring):
            raise _refused(f"{record_id[:64]} is a coloring and has no video. Name a job or a search.", pointer)
        store.share_input_video(record_id, with_job=job_id)
    except (JobNotFound, JobExpired) as error:
        raise _refused(error.detail, pointer) from error
    except FileNotFoundError as error:
        raise _refused(f"The video of {record_id[:64]} is not kept any more. Send it again.", pointer) from error
    return record.filename


def _refused(detail: str, pointer: str) -> InvalidRequest:
    return InvalidRequest(detail, errors=[FieldError(pointer, detail)])
