"""The multipart form of a new job, read from disk as it is sent."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

UploadProgress = Callable[[int, int], None]
"""Called with the bytes sent and the bytes in all."""


class _Meter:
    """Counts what is read from the files of one upload."""

    def __init__(self, *, total: int, on_upload: UploadProgress | None) -> None:
        self._total = total
        self._sent = 0
        self._on_upload = on_upload

    def add(self, count: int) -> None:
        self._sent += count
        if self._on_upload is not None:
            self._on_upload(self._sent, self._total)


class _MeteredFile:
    """An open file that tells a meter how much of it was read; httpx reads it in pieces of 64 KiB."""

    def __init__(self, file: IO[bytes], *, meter: _Meter) -> None:
        self._file = file
        self._meter = meter

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._meter.add(len(data))
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def fileno(self) -> int:
        """httpx asks the file's size through it, for `Content-Length`."""
        return self._file.fileno()


@dataclass(frozen=True, slots=True)
class Form:
    """Arguments of an httpx request."""

    data: dict[str, str]
    files: list[tuple[str, tuple[str, Any]]]


@contextmanager
def open_form(
    video: Path,
    references: Sequence[Path],
    *,
    options: Mapping[str, Any] | None,
    on_upload: UploadProgress | None,
) -> Iterator[Form]:
    """The form with its files open; options come first, so that the server can refuse before the video is sent.

    Raises:
        OSError: a file cannot be opened.
    """
    parts = [("video", Path(video)), *(("references", Path(path)) for path in references)]
    with ExitStack() as stack:
        opened = [(name, path.name, stack.enter_context(path.open("rb"))) for name, path in parts]
        total = sum(path.stat().st_size for _, path in parts)
        meter = _Meter(total=total, on_upload=on_upload)
        yield Form(
            data={"options": json.dumps(options)} if options else {},
            files=[(name, (filename, _MeteredFile(file, meter=meter))) for name, filename, file in opened],
        )
