"""Where a job's files live: its input, the work folders of its executions, its results.

    jobs/{id}/input/video, input/references/0000, ...    written once, visible only when whole
    jobs/{id}/executions/{execution}/                    one execution's own; nobody else looks inside
    jobs/{id}/results/video.mp4, report.json, ...        appears at once, whole
    uploads/{id}/                                        resumable uploads: jobs/resumable.py
    trash/                                               on its way out

Names that users gave are kept in the job's record and are never part of a path.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self
from uuid import uuid4

from jobs.errors import StartupError, VariantNotFound
from jobs.file_lock import is_at
from jobs.identifiers import checked_job_id
from jobs.options import ResultName
from jobs.settings import Settings
from jobs.trash import Trash

InputKind = Literal["video", "reference"]


class InputWriter:
    """Takes one uploaded file in chunks. It becomes visible on `close`, flushed to the disk; `abort` leaves nothing.

    As a context manager it closes, or aborts where an exception passes through.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f".{path.name}.{uuid4().hex}.part")
        self._file: IO[bytes] | None = self._partial.open("wb")
        self.bytes_written = 0

    def write(self, chunk: bytes) -> int:
        """Raises `OSError` with `errno.ENOSPC` where the disk is full."""
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
    """Files of jobs, in a folder of a file system that all processes share.

    Every `job_id` may come from outside: a malformed one raises `JobNotFound`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._jobs = self._folder / "jobs"
        self._trash = Trash(self._folder / "trash")
        self._jobs.mkdir(parents=True, exist_ok=True)

    def create(self, job_id: str) -> None:
        """Make room for a new job; raises `FileExistsError` where there is one."""
        folder = self._job(job_id)
        folder.mkdir()
        (folder / "input" / "references").mkdir(parents=True)
        (folder / "executions").mkdir()

    def open_input_writer(self, job_id: str, kind: InputKind, index: int = 0) -> InputWriter:
        folder = self._job(job_id) / "input"
        return InputWriter(folder / "video" if kind == "video" else folder / "references" / f"{index:04d}")

    def input_video(self, job_id: str) -> Path:
        return self._job(job_id) / "input" / "video"

    def input_references(self, job_id: str) -> list[Path]:
        """In the order of their indices."""
        folder = self._job(job_id) / "input" / "references"
        return sorted(path for path in folder.glob("*") if not path.name.startswith("."))

    def drop_input(self, job_id: str) -> None:
        self._trash.discard(self._job(job_id) / "input")

    def open_execution(self, job_id: str, execution_id: str) -> Path:
        """An empty work folder of the execution's own."""
        work = self._execution(job_id, execution_id) / "work"
        work.mkdir(parents=True)
        return work

    def finished_folder(self, job_id: str, execution_id: str) -> Path:
        """Where an execution puts `{variant}{suffix}` files for `publish`; on the same disk as its work folder."""
        folder = self._execution(job_id, execution_id) / "finished"
        folder.mkdir(exist_ok=True)
        return folder

    def publish(self, job_id: str, execution_id: str, *, owns: Callable[[], bool]) -> bool:
        """Make the execution's finished files the job's results, all at once.

        `owns` is asked while every other publisher waits: where it says no, nothing happens and the answer is False.
        """
        finished = self.finished_folder(job_id, execution_id)
        with self._publishing(job_id) as results:
            if not owns():
                return False
            # Left by an execution that died after publishing and before saying so.
            self._trash.discard(results)
            finished.rename(results)
        return True

    def discard_execution(self, job_id: str, execution_id: str) -> None:
        self._trash.discard(self._execution(job_id, execution_id))

    def has_executions(self, job_id: str) -> bool:
        """Whether an execution has a folder there."""
        try:
            with os.scandir(self._job(job_id) / "executions") as found:
                return next(found, None) is not None
        except FileNotFoundError:
            return False

    def discard_executions(self, job_id: str) -> None:
        for folder in (self._job(job_id) / "executions").glob("*"):
            self._trash.discard(folder)

    def drop_results(self, job_id: str) -> None:
        if self._job(job_id).exists():
            with self._publishing(job_id) as results:
                self._trash.discard(results)

    def variant_path(self, job_id: str, name: ResultName) -> Path:
        """Raises `VariantNotFound` where the job has no such result."""
        for path in (self._job(job_id) / "results").glob(f"{name}.*"):
            return path
        raise VariantNotFound(f"Job {job_id} has no variant {name!r}; its `variants` list those that it has.")

    def delete(self, job_id: str) -> None:
        """Remove everything; nothing happens where there is nothing."""
        self._trash.discard(self._job(job_id))

    def job_ids(self) -> Iterator[str]:
        for folder in self._jobs.iterdir():
            yield folder.name

    def last_touched(self, job_id: str) -> float:
        """Newest modification among the job's files, seconds since the epoch; 0 where there are none."""
        newest = 0.0
        for folder, _, files in os.walk(self._job(job_id)):
            for path in (Path(folder), *(Path(folder, file) for file in files)):
                try:
                    newest = max(newest, path.stat().st_mtime)
                except FileNotFoundError:
                    continue
        return newest

    def free_bytes(self) -> int:
        return shutil.disk_usage(self._folder).free

    def check_writable(self) -> None:
        """Raises `OSError` where files cannot be written."""
        probe = self._folder / f".probe-{uuid4().hex}"
        try:
            probe.write_bytes(b"1")
        finally:
            probe.unlink(missing_ok=True)

    def empty_trash(self) -> None:
        """Remove what a process that died while deleting left behind."""
        self._trash.empty()

    def _job(self, job_id: str) -> Path:
        return self._jobs / checked_job_id(job_id)

    def _execution(self, job_id: str, execution_id: str) -> Path:
        return self._job(job_id) / "executions" / checked_job_id(execution_id)

    @contextmanager
    def _publishing(self, job_id: str) -> Iterator[Path]:
        """Hold the job's results to oneself, against other processes too; the file that tells so goes with it."""
        folder = self._job(job_id)
        path = folder / ".publishing"
        while True:
            with path.open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not is_at(lock, path):
                    # Whoever held it has removed it: those who come now wait at another file.
                    continue
                try:
                    yield folder / "results"
                finally:
                    path.unlink(missing_ok=True)
                return


def open_store(settings: Settings) -> FolderStore:
    """The store that the settings name.

    Raises:
        StartupError: the settings name object storage, or a folder that cannot be made.
    """
    if settings.store is not None and "://" in settings.store:
        raise StartupError(
            f"RETINT_STORE is {settings.store.split('://')[0]}://..., and object storage is not supported yet. "
            "Set it to a folder that the API and all workers share."
        )
    try:
        return FolderStore(settings.store_folder)
    except OSError as error:
        raise StartupError(
            f"The store {settings.store_folder} cannot be made: {error.strerror}. Point RETINT_STORE at a writable one."
        ) from error
