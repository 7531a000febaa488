"""How much memory this process may take and has taken, and how it shows that it has no more."""

import resource
import sys

import cv2
import torch

from models import errors as model_errors

# What allocators say that raise a plain RuntimeError.
_ALLOCATORS = ("DefaultCPUAllocator", "can't allocate memory", "not enough memory", "can't start new thread")


def peak_megabytes() -> float:
    """The most that this process held at once so far."""
    # Linux counts ru_maxrss in KiB, macOS in bytes.
    unit = 1024.0**2 if sys.platform == "darwin" else 1024.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def limit_memory(host_bytes: int | None, device_bytes: int | None) -> None:
    """Let this process hold no more than so much of the machine's memory, and of the GPU's; None: as it likes.

    Beyond it allocations fail, which is told from dying: the piece at hand is done again smaller.
    """
    if host_bytes is not None:
        # What is allocated counts; libraries and files that are mapped do not.
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        soft = host_bytes if hard == resource.RLIM_INFINITY else min(host_bytes, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
    if device_bytes is not None and torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            total = torch.cuda.get_device_properties(index).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, device_bytes / total), index)


def is_out_of_memory(failure: BaseException) -> bool:
    """Whether a failure means that memory, of the machine or of the device, does not hold the work."""
    if isinstance(failure, MemoryError | torch.OutOfMemoryError | model_errors.OutOfMemory):
        return True
    if isinstance(failure, cv2.error):
        return "Insufficient memory" in str(failure)
    return isinstance(failure, RuntimeError) and any(phrase in str(failure) for phrase in _ALLOCATORS)
