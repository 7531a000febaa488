"""Puts what is finished where it is wanted, and nothing that is not."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.errors import CommandError


@contextmanager
def work_folder(*, beside: Path) -> Iterator[Path]:
    """A folder for what is not finished, which goes at the end; beside the target, a rename makes it appear whole."""
    parent = beside.absolute().parent
    try:
        folder = Path(tempfile.mkdtemp(prefix=".retint-", dir=parent))
    except OSError as error:
        raise CommandError(f"Nothing can be written into {parent}: {error.strerror}. Choose another output.") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def place(source: Path, target: Path) -> None:
    """Move a finished file to where it is wanted, whole or not at all, also onto another file system."""
    with work_folder(beside=target) as folder:
        moved = folder / target.name
        try:
            shutil.move(source, moved)
            moved.replace(target)
        except OSError as error:
            raise CommandError(f"{target} cannot be written: {error.strerror}.") from error
