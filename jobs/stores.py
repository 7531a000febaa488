"""Opens the store that the settings name, and its uploads."""

from jobs.errors import StartupError
from jobs.folder_store import FolderStore
from jobs.folder_uploads import FolderUploads
from jobs.resumable import ResumableUploads
from jobs.settings import Settings
from jobs.store import Store


def open_store(settings: Settings) -> Store:
    """The store that the settings name.

    Raises:
        StartupError: the settings name object storage, or a folder that cannot be made.
    """
    if settings.store is not None and "://" in settings.store:
        raise StartupError(
            f"RETINT_STORE is {settings.store.split('://')[0]}://..., and object storage is not supported yet. "
            "Set it to a folder that the API and all workers share."
        )
    try:
        return FolderStore(settings.store_folder)
    except OSError as error:
        raise StartupError(
            f"The store {settings.store_folder} cannot be made: {error.strerror}. Point RETINT_STORE at a writable one."
        ) from error


def open_uploads(settings: Settings, store: Store) -> ResumableUploads:
    """The resumable uploads of a store that `open_store` opened."""
    assert isinstance(store, FolderStore)
    return FolderUploads(store, expiry_seconds=settings.upload_expiry_seconds)
