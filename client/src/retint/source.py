"""A file of this machine that is sent: as long as it was when it was opened, since its length is told first."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from retint.errors import FileUnreadable
from retint.local_files import reading

PIECE_BYTES = 256 * 1024
"""Read and sent at once: beside an event loop each piece is a trip to a thread and back."""


class Source:
    """Holds the file open until it is closed.

    Raises:
        FileUnreadable: in every step, where the file is not there, cannot be read, or became shorter.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with reading(path):
            self._file: IO[bytes] = path.open("rb")
            self.length = self._length_now()

    def close(self) -> None:
        self._file.close()

    def require_unchanged(self) -> None:
        """Raises:
        FileUnreadable: the file has another length than when it was opened.
        """
        with reading(self.path):
            length = self._length_now()
        if length != self.length:
            detail = f"{self.path} changed while it was sent: it had {self.length} bytes and has {length} now."
            raise FileUnreadable(detail, path=self.path)

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` up to `stop`."""
        while start < stop:
            with reading(self.path):
                self._file.seek(start)
                piece = self._file.read(min(PIECE_BYTES, stop - start))
            if not piece:
                raise FileUnreadable(f"{self.path} became shorter while it was sent.", path=self.path)
            start += len(piece)
            yield piece

    def sha256(self, start: int, stop: int) -> bytes:
        """Of the bytes from `start` up to `stop`."""
        found = hashlib.sha256()
        for piece in self.pieces(start, stop):
            found.update(piece)
        return found.digest()

    def _length_now(self) -> int:
        return os.fstat(self._file.fileno()).st_size
