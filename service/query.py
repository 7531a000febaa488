"""Refuses query parameters that a call does not know or has twice, so that none is ever ignored in silence."""

from collections.abc import Iterator

from fastapi import Request
from fastapi.dependencies.models import Dependant

from jobs.errors import FieldError, InvalidRequest
from service.problems import json_pointer


async def require_known_query(request: Request) -> None:
    """Dependency of every route; a route knows the parameters of its function and of what that depends on.

    Raises:
        InvalidRequest: with one entry for each parameter that the route does not know, or that is given twice.
    """
    if not request.query_params:
        return
    known = list(_names(request.scope["route"].dependant))
    knows = f"it takes {', '.join(f'`{name}`' for name in known)}" if known else "it takes none"
    errors = []
    for name in request.query_params:
        times = len(request.query_params.getlist(name))
        if name not in known:
            detail = f"This call has no query parameter `{name}`; {knows}."
        elif times > 1:
            detail = f"The query parameter `{name}` is given {times} times; give it once."
        else:
            continue
        errors.append(FieldError(json_pointer(("query", name)), detail))
    if errors:
        raise InvalidRequest(errors[0].detail, errors=errors)


def _names(dependant: Dependant) -> Iterator[str]:
    """Read off the route, since the OpenAPI description takes long to make, which the first call would wait for."""
    for parameter in dependant.query_params:
        yield parameter.alias
    for further in dependant.dependencies:
        yield from _names(further)
