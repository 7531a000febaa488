"""Tells the API which models this worker has."""

import time
from pathlib import Path

from jobs.catalog import CATALOG_TTL_SECONDS, CatalogModel
from jobs.repository import JobRepository


def catalog(weights_folder: Path) -> list[CatalogModel]:
    """The models, the default first."""
    # Imported here: the registry imports torch.
    from models.registry import describe, weights_present

    return [
        CatalogModel(
            name=model.name,
            title=model.title,
            license=model.license,
            source=model.source,
            weights_present=weights_present(model.name, weights_folder),
            restores=model.restores,
            working_size=model.working_size,
        )
        for model in describe()
    ]


class CatalogPublisher:
    """Publishes the catalog when called, but no more often than its word needs to stay."""

    def __init__(self, repository: JobRepository, *, weights_folder: Path) -> None:
        self._repository = repository
        self._weights_folder = weights_folder
        self._next = 0.0

    def __call__(self) -> None:
        now = time.monotonic()
        if now >= self._next:
            # Asked anew each time: weights may be fetched while the worker runs.
            self._repository.publish_catalog(catalog(self._weights_folder))
            self._next = now + CATALOG_TTL_SECONDS / 8
