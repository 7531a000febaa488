"""Deletes folders in two steps: out of sight at once, then file by file."""

import shutil
import time
from pathlib import Path
from uuid import uuid4


class Trash:
    """A folder of things on their way out; on the file system of what is put into it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def discard(self, path: Path) -> None:
        """Take `path` out of sight at once, then delete it; what is written into it meanwhile goes too.

        Nothing happens where there is nothing.
        """
        doomed = self._folder / uuid4().hex
        try:
            path.rename(doomed)
        except FileNotFoundError:
            return
        _delete_tree(doomed)

    def empty(self) -> None:
        """Remove what a process that died while deleting left behind."""
        for path in self._folder.iterdir():
            shutil.rmtree(path, ignore_errors=True)


def _delete_tree(folder: Path) -> None:
    """Delete a folder that a dying process may still write into."""
    for _ in range(3):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)
