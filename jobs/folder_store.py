"""The store in a folder of a file system that all processes share.

Beside what `jobs.store` lays out there are jobs/{id}/executions/{execution}/, where executions work, and trash/, for
what is on its way out.
"""

import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from uuid import uuid4

from jobs.errors import VariantNotFound
from jobs.identifiers import checked_job_id
from jobs.linking import link_or_copy
from jobs.store import InputFiles, InputKind, checked_kept_name, ignore, still_not_found
from jobs.trash import Trash


class FileWriter:
    """An `InputWriter` of a file, flushed to the disk before it appears."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f".{path.name}.{uuid4().hex}.part")
        self._file: IO[bytes] | None = self._partial.open("wb")
        self.bytes_written = 0

    def write(self, chunk: bytes) -> int:
        if self._file is None:
            raise ValueError("The writer is closed.")
        self._file.write(chunk)
        self.bytes_written += len(chunk)
        return len(chunk)

    def close(self) -> None:
        if self._file is None:
            return
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError:
            self.abort()
            raise
        self._file.close()
        self._file = None
        self._partial.replace(self._path)

    def abort(self) -> None:
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            file.close()
        finally:
            self._partial.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


class FolderStore:
    """See `jobs.store.Store`."""

    sweep_seconds = 15.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._jobs = self.folder / "jobs"
        self.trash = Trash(self.folder / "trash")
        self._jobs.mkdir(parents=True, exist_ok=True)

    def create(self, job_id: str) -> None:
        folder = self._job(job_id)
        folder.mkdir()
        (folder / "input" / "references").mkdir(parents=True)
        (folder / "executions").mkdir()

    def open_input_writer(self, job_id: str, kind: InputKind, index: int = 0) -> FileWriter:
        folder = self._job(job_id) / "input"
        return FileWriter(folder / "video" if kind == "video" else self._reference(job_id, index))

    def input_video(self, job_id: str) -> Path:
        return self._job(job_id) / "input" / "video"

    def input_references(self, job_id: str) -> list[Path]:
        """In the order of their indices."""
        return _visible(self._job(job_id) / "input" / "references")

    @contextmanager
    def fetch_input(self, job_id: str) -> Iterator[InputFiles]:
        video = self.input_video(job_id)
        video.stat()
        yield InputFiles(video, tuple(self.input_references(job_id)))

    def share_input_video(self, job_id: str, *, with_job: str) -> None:
        link_or_copy(self.input_video(job_id), self.input_video(with_job))

    def share_input_reference(self, job_id: str, index: int, *, with_job: str, as_index: int) -> None:
        link_or_copy(self._reference(job_id, index), self._reference(with_job, as_index))

    def drop_input(self, job_id: str) -> None:
        self.trash.discard(self._job(job_id) / "input")

    def open_execution(self, job_id: str, execution_id: str) -> Path:
        work = self._execution(job_id, execution_id)
        work.mkdir()
        return work

    def discard_execution(self, job_id: str, execution_id: str) -> None:
        self.trash.discard(self._execution(job_id, execution_id))

    def publish(
        self, job_id: str, execution_id: str, files: Iterable[Path], *, check: Callable[[], None] = ignore
    ) -> None:
        folder = self._results(job_id) / checked_job_id(execution_id)
        folder.parent.mkdir(exist_ok=True)
        folder.mkdir(exist_ok=True)
        for path in files:
            check()
            _move(path, folder / path.name)
        _flush_folder(folder)

    def find_result(self, job_id: str, execution_id: str, stem: str) -> Path:
        for path in _visible(self._results(job_id) / checked_job_id(execution_id)):
            if path.stem == stem:
                return path
        raise VariantNotFound(f"{job_id} has no file {stem!r}; its `variants` list those that it has.")

    def download_origin(self) -> None:
        return None

    def unpublish(self, job_id: str, execution_id: str) -> None:
        self.trash.discard(self._results(job_id) / checked_job_id(execution_id))

    def drop_results(self, job_id: str, *, but: str = "") -> None:
        for folder in _visible(self._results(job_id)):
            if folder.name != but:
                self.trash.discard(folder)

    def keep(self, job_id: str, name: str, path: Path) -> None:
        folder = self._job(job_id) / "kept"
        folder.mkdir(exist_ok=True)
        _move(path, folder / checked_kept_name(name))
        _flush_folder(folder)

    def kept(self, job_id: str) -> Sequence[str]:
        return [path.name for path in _visible(self._job(job_id) / "kept")]

    @contextmanager
    def fetch(
        self, job_id: str, names: Sequence[str], *, check: Callable[[], None] = ignore
    ) -> Iterator[Sequence[Path]]:
        paths = [self._job(job_id) / "kept" / checked_kept_name(name) for name in names]
        for path in paths:
            check()
            path.stat()
        yield paths

    def drop_kept(self, job_id: str, names: Sequence[str] | None = None) -> None:
        folder = self._job(job_id) / "kept"
        if names is None:
            self.trash.discard(folder)
            return
        for name in names:
            (folder / checked_kept_name(name)).unlink(missing_ok=True)

    def write_still(self, job_id: str, frame: int, picture: bytes) -> None:
        path = self._still(job_id, frame)
        path.parent.mkdir(exist_ok=True)
        partial = path.with_name(f".{path.name}.{uuid4().hex}.part")
        try:
            partial.write_bytes(picture)
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise

    def read_still(self, job_id: str, frame: int) -> bytes:
        try:
            return self._still(job_id, frame).read_bytes()
        except FileNotFoundError as error:
            raise still_not_found(job_id, frame) from error

    def delete(self, job_id: str) -> None:
        self.trash.discard(self._job(job_id))

    def has_leftovers(self, job_id: str, *, published: str) -> bool:
        folder = self._job(job_id)
        return bool(_visible(folder / "executions")) or any(
            results.name != published for results in _visible(folder / "results")
        )

    def drop_leftovers(self, job_id: str, *, published: str) -> None:
        for folder in _visible(self._job(job_id) / "executions"):
            self.trash.discard(folder)
        self.drop_results(job_id, but=published)

    def job_ids(self) -> Iterator[str]:
        for folder in self._jobs.iterdir():
            yield folder.name

    def last_touched(self, job_id: str) -> float:
        return max((found.st_mtime for found in self._stats(job_id)), default=0.0)

    def size(self, job_id: str) -> int:
        return sum(found.st_size for found in self._stats(job_id) if stat.S_ISREG(found.st_mode))

    def free_bytes(self) -> int:
        return shutil.disk_usage(self.folder).free

    def check_writable(self) -> None:
        probe = self.folder / f".probe-{uuid4().hex}"
        try:
            probe.write_bytes(b"1")
        finally:
            probe.unlink(missing_ok=True)

    def sweep(self) -> None:
        self.trash.empty()

    def tidy(self) -> None:
        """Nothing of it is on one machine alone."""

    def _stats(self, job_id: str) -> Iterator[os.stat_result]:
        """Of all files and folders of a job, but of what goes while it is looked at."""
        for folder, _, files in os.walk(self._job(job_id)):
            for path in (Path(folder), *(Path(folder, file) for file in files)):
                with suppress(FileNotFoundError):
                    yield path.stat()

    def _job(self, job_id: str) -> Path:
        return self._jobs / checked_job_id(job_id)

    def _still(self, job_id: str, frame: int) -> Path:
        return self._job(job_id) / "stills" / f"{frame}.jpg"

    def _reference(self, job_id: str, index: int) -> Path:
        return self._job(job_id) / "input" / "references" / f"{index:04d}"

    def _results(self, job_id: str) -> Path:
        return self._job(job_id) / "results"

    def _execution(self, job_id: str, execution_id: str) -> Path:
        return self._job(job_id) / "executions" / checked_job_id(execution_id)


def _visible(folder: Path) -> list[Path]:
    """What is in a folder, sorted, without what is half written; nothing where there is none."""
    return sorted(path for path in folder.glob("*") if not path.name.startswith("."))


def _move(path: Path, target: Path) -> None:
    """Put a file in its place, whole, and safe on the disk before it is there."""
    with path.open("rb") as content:
        os.fsync(content.fileno())
    if path.stat().st_dev == target.parent.stat().st_dev:
        path.replace(target)
        return
    with path.open("rb") as content, FileWriter(target) as writer:
        while chunk := content.read(8 * 1024**2):
            writer.write(chunk)
    path.unlink()


def _flush_folder(folder: Path) -> None:
    """Make the names in a folder outlive a crash of the machine."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
