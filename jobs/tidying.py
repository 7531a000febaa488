"""Tidying up that must not fail what it tidies up after."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from jobs.errors import StoreAway

log = structlog.stdlib.get_logger("retint.jobs")


@contextmanager
def tidying() -> Iterator[None]:
    """Where object storage is away, leave what is inside to `jobs.housekeeping.sweep_files`."""
    try:
        yield
    except StoreAway as error:
        log.warning("tidying_put_off", cause=error.detail)
