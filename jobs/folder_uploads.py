"""Resumable uploads in the folder of a store.

    uploads/{id}/info.json     written once, as the last step of making it: without it there is no upload
    uploads/{id}/data          what has come: its size is the offset, its last change starts the time to its expiry,
                               and whoever writes holds a lock on it; gone once expired, so that a late caller can be
                               told
    uploads/{id}/unverified    the offset from which on `data` waits for its checksum
    uploads/{id}/wanted        somebody waits for the lock

Finished data is never changed again: jobs share it by hard links.
"""

import fcntl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from io import FileIO
from pathlib import Path

from jobs.errors import UploadNotFound
from jobs.file_lock import is_at
from jobs.file_upload_writer import FileUploadWriter
from jobs.folder_store import FolderStore
from jobs.identifiers import checked_upload_id, new_upload_id, upload_not_found
from jobs.linking import link_or_copy
from jobs.resumable import TOLD_FOR, ResumableUpload, UploadInfo, locked, require_finished, upload_expired
from jobs.upload_marks import UploadMarks
from jobs.whole_file import write_whole

HALF_MADE_AGE = timedelta(hours=1)
"""A folder without `info.json` that is older was left by a process that died."""


class FolderUploads:
    """See `jobs.resumable.ResumableUploads`."""

    def __init__(self, store: FolderStore, *, expiry_seconds: float) -> None:
        self._store = store
        self._folder = store.folder / "uploads"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._expiry = timedelta(seconds=expiry_seconds)

    def create(self, info: UploadInfo) -> ResumableUpload:
        upload_id = new_upload_id()
        folder = self._folder / upload_id
        folder.mkdir()
        (folder / "data").touch()
        write_whole(folder / "info.json", info.model_dump_json())
        return self.look(upload_id, viewer=None)

    def look(self, upload_id: str, *, viewer: str | None) -> ResumableUpload:
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
            raise upload_expired(upload_id) from None
        expires_at = datetime.fromtimestamp(data.st_mtime, UTC) + self._expiry
        if expires_at <= datetime.now(UTC):
            raise upload_expired(upload_id)
        unverified.append(marks.unverified_from())
        offset = min([data.st_size, *(mark for mark in unverified if mark is not None)])
        return ResumableUpload(upload_id, info, offset=offset, expires_at=expires_at)

    def claim(self, upload_id: str, *, viewer: str | None) -> FileUploadWriter:
        upload = self.look(upload_id, viewer=viewer)
        folder = self._path(upload_id)
        try:
            file = _lock(folder / "data")
        except BlockingIOError:
            raise locked(upload_id) from None
        if file is None:  # deleted or expired meanwhile
            self.look(upload_id, viewer=viewer)
            raise upload_not_found(upload_id)
        try:
            return FileUploadWriter(file, folder=folder, length=upload.info.length)
        except BaseException:
            file.close()
            raise

    def ask_for(self, upload_id: str) -> None:
        UploadMarks(self._path(upload_id)).set_wanted()

    def give(self, upload_id: str, job_id: str, *, viewer: str | None) -> ResumableUpload:
        upload = self.look(upload_id, viewer=viewer)
        require_finished(upload)
        data = self._path(upload_id) / "data"
        try:
            link_or_copy(data, self._store.input_video(job_id))
        except FileNotFoundError:
            raise upload_expired(upload_id) from None
        return upload

    def delete(self, upload_id: str) -> None:
        self._store.trash.discard(self._path(upload_id))

    def sweep(self, now: datetime) -> None:
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
                self._store.trash.discard(folder)
        elif not data.exists():
            if age > TOLD_FOR:
                self._store.trash.discard(folder)
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


def _read_info(folder: Path) -> UploadInfo | None:
    try:
        return UploadInfo.model_validate_json((folder / "info.json").read_bytes())
    except FileNotFoundError:
        return None


def _changed_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
