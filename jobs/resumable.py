"""Uploads that may be interrupted and go on; they belong to no job until one links to them.

    uploads/{id}/info.json     written once, as the last step of making it: without it there is no upload
    uploads/{id}/data          what has come: its size is the offset, its last change starts the time to its expiry,
                               and whoever writes holds a lock on it; gone once expired, so that a late caller can be
                               told
    uploads/{id}/unverified    the offset from which on `data` waits for its checksum
    uploads/{id}/wanted        somebody waits for the lock

Nothing is held in memory, so that any process can go on where another one stopped. Finished data is never changed
again: jobs share it by hard links.
"""

import errno
import fcntl
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import FileIO
from pathlib import Path

from jobs.errors import UploadExpired, UploadLocked, UploadNotFound, UploadUnfinished
from jobs.file_lock import is_at
from jobs.identifiers import checked_upload_id, new_upload_id, upload_not_found
from jobs.options import StrictModel
from jobs.trash import Trash
from jobs.upload_marks import UploadMarks
from jobs.upload_writer import UploadWriter
from jobs.whole_file import write_whole

TOLD_FOR = timedelta(days=1)
"""How long after its expiry an upload answers that it has expired, before it was never there."""
HALF_MADE_AGE = timedelta(hours=1)
"""A folder without `info.json` that is older was left by a process that died."""
CANNOT_LINK = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)


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


class UploadFolder:
    """The uploads of a store, in a folder of a file system that all processes share.

    `viewer` is the id of the caller's API key; None sees every upload. Another owner's upload is not found.
    """

    def __init__(self, store_folder: Path, *, expiry_seconds: float) -> None:
        self._folder = store_folder.absolute() / "uploads"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._trash = Trash(store_folder.absolute() / "trash")
        self._expiry = timedelta(seconds=expiry_seconds)

    def create(self, info: UploadInfo) -> ResumableUpload:
        """Make an empty upload."""
        upload_id = new_upload_id()
        folder = self._folder / upload_id
        folder.mkdir()
        (folder / "data").touch()
        write_whole(folder / "info.json", info.model_dump_json())
        return self.look(upload_id, viewer=None)

    def look(self, upload_id: str, *, viewer: str | None) -> ResumableUpload:
        """Raises:
        UploadNotFound, UploadExpired
        """
        folder = self._path(upload_id)
        info = _read_info(folder)
        if info is None or (viewer is not None and viewer != info.owner):
            raise upload_not_found(upload_id)
        marks = UploadMarks(folder)
        # Before and after, as a writer may set the mark or clear it meanwhile.
        unverified = [marks.unverified_from()]
        try:
            data = (folder / "data").stat()
        except FileNotFoundError:
            raise _expired(upload_id) from None
        expires_at = datetime.fromtimestamp(data.st_mtime, UTC) + self._expiry
        if expires_at <= datetime.now(UTC):
            raise _expired(upload_id)
        unverified.append(marks.unverified_from())
        offset = min([data.st_size, *(mark for mark in unverified if mark is not None)])
        return ResumableUpload(upload_id, info, offset=offset, expires_at=expires_at)

    def claim(self, upload_id: str, *, viewer: str | None) -> UploadWriter:
        """Become the one who may write; the caller closes the writer.

        Raises:
            UploadNotFound, UploadExpired
            UploadLocked: somebody else is it.
        """
        upload = self.look(upload_id, viewer=viewer)
        folder = self._path(upload_id)
        try:
            file = _lock(folder / "data")
        except BlockingIOError:
            raise UploadLocked(
                f"Another call is writing to {upload_id} and did not let go of it. Try again in a few seconds.",
                retry_after=2,
            ) from None
        if file is None:  # deleted or expired meanwhile
            self.look(upload_id, viewer=viewer)
            raise upload_not_found(upload_id)
        try:
            return UploadWriter(file, folder=folder, length=upload.info.length)
        except BaseException:
            file.close()
            raise

    def ask_for(self, upload_id: str) -> None:
        """Let whoever writes to the upload know that somebody waits for it."""
        UploadMarks(self._path(upload_id)).set_wanted()

    def link(self, upload_id: str, target: Path, *, viewer: str | None) -> ResumableUpload:
        """Make a finished upload's data appear at `target`, which costs no space where the file system has hard links.

        Raises:
            UploadNotFound, UploadExpired
            UploadUnfinished: bytes of it are still to come.
            OSError: with `errno.ENOSPC` where it had to be copied and the disk is full.
        """
        upload = self.look(upload_id, viewer=viewer)
        if not upload.finished:
            raise UploadUnfinished(
                f"The upload {upload_id} has {upload.offset:,} of its {upload.info.length:,} bytes. Send the rest "
                "first, from that offset on."
            )
        data = self._path(upload_id) / "data"
        try:
            _link_or_copy(data, target)
        except FileNotFoundError:
            raise _expired(upload_id) from None
        return upload

    def delete(self, upload_id: str) -> None:
        """Remove everything; whoever does so has claimed it."""
        self._trash.discard(self._path(upload_id))

    def sweep(self, now: datetime) -> None:
        """Remove what has expired, and what processes that died left behind."""
        for folder in self._folder.iterdir():
            try:
                checked_upload_id(folder.name)
            except UploadNotFound:
                # No name of ours: somebody else's folder, which is not ours to remove.
                continue
            with suppress(FileNotFoundError):  # another process may sweep at the same time
                self._sweep(folder, now)

    def _sweep(self, folder: Path, now: datetime) -> None:
        age = now - _changed_at(folder)
        data = folder / "data"
        if not (folder / "info.json").exists():
            if age > HALF_MADE_AGE:
                self._trash.discard(folder)
        elif not data.exists():
            if age > TOLD_FOR:
                self._trash.discard(folder)
        elif now - _changed_at(data) >= self._expiry:
            self._expire(data, now)

    def _expire(self, data: Path, now: datetime) -> None:
        try:
            file = _lock(data)
        except BlockingIOError:
            return
        if file is not None:
            with file:
                # It may have grown between the look and the lock.
                if now - _changed_at(data) >= self._expiry:
                    data.unlink()

    def _path(self, upload_id: str) -> Path:
        return self._folder / checked_upload_id(upload_id)


def _lock(data: Path) -> FileIO | None:
    """Open `data` and hold it to oneself until it is closed; None where it is gone.

    Raises:
        BlockingIOError: somebody else holds it.
    """
    try:
        file = data.open("r+b", buffering=0)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        file.close()
        raise
    if is_at(file, data):
        return file
    file.close()
    return None


def _link_or_copy(data: Path, target: Path) -> None:
    try:
        os.link(data, target)
    except OSError as error:
        if error.errno not in CANNOT_LINK:
            raise
        partial = target.with_name(f".{target.name}.part")
        try:
            shutil.copyfile(data, partial)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        partial.replace(target)


def _read_info(folder: Path) -> UploadInfo | None:
    try:
        return UploadInfo.model_validate_json((folder / "info.json").read_bytes())
    except FileNotFoundError:
        return None


def _changed_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _expired(upload_id: str) -> UploadExpired:
    return UploadExpired(
        f"The upload {upload_id} has expired: too long a time went by after its last byte, and its bytes are gone. "
        "Make a new one with POST /v1/uploads."
    )
