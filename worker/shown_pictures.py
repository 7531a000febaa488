"""Pictures of a job that runs, on their way to where they can be fetched."""

import threading

import structlog

from jobs.errors import StoreAway
from jobs.store import Store

log = structlog.stdlib.get_logger("retint.worker")


class ShownPictures:
    """Taken from one thread, stored by another: the work does not wait for the store."""

    def __init__(self, store: Store, *, job_id: str) -> None:
        self._store = store
        self._job_id = job_id
        self._lock = threading.Lock()
        self._waiting: dict[int, bytes] = {}
        self.stored: set[int] = set()
        """Frames whose pictures can be fetched."""

    def add(self, frame: int, picture: bytes) -> None:
        with self._lock:
            self._waiting[frame] = picture

    def store(self) -> bool:
        """Store what waits, and tell whether anything was stored. A picture that cannot be is no reason to give up the
        job."""
        with self._lock:
            pictures, self._waiting = self._waiting, {}
        before = len(self.stored)
        for frame, picture in pictures.items():
            try:
                self._store.write_still(self._job_id, frame, picture)
            except (OSError, StoreAway) as error:
                log.warning("still_not_stored", job_id=self._job_id, frame=frame, cause=str(error))
                continue
            self.stored.add(frame)
        return len(self.stored) > before
