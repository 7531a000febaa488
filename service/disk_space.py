"""Keeps uploads from filling the disk."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from jobs.errors import StoreFull
from jobs.store import Store

CHECK_BYTES = 64 * 1024 * 1024
"""How often, in bytes, the disk's free space is looked at while an upload comes in."""
RETRY_SECONDS = 300


class DiskSpace:
    """The store's disk, as one upload may use it.

    `kept` is the sentence for a user whose upload does not fit: what became of what had come.
    """

    def __init__(self, store: Store, *, min_free_bytes: int, kept: str) -> None:
        self._store = store
        self._min_free_bytes = min_free_bytes
        self._kept = kept
        self._unchecked = 0

    def require(self, coming: int) -> None:
        """Raises `StoreFull` where less than `min_free_bytes` would be left with so many bytes more."""
        free = self._store.free_bytes()
        if free is not None and free - coming < self._min_free_bytes:
            raise self._full()

    def use(self, count: int) -> None:
        """So many bytes are about to be written; now and then, this looks whether they still may.

        Raises:
            StoreFull
        """
        self._unchecked += count
        if self._unchecked >= CHECK_BYTES:
            self._unchecked = 0
            self.require(0)

    @contextmanager
    def full_is_told(self) -> Iterator[None]:
        """Raise `StoreFull` where writing fails for want of space."""
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._full() from error
            raise

    def _full(self) -> StoreFull:
        return StoreFull(
            f"The server's disk is too full for this upload. {self._kept} Try again when jobs have expired or were "
            "deleted.",
            retry_after=RETRY_SECONDS,
        )
