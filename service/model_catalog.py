"""Refuses jobs that every worker would have to fail."""

from collections.abc import Sequence

from jobs.catalog import CatalogModel
from jobs.errors import FieldError, InvalidRequest
from jobs.options import JobOptions


def require_weights(options: JobOptions, *, catalog: Sequence[CatalogModel]) -> None:
    """Check that the model asked for can run. An empty catalog says nothing: no worker was heard, one may come.

    Raises:
        InvalidRequest: the workers do not have the model or its weights; the detail says what to do.
    """
    if not catalog:
        return
    known = next((model for model in catalog if model.name == options.model), None)
    ready = [model.name for model in catalog if model.weights_present]
    if known is not None and known.weights_present:
        return
    if known is None:
        detail = f"The workers do not know the model {options.model}; they may be older than this server."
    else:
        detail = (
            f"The weights of {options.model} are not installed. If you accept their license, {known.license}, run "
            f"`retint weights fetch {options.model} --accept-license` on the worker's machine (it says so where they "
            "cannot be fetched), or `retint weights import` with files of your own."
        )
    if ready:
        detail += f" Ready to use: {', '.join(ready)}."
    raise InvalidRequest(detail, errors=[FieldError("#/options/model", detail)])
