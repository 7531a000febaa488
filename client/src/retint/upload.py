"""The multipart form of a new job, read from disk as it is sent."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

import httpx

from retint.errors import FileUnreadable
from retint.local_files import reading

UploadProgress = Callable[[int, int], None]
"""Called with the bytes sent and the bytes in all."""


PIECE_BYTES = 1024 * 1024
"""httpx makes pieces of a line or 64 KiB; each of them would be a trip to a thread and back."""


class Upload:
    """A context manager that holds the files open. Iterate it for the form's bytes; each loop starts anew.

    Options come first, so that the server can refuse before the video is sent.
    """

    def __init__(
        self,
        video: Path,
        references: Sequence[Path],
        *,
        options: Mapping[str, Any] | None,
        on_upload: UploadProgress | None,
    ) -> None:
        self._paths = [("video", video), *(("references", path) for path in references)]
        self._options = {"options": json.dumps(options)} if options else {}
        self._on_upload = on_upload
        self._files = ExitStack()
        self._sent = 0
        self._form: httpx.Request

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Raises:
        FileUnreadable: a file is not there or may not be read.
        """
        with ExitStack() as opened:
            files = [(name, (path.name, opened.enter_context(_Source(path)))) for name, path in self._paths]
            # A request that is never sent: httpx makes the form with its headers, and reads the files when asked to.
            self._form = httpx.Request("POST", "http://form", data=self._options, files=cast(Any, files))
            self._files = opened.pop_all()

    def close(self) -> None:
        self._files.close()

    @property
    def headers(self) -> dict[str, str]:
        return {name: self._form.headers[name] for name in ("Content-Type", "Content-Length")}

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces():
            yield piece
            self.passed(piece)

    def pieces(self) -> Iterator[bytes]:
        """The form's bytes from the start, without telling how far they are.

        Raises:
            FileUnreadable: a file can be read no further.
        """
        self._sent = 0
        gathered = bytearray()
        for piece in cast(httpx.SyncByteStream, self._form.stream):
            gathered += piece
            if len(gathered) >= PIECE_BYTES:
                yield bytes(gathered)
                gathered.clear()
        yield bytes(gathered)

    def passed(self, piece: bytes) -> None:
        """Tell that `piece` was sent."""
        self._sent += len(piece)
        if self._on_upload is not None:
            self._on_upload(self._sent, int(self._form.headers["Content-Length"]))


class _Source:
    """A file as httpx wants it: exactly as long as it was when it was opened, since the form's length is told first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with reading(path):
            self._file: IO[bytes] = path.open("rb")
            self._size = self._left = os.fstat(self._file.fileno()).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, size: int) -> bytes:
        with reading(self._path):
            data = self._file.read(min(size, self._left))
        if self._left and not data:
            raise FileUnreadable(f"{self._path} became shorter while it was sent.", path=self._path)
        self._left -= len(data)
        return data

    def seek(self, offset: int) -> int:
        self._left = self._size - offset
        return self._file.seek(offset)

    def fileno(self) -> int:
        """httpx asks the file's size through it, for `Content-Length`."""
        return self._file.fileno()
