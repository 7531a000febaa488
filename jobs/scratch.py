"""Places on a worker's own disk: what is in object storage has to be here to be worked on.

    {name}.lock     held by the process that uses the place; whoever gets hold of it finds the place unused
    {name}/         the place

A lock is let go by the process that dies, however it dies, so that what a crash leaves is told from what is in use.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from jobs.file_lock import is_at

WHOLE = ".whole"


class Scratch:
    """A folder of places. Several workers of a machine may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._held: dict[str, int] = {}
        """Descriptors of the locks that this process holds until it gives the places back, or dies."""

    def take(self, name: str) -> Path:
        """An empty place of this process's own, until it gives it back or dies."""
        with self._lock(name, fcntl.LOCK_EX) as lock:
            self._held[name] = os.dup(lock.fileno())
        place = self._folder / name
        place.mkdir()
        return place

    def give_back(self, name: str) -> None:
        """Remove a place that this process took, or one that died; nothing happens where another has it, or none."""
        held = self._held.pop(name, None)
        if held is not None:
            self._remove(name)
            os.close(held)
        elif (lock := self._lock_unused(name)) is not None:
            with lock:
                self._remove(name)

    @contextmanager
    def shared(self, name: str, fill: Callable[[Path], None]) -> Iterator[Path]:
        """A place that several may use at once, while inside. The first `fill`s it; it stays behind for a while."""
        while True:
            with self._lock(name, fcntl.LOCK_SH) as lock:
                if self._is_whole(name):
                    try:
                        yield self._folder / name
                    finally:
                        os.utime(lock.fileno())
                    return
            with self._lock(name, fcntl.LOCK_EX):
                if not self._is_whole(name):
                    place = self._folder / name
                    shutil.rmtree(place, ignore_errors=True)
                    place.mkdir()
                    fill(place)
                    (place / WHOLE).touch()

    def tidy(self, *, unused_seconds: float) -> None:
        """Remove places that nobody has used for so long."""
        for path in self._folder.glob("*.lock"):
            name = path.name.removesuffix(".lock")
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime < unused_seconds or name in self._held:
                    continue
                lock = self._lock_unused(name)
                if lock is not None:
                    with lock:
                        # It may have been used between the look and the lock.
                        if time.time() - os.fstat(lock.fileno()).st_mtime >= unused_seconds:
                            self._remove(name)

    def _is_whole(self, name: str) -> bool:
        return (self._folder / name / WHOLE).exists()

    def _lock(self, name: str, how: int) -> IO[bytes]:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{name}.lock"
        while True:
            lock = path.open("ab")
            try:
                fcntl.flock(lock, how)
                if is_at(lock, path):
                    os.utime(lock.fileno())
                    return lock
            except BaseException:
                lock.close()
                raise
            # Whoever held it has removed it: those who come now wait at another file.
            lock.close()

    def _lock_unused(self, name: str) -> IO[bytes] | None:
        path = self._folder / f"{name}.lock"
        try:
            lock = path.open("rb")
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_at(lock, path):
                return lock
        except BlockingIOError:
            pass
        except BaseException:
            lock.close()
            raise
        lock.close()
        return None

    def _remove(self, name: str) -> None:
        """Under the lock."""
        shutil.rmtree(self._folder / name, ignore_errors=True)
        (self._folder / f"{name}.lock").unlink(missing_ok=True)
