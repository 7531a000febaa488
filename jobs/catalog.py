"""Which models the workers have: published by workers, read by the API, which has no torch to ask them itself."""

from collections.abc import Sequence
from typing import cast

from pydantic import TypeAdapter
from redis import Redis

from jobs.options import StrictModel

CATALOG_TTL_SECONDS = 120
"""How long a worker's word holds; it repeats itself several times in that time."""


class CatalogModel(StrictModel):
    """One model, as `GET /v1/models` shows it."""

    name: str
    """For a job's `model`."""
    title: str
    """For people."""
    license: str
    """SPDX identifier of the weights' licence."""
    source: str
    """Where the weights come from."""
    weights_present: bool
    """Whether a job can use it now."""
    restores: bool
    """Whether it can change luma too."""
    working_size: int
    """Default short side, in pixels, at which color is predicted."""


_MODELS = TypeAdapter(list[CatalogModel])


def publish_catalog(redis: Redis, prefix: str, models: Sequence[CatalogModel]) -> None:
    redis.set(_key(prefix), _MODELS.dump_json(list(models)), ex=CATALOG_TTL_SECONDS)


def read_catalog(redis: Redis, prefix: str) -> list[CatalogModel]:
    """What the worker heard last said; empty where no worker was heard for a while."""
    text = cast("bytes | None", redis.get(_key(prefix)))
    return _MODELS.validate_json(text) if text else []


def _key(prefix: str) -> str:
    return f"{prefix}:catalog"
