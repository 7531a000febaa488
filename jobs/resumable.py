"""Uploads that may be interrupted and go on; they belong to no job until one takes them.

Nothing is held in memory, so that any process can go on where another one stopped.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from jobs.checksum import Checksum
from jobs.errors import PayloadTooLarge, UploadExpired, UploadLocked, UploadUnfinished
from jobs.options import StrictModel

TOLD_FOR = timedelta(days=1)
"""How long after its expiry an upload answers that it has expired, before it was never there."""


class UploadInfo(StrictModel):
    """What is said of an upload when it is made."""

    owner: str
    """Id of the API key that made it; empty where keys are not asked for."""
    length: int
    """Bytes that it will have."""
    filename: str | None
    """A name to show, never a path."""
    metadata: str
    """The tus header `Upload-Metadata`, as it came."""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ResumableUpload:
    """An upload as it stands."""

    id: str
    info: UploadInfo
    offset: int
    """Bytes that are here and kept."""
    expires_at: datetime

    @property
    def finished(self) -> bool:
        return self.offset == self.info.length


class UploadWriter(Protocol):
    """The one who may add to an upload: holds it until closed.

    A canceled request no longer waits for its thread, so `close` may come from a second one: it waits for the write
    under way, and no write follows it.
    """

    length: int

    @property
    def offset(self) -> int:
        """Bytes that the upload has."""

    @property
    def bytes_left(self) -> int: ...

    def expect(self, checksum: Checksum) -> None:
        """Keep what is written from here on only if `finish` finds that it adds up to `checksum`."""

    def write(self, chunk: bytes) -> None:
        """Append `chunk`.

        Raises:
            PayloadTooLarge: it goes beyond the upload's length; nothing of it is written.
            UploadLocked: another one has become the one who may write.
            OSError: with `errno.ENOSPC` where the disk is full; as much as fits is written.
        """

    def finish(self) -> None:
        """The bytes were all that were meant to come.

        Raises:
            ChecksumMismatch: they do not add up; none of them is kept.
        """

    def is_wanted(self) -> bool:
        """Whether somebody else waits for the upload: its client may have come back on another connection."""

    def close(self) -> None:
        """Let others write; bytes that wait for their checksum go, and what was written is safe."""


class ResumableUploads(Protocol):
    """The uploads of a store.

    `viewer` is the id of the caller's API key; None sees every upload. Another owner's upload is not found.
    """

    def create(self, info: UploadInfo) -> ResumableUpload:
        """Make an empty upload."""

    def look(self, upload_id: str, *, viewer: str | None) -> ResumableUpload:
        """Raises:
        UploadNotFound, UploadExpired
        """

    def claim(self, upload_id: str, *, viewer: str | None) -> UploadWriter:
        """Become the one who may write; the caller closes the writer.

        Raises:
            UploadNotFound, UploadExpired
            UploadLocked: somebody else is it.
        """

    def ask_for(self, upload_id: str) -> None:
        """Let whoever writes to the upload know that somebody waits for it."""

    def give(self, upload_id: str, job_id: str, *, viewer: str | None) -> ResumableUpload:
        """Make a finished upload the input video of a job, which has been created. The upload stays as it is.

        Raises:
            UploadNotFound, UploadExpired
            UploadUnfinished: bytes of it are still to come.
            OSError: with `errno.ENOSPC` where it had to be copied and the disk is full.
        """

    def delete(self, upload_id: str) -> None:
        """Remove everything; whoever does so has claimed it."""

    def sweep(self, now: datetime) -> None:
        """Remove what has expired, and what processes that died left behind."""


def locked(upload_id: str) -> UploadLocked:
    return UploadLocked(
        f"Another call is writing to {upload_id} and did not let go of it. Try again in a few seconds.", retry_after=2
    )


def require_finished(upload: ResumableUpload) -> None:
    """Raises `UploadUnfinished` where bytes are still to come."""
    if not upload.finished:
        raise UploadUnfinished(
            f"The upload {upload.id} has {upload.offset:,} of its {upload.info.length:,} bytes. Send the rest first, "
            "from that offset on."
        )


def upload_expired(upload_id: str) -> UploadExpired:
    return UploadExpired(
        f"The upload {upload_id} has expired: too long a time went by after its last byte, and its bytes are gone. "
        "Make a new one with POST /v1/uploads."
    )


def too_many_bytes(length: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"The upload is {length:,} bytes long, as `Upload-Length` said when it was made, and these bytes go beyond. "
        "Ask for its offset with HEAD and send the rest, or make a new upload with the right length."
    )
