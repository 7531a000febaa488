"""Locks on files, against other processes too, where whoever holds the lock may remove the file."""

import os
from pathlib import Path
from typing import IO, Any


def is_at(file: IO[Any], path: Path) -> bool:
    """Whether `path` still names the open `file`; a lock on a file that it does not name is worth nothing."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
