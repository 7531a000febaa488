"""Recognizes a full disk, however it shows."""

import errno

from av.error import FFmpegError

DISK_FULL = "The disk is full, or a quota on it is. Free some space where the results are written, then start again."
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_disk_full(failure: BaseException) -> bool:
    """Whether a failure of Python's or of FFmpeg's means that nothing more can be written."""
    return isinstance(failure, OSError | FFmpegError) and failure.errno in _FULL
