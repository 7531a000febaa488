"""What a job has made so far and keeps, so that nothing is done twice."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol


class Checkpoints(Protocol):
    """Files of one job, by name. What is kept stays as it is."""

    def keep(self, name: str, path: Path) -> None:
        """Take the file at `path`; it is there whole or not at all, and gone from where it was.

        Raises:
            JobCanceled: the work that made it is not this execution's any more.
        """
        ...

    def kept(self) -> Sequence[str]:
        """Names of all that is kept."""
        ...

    def fetch(self, name: str) -> AbstractContextManager[Path]:
        """The file, for reading, while inside. Raises `FileNotFoundError` where it is not kept."""
        ...

    def fetch_all(self, names: Sequence[str], *, check: Callable[[], None]) -> AbstractContextManager[Sequence[Path]]:
        """As `fetch`, of many files, in that order; `check` is called before each, and may raise."""
        ...


class FolderCheckpoints:
    """In a folder of one process's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, name: str, path: Path) -> None:
        path.rename(self._folder / name)

    def kept(self) -> Sequence[str]:
        return sorted(path.name for path in self._folder.iterdir())

    @contextmanager
    def fetch(self, name: str) -> Iterator[Path]:
        path = self._folder / name
        path.stat()
        yield path

    @contextmanager
    def fetch_all(self, names: Sequence[str], *, check: Callable[[], None]) -> Iterator[Sequence[Path]]:  # noqa: ARG002
        yield [self._folder / name for name in names]
