"""Processes that do not outlive the one that started them."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def die_with_parent(death_signal: signal.Signals = signal.SIGKILL, *, parent_pid: int | None = None) -> None:
    """Have the kernel send this process `death_signal` when its parent dies; nothing happens off Linux.

    The kernel watches the *thread* that forked, so a process that calls this must be started from a thread that lives
    as long as it should. `parent_pid` is the parent as known before the fork: where it has died already, this process
    gets the signal at once.

    Raises:
        OSError: the kernel refuses.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    if parent_pid is not None and os.getppid() != parent_pid:
        os.kill(os.getpid(), death_signal)
