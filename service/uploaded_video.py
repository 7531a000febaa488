"""The part `video_upload`: a finished resumable upload in place of a file."""

from jobs.errors import FieldError, InvalidRequest, UploadExpired, UploadNotFound, UploadUnfinished
from jobs.resumable import ResumableUploads

POINTER = "#/video_upload"


def take_uploaded_video(upload_id: str, *, uploads: ResumableUploads, viewer: str | None, job_id: str) -> str | None:
    """Make a finished upload the input video of a job or a request for keyframes, whose folder is there; returns the
    file's name, None where the upload gave none. The upload stays as it is, for others to use, until it expires.

    Raises:
        InvalidRequest: the viewer has no such upload, or it is empty.
        UploadUnfinished: bytes of it are still to come.
        OSError: with `errno.ENOSPC` where it had to be copied and the disk is full.
    """
    try:
        upload = uploads.give(upload_id, job_id, viewer=viewer)
    except (UploadNotFound, UploadExpired) as error:
        raise InvalidRequest(error.detail, errors=[FieldError(POINTER, error.detail)]) from error
    except UploadUnfinished as error:
        raise UploadUnfinished(error.detail, errors=[FieldError(POINTER, error.detail)]) from error
    if upload.info.length == 0:
        detail = f"The upload {upload_id} is empty; send a file that is not."
        raise InvalidRequest(detail, errors=[FieldError(POINTER, detail)])
    return upload.info.filename
