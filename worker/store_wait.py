"""A worker that cannot reach object storage takes no job: it would only fail them."""

import time

import structlog

from jobs.errors import StoreAway
from jobs.store import Store

PAUSE_SECONDS = 5.0

log = structlog.stdlib.get_logger("retint.worker")


def wait_for_store(store: Store, *, pause: float = PAUSE_SECONDS) -> None:
    """Return once the storage can be used; why it cannot is logged when it is new."""
    told = ""
    while True:
        try:
            store.check_writable()
        except StoreAway as error:
            if error.detail != told:
                log.warning("store_unavailable", cause=error.detail, then="no job is taken before it can be used")
            told = error.detail
            time.sleep(pause)
        except OSError:
            return  # it is full, or a folder has its troubles: jobs end with the code for that
        else:
            return
