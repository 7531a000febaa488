"""Turns a device's want of memory into one clear error."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from models.errors import OutOfMemory

# What torch's allocator for the CPU says; it raises a plain RuntimeError.
_CPU_ALLOCATOR = ("DefaultCPUAllocator", "can't allocate memory", "not enough memory")


@contextmanager
def memory_checked(work: str) -> Iterator[None]:
    """Run what is inside, or what it decorates; `work` names it in the error, such as "Coloring 5 frames of 576x320".

    Raises:
        OutOfMemory: the device's memory does not hold the work.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _out_of_memory(work) from error
    except RuntimeError as error:
        if not any(phrase in str(error) for phrase in _CPU_ALLOCATOR):
            raise
        raise _out_of_memory(work) from error


def _out_of_memory(work: str) -> OutOfMemory:
    return OutOfMemory(f"{work} does not fit the device's memory. Use a smaller working_size, or a larger device.")
