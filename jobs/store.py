"""Where a job's files live, in a folder or in object storage; both lay them out alike.

    jobs/{id}/input/video, input/references/0000, ...    written once, visible only when whole
    jobs/{id}/results/{execution}/video.mp4, ...         what an execution published
    jobs/{id}/kept/{name}                                what one execution leaves to the next ones
    jobs/{id}/stills/120.jpg, ...                        small pictures of frames, each once it is made
    uploads/{id}/                                        resumable uploads: jobs/resumable.py

Exactly one execution publishes, and the record in Redis is the fence. Each execution writes its results under its own
name, so that no two ever touch the same file, however late one of them wakes up. Results count only once the record
names the execution they are of, which is one step in Redis (`JobRepository.finish`) and refused to an execution that
does not own the job any more. What is there under other names belongs to executions that died or lost the job: nobody
can see it, and it is removed by whoever comes by next. The files need no lock and no order for that, so that a folder,
whose processes share a disk, and object storage, which has neither locks nor renames, do the same.

Names that users gave are kept in the job's record and are never part of a path.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

from jobs.errors import VariantNotFound

InputKind = Literal["video", "reference"]

_KEPT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class InputWriter(Protocol):
    """Takes one uploaded file in chunks. It becomes visible, and safe, on `close`; `abort` leaves nothing.

    As a context manager it closes, or aborts where an exception passes through.
    """

    bytes_written: int

    def write(self, chunk: bytes) -> int:
        """Raises `OSError` with `errno.ENOSPC` where the store is full."""

    def close(self) -> None: ...

    def abort(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class InputFiles:
    """A job's input, as files of this machine."""

    video: Path
    references: tuple[Path, ...]
    """In the order of their indices."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A result that is to be had elsewhere than here."""

    name: str
    """File name, such as video.mp4."""
    address: Callable[["Presentation"], str]
    """Makes an address of it that needs no further key, and that is good for a while."""
    read: Callable[[], bytes]
    """The whole of it, for what is small."""


@dataclass(frozen=True, slots=True)
class Presentation:
    """How a file is to be handed out."""

    method: Literal["GET", "HEAD"]
    media_type: str
    disposition: str
    """The header `Content-Disposition`."""


def ignore() -> None:
    """A check that never objects."""


class Store(Protocol):
    """Files of jobs. Every `job_id` may come from outside: a malformed one raises `JobNotFound`.

    Raises, in all that it does:
        StoreAway: object storage cannot serve, though it was asked again and again for a while.
        OSError: the disk says no; with `errno.ENOSPC` where disk or storage is full.
    """

    sweep_seconds: float
    """How often `jobs.housekeeping.sweep_files` is worth what it costs."""

    def create(self, job_id: str) -> None:
        """Make room for a new job."""

    def open_input_writer(self, job_id: str, kind: InputKind, index: int = 0) -> InputWriter: ...

    def fetch_input(self, job_id: str) -> AbstractContextManager[InputFiles]:
        """The input while inside, for reading only. Raises `FileNotFoundError` where the video is gone."""

    def share_input_video(self, job_id: str, *, with_job: str) -> None:
        """Make a job's video that of another job too, for which there is room; neither needs the other from then on.
        Raises `FileNotFoundError` where it is not kept."""

    def share_input_reference(self, job_id: str, index: int, *, with_job: str, as_index: int) -> None:
        """The same with a reference. Raises `FileNotFoundError` where it is not kept."""

    def drop_input(self, job_id: str) -> None: ...

    def open_execution(self, job_id: str, execution_id: str) -> Path:
        """An empty work folder of the execution's own; nobody else looks inside."""

    def discard_execution(self, job_id: str, execution_id: str) -> None:
        """Remove the work folder; what was published and kept stays."""

    def publish(
        self, job_id: str, execution_id: str, files: Iterable[Path], *, check: Callable[[], None] = ignore
    ) -> None:
        """Take the files as results of the execution, under their own names; see above for when they count. `check` is
        called on the way, and may raise. The files are gone from where they were."""

    def find_result(self, job_id: str, execution_id: str, stem: str) -> Path | RemoteFile:
        """The published file of that name, whatever its suffix. Raises `VariantNotFound` where there is none."""

    def download_origin(self) -> str | None:
        """Scheme, host and port of the addresses of remote results; None where there are none."""

    def unpublish(self, job_id: str, execution_id: str) -> None:
        """Remove what the execution published."""

    def drop_results(self, job_id: str, *, but: str = "") -> None:
        """Remove what every execution published, but that of the execution `but`."""

    def keep(self, job_id: str, name: str, path: Path) -> None:
        """Take a file for executions to come; it replaces one of the same name, and is there whole or not at all. It is
        gone from where it was."""

    def kept(self, job_id: str) -> Sequence[str]:
        """Names of what is kept, sorted."""

    def fetch(
        self, job_id: str, names: Sequence[str], *, check: Callable[[], None] = ignore
    ) -> AbstractContextManager[Sequence[Path]]:
        """Kept files, in that order, while inside; for reading only. `check` is called before each, and may raise.

        Raises:
            FileNotFoundError: one is not there.
        """

    def drop_kept(self, job_id: str, names: Sequence[str] | None = None) -> None:
        """Remove what is kept under these names; all where None."""

    def write_still(self, job_id: str, frame: int, picture: bytes) -> None:
        """Keep a small picture of a frame, in place of an earlier one; it goes with the job."""

    def read_still(self, job_id: str, frame: int) -> bytes:
        """Raises `VariantNotFound` where no such picture is there."""

    def delete(self, job_id: str) -> None:
        """Remove everything; nothing happens where there is nothing."""

    def has_leftovers(self, job_id: str, *, published: str) -> bool:
        """Whether executions have left something behind, other than the results of the one that `published`."""

    def drop_leftovers(self, job_id: str, *, published: str) -> None: ...

    def job_ids(self) -> Iterator[str]: ...

    def last_touched(self, job_id: str) -> float:
        """Newest modification among the job's files, seconds since the epoch; 0 where there are none."""

    def size(self, job_id: str) -> int:
        """Bytes of the job's files, those that it shares with other jobs included; 0 where there are none."""

    def free_bytes(self) -> int | None:
        """Space left for uploads; None where there is no telling."""

    def check_writable(self) -> None:
        """Raises `OSError` or `StoreAway` where files cannot be written."""

    def sweep(self) -> None:
        """Remove what processes that died left in the store and no job has; done by the API, now and then."""

    def tidy(self) -> None:
        """Remove what processes that died left on this machine; done by workers, every few seconds."""


def checked_kept_name(name: str) -> str:
    """Raises `ValueError` where `name` cannot be that of a kept file."""
    if _KEPT_NAME.fullmatch(name) is None:
        raise ValueError(f"A kept file cannot be named {name!r}.")
    return name


def still_not_found(job_id: str, frame: int) -> VariantNotFound:
    return VariantNotFound(f"No picture of frame {frame} of {job_id} is there; its `stills` list those that are.")
