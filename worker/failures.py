"""Turns what networks, disks and allocators raise into the failures that a user sees."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import torch

from jobs.errors import Internal, OutOfMemory, RetintError, StorageFull, StorageUnavailable, StoreAway, WeightsMissing
from models import errors as model_errors
from worker.media.storage import DISK_FULL, is_disk_full

log = structlog.stdlib.get_logger("retint.worker")


@contextmanager
def failures_for_users() -> Iterator[None]:
    """Run what is inside; what it raises leaves as a `JobFailure` where a user or an operator can do something about
    it, and as it was otherwise.

    Raises:
        OutOfMemory: the device's or the machine's memory does not hold the work.
        WeightsMissing: the model's weights are missing, damaged, or their licence was not accepted.
        StorageFull: the disk is full.
        StorageUnavailable: object storage cannot be used.
        Internal: another complaint of the model.
    """
    try:
        yield
    except StoreAway as error:
        log.warning("storage_away", cause=error.detail)
        raise StorageUnavailable(
            "The storage that holds the job's files could not be used for several minutes. Submit the job again, and "
            "have the operator look at the worker's log."
        ) from error
    except RetintError:
        raise
    except model_errors.OutOfMemory as error:
        raise OutOfMemory(str(error)) from error
    except model_errors.ModelError as error:
        if isinstance(
            error, model_errors.WeightsMissing | model_errors.WeightsInvalid | model_errors.LicenseNotAccepted
        ):
            raise WeightsMissing(str(error)) from error
        raise Internal(str(error)) from error
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise OutOfMemory(
            "The video does not fit into memory. Ask for a smaller working size, or scale the video down."
        ) from error
    except OSError as error:
        if is_disk_full(error):
            raise StorageFull(DISK_FULL) from error
        raise
