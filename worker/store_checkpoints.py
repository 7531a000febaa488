"""What a job keeps in the store, for an execution that may write there as long as the work is its own."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from jobs.errors import JobCanceled
from jobs.store import Store


class StoreCheckpoints:
    """`worker.checkpoints.Checkpoints` of one job."""

    def __init__(self, store: Store, job_id: str, *, owns: Callable[[], bool]) -> None:
        """`owns` says whether the work is still this execution's: what comes too late is not kept."""
        self._store = store
        self._job_id = job_id
        self._owns = owns

    def keep(self, name: str, path: Path) -> None:
        if not self._owns():
            raise JobCanceled("The job was canceled, or another execution has taken it over.")
        self._store.keep(self._job_id, name, path)

    def kept(self) -> Sequence[str]:
        return self._store.kept(self._job_id)

    @contextmanager
    def fetch(self, name: str) -> Iterator[Path]:
        with self._store.fetch(self._job_id, [name]) as (path,):
            yield path

    def fetch_all(self, names: Sequence[str], *, check: Callable[[], None]) -> AbstractContextManager[Sequence[Path]]:
        return self._store.fetch(self._job_id, names, check=check)
