"""What goes wrong with files on this machine, as this package's errors that name the file."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retint.errors import FileUnreadable, FileUnwritable

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raises:
    FileUnreadable: the system cannot read `path`.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise FileUnreadable(f"There is no file {path}.", path=path, errno=error.errno) from error
    except IsADirectoryError as error:
        raise FileUnreadable(f"{path} is a folder; expected a file.", path=path, errno=error.errno) from error
    except OSError as error:
        raise FileUnreadable(f"{path} cannot be read: {_reason(error)}.", path=path, errno=error.errno) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """`path` is the file that is wanted, whatever the name of the one that is written at first.

    Raises:
        FileUnwritable: the system cannot write it.
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        folder = path.absolute().parent
        # Some file systems, such as /proc, say so of files that cannot be made.
        detail = (
            f"No file can be made in {folder}." if folder.is_dir() else f"There is no folder {folder}; make it first."
        )
        raise FileUnwritable(detail, path=path, errno=error.errno) from error
    except IsADirectoryError as error:
        raise _is_a_folder(path) from error
    except OSError as error:
        full = error.errno in FULL
        advice = " Make room and download again; it goes on where it ended." if full else ""
        detail = f"{path} cannot be written: {_reason(error)}.{advice}"
        raise FileUnwritable(detail, path=path, errno=error.errno) from error


def require_no_folder(path: Path) -> None:
    """Raises:
    FileUnwritable: a folder has the name.
    """
    if path.is_dir():
        raise _is_a_folder(path)


def _is_a_folder(path: Path) -> FileUnwritable:
    return FileUnwritable(f"{path} is a folder; give the name of a file.", path=path, errno=errno.EISDIR)


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
