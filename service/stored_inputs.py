"""What is here already of a submission's input: a finished upload, or what an earlier job has kept."""

from collections.abc import Sequence

from jobs.options import JobOptions
from jobs.repository import JobRepository
from jobs.resumable import ResumableUploads
from jobs.store import Store
from service.kept_video import POINTER as VIDEO_POINTER
from service.kept_video import take_kept_video
from service.reusing import POINTER as REUSE_POINTER
from service.reusing import Kept, KeptReference, kept_references, share_references
from service.uploaded_video import take_uploaded_video


class StoredInputs:
    """Makes what `viewer` has in the store the input of `job_id` too, whose folder is there."""

    def __init__(
        self, *, store: Store, uploads: ResumableUploads, repository: JobRepository, viewer: str | None, job_id: str
    ) -> None:
        self._store = store
        self._uploads = uploads
        self._repository = repository
        self._viewer = viewer
        self._job_id = job_id

    def take_video(self, part: str, video_id: str) -> str | None:
        """The video that the part `video_upload` or `video_of` names; returns its file name, None where it has none.

        Raises:
            InvalidRequest, UploadUnfinished, OSError: see `take_uploaded_video` and `take_kept_video`.
        """
        if part == "video_of":
            return self._take_kept(video_id, pointer=VIDEO_POINTER)
        return take_uploaded_video(video_id, uploads=self._uploads, viewer=self._viewer, job_id=self._job_id)

    def kept_references(self, options: JobOptions, sent: Sequence[str]) -> Kept:
        """See `service.reusing.kept_references`."""
        return kept_references(options, sent, repository=self._repository, viewer=self._viewer)

    def reuse(self, earlier: str, references: Sequence[KeptReference], *, behind: int, with_video: bool) -> str | None:
        """Take `references` of the job `earlier`, behind the first `behind`, and its video where that was not sent;
        returns the video's file name then, None where it has none.

        Raises:
            InvalidRequest, OSError: see `share_references` and `take_kept_video`.
        """
        name = self._take_kept(earlier, pointer=REUSE_POINTER) if with_video else None
        share_references(references, of=earlier, store=self._store, with_job=self._job_id, behind=behind)
        return name

    def _take_kept(self, record_id: str, *, pointer: str) -> str | None:
        return take_kept_video(
            record_id,
            repository=self._repository,
            viewer=self._viewer,
            store=self._store,
            job_id=self._job_id,
            pointer=pointer,
        )
