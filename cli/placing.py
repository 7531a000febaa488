"""Puts what is finished where it is wanted, and nothing that is not."""

import fcntl
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cli.errors import CommandError

_PREFIX = ".retint-unfinished-"
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@contextmanager
def work_folder(*, beside: Path) -> Iterator[Path]:
    """A folder for what is not finished, which goes at the end; beside the target, a rename makes it appear whole.

    Those that killed processes left there go too: a folder is locked by its process, and no longer than that lives.
    Those of other machines, and of this one before it was last started, stay.
    """
    parent = beside.absolute().parent
    try:
        folder, lock = _locked_folder(parent)
    except OSError as error:
        raise CommandError(f"Nothing can be written into {parent}: {error.strerror}. Choose another output.") from error
    try:
        _remove_left_behind(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked_folder(parent: Path) -> tuple[Path, int]:
    """A new folder, and the descriptor that locks it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_own_prefix(), dir=parent))
        # Until it is locked, another process may take it for one left behind, and remove it.
        with suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            # Where folders cannot be locked at all, none is taken for one left behind either.
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def _own_prefix() -> str:
    """Of this running system alone: on network folders a lock holds among the processes of one, and no other sees
    it."""
    system = _BOOT.read_text()[:8] if _BOOT.exists() else platform.node()
    return f"{_PREFIX}{system}-"


def _remove_left_behind(own: Path) -> None:
    for folder in own.parent.glob(f"{_own_prefix()}*"):
        if folder == own:
            continue
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def place(source: Path, target: Path) -> None:
    """Move a finished file to where it is wanted, whole or not at all, also onto another file system."""
    with work_folder(beside=target) as folder:
        moved = folder / target.name
        try:
            shutil.move(source, moved)
            moved.replace(target)
        except OSError as error:
            raise CommandError(f"{target} cannot be written: {error.strerror}.") from error
