"""Which GPU a worker has, where several workers of a machine see all of them (containers of one service do)."""

import fcntl
import os
from pathlib import Path

from jobs.errors import StartupError


def claim_gpu(folder: Path, *, count: int) -> str:
    """Take the first of `count` GPUs that no other process has; its name, such as `cuda:0`.

    It is taken until this process and those that it forked are gone, however they end: the kernel keeps the lock.

    Raises:
        StartupError: all of them are taken, or the folder cannot be written to.
    """
    for index in range(count):
        try:
            file = os.open(folder / f"gpu-{index}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartupError(f"RETINT_GPU_LOCKS: {error.filename}: {error.strerror}.") from error
        try:
            # Never closed, nor is the file removed: that would give the GPU away.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
        else:
            return f"cuda:{index}"
    raise StartupError(
        f"All {count} GPUs of this machine have a worker; run one worker per GPU, or name a device (RETINT_DEVICE)."
    )
