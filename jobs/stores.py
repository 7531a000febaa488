"""Opens the store that the settings name, and its uploads."""

from redis import Redis

from jobs.errors import StartupError
from jobs.folder_store import FolderStore
from jobs.folder_uploads import FolderUploads
from jobs.resumable import ResumableUploads
from jobs.s3_connection import API_ATTEMPTS, WORKER_ATTEMPTS
from jobs.s3_store import S3Store
from jobs.s3_uploads import S3Uploads
from jobs.settings import Settings
from jobs.store import Store


def open_store(settings: Settings, *, for_worker: bool = False) -> Store:
    """The store that the settings name. A worker is more patient with object storage than a call may be.

    Raises:
        StartupError: the settings are wrong, a folder cannot be made, or a part is not installed.
    """
    if settings.store is not None and "://" in settings.store:
        return S3Store(settings, attempts=WORKER_ATTEMPTS if for_worker else API_ATTEMPTS)
    try:
        return FolderStore(settings.store_folder)
    except OSError as error:
        raise StartupError(
            f"The store {settings.store_folder} cannot be made: {error.strerror}. Point RETINT_STORE at a writable one."
        ) from error


def open_uploads(settings: Settings, store: Store, redis: Redis) -> ResumableUploads:
    """The resumable uploads of a store that `open_store` opened."""
    if isinstance(store, S3Store):
        return S3Uploads(store, redis, settings)
    assert isinstance(store, FolderStore)
    return FolderUploads(store, expiry_seconds=settings.upload_expiry_seconds)
