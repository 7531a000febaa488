"""Adds to an upload in a folder: holds its lock until closed."""

import os
import threading
from io import FileIO
from pathlib import Path

from jobs.checksum import Checksum, RunningChecksum
from jobs.errors import ChecksumMismatch
from jobs.resumable import too_many_bytes
from jobs.upload_marks import UploadMarks


class FileUploadWriter:
    """An `UploadWriter` that appends to the locked, open `data` of an upload. A whole upload is flushed to the disk."""

    def __init__(self, file: FileIO, *, folder: Path, length: int) -> None:
        self._lock = threading.Lock()
        self._file = file
        self._marks = UploadMarks(folder)
        self.length = length
        self._unverified: RunningChecksum | None = None
        # What was waiting for its checksum when the process died was never said to be kept.
        unverified = self._marks.unverified_from()
        if unverified is not None:
            file.truncate(min(unverified, file.seek(0, os.SEEK_END)))
            self._marks.clear_unverified()
        self._start = self._offset = file.seek(0, os.SEEK_END)
        self._marks.clear_wanted()

    @property
    def offset(self) -> int:
        return self._offset

    @property
    def bytes_left(self) -> int:
        return self.length - self._offset

    def expect(self, checksum: Checksum) -> None:
        self._marks.set_unverified_from(self._offset)
        self._unverified = RunningChecksum(checksum)

    def write(self, chunk: bytes) -> None:
        with self._lock:
            if self._file.closed:
                return
            if len(chunk) > self.bytes_left:
                raise too_many_bytes(self.length)
            left = memoryview(chunk)
            while left:
                written = self._file.write(left)
                self._offset += written
                if self._unverified is not None:
                    self._unverified.add(left[:written])
                left = left[written:]

    def finish(self) -> None:
        with self._lock:
            if self._unverified is None or self._file.closed:
                return
            if not self._unverified.matches():
                raise ChecksumMismatch(
                    f"The {self._offset - self._start:,} bytes of this call do not have the "
                    f"{self._unverified.expected.algorithm} checksum that `Upload-Checksum` gives, so none of them was "
                    f"kept. Send them again, from offset {self._start} on."
                )
            self._unverified = None
            self._marks.clear_unverified()

    def is_wanted(self) -> bool:
        return self._marks.is_wanted()

    def close(self) -> None:
        with self._lock:
            if self._file.closed:
                return
            with self._file:
                if self._unverified is not None:
                    self._file.truncate(self._start)
                    self._offset = self._start
                    self._marks.clear_unverified()
                if self._offset == self.length:
                    os.fsync(self._file.fileno())
