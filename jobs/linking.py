"""One file under two names, which costs no space where the file system has hard links."""

import errno
import os
import shutil
from pathlib import Path

CANNOT_LINK = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)


def link_or_copy(data: Path, target: Path) -> None:
    """Make what is at `data` appear at `target`, whole.

    Raises:
        FileNotFoundError: nothing is at `data`.
        OSError: with `errno.ENOSPC` where it had to be copied and the disk is full.
    """
    try:
        os.link(data, target)
    except OSError as error:
        if error.errno not in CANNOT_LINK:
            raise
        partial = target.with_name(f".{target.name}.part")
        try:
            shutil.copyfile(data, partial)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        partial.replace(target)
