"""Refuses query parameters that a call does not know, so that a misspelt one is never ignored in silence."""

from fastapi import Request

from jobs.errors import FieldError, InvalidRequest
from service.problems import json_pointer


async def require_known_query(request: Request) -> None:
    """Dependency of every route; what a route knows is what its OpenAPI description says.

    Raises:
        InvalidRequest: with one entry for each parameter that the route does not know.
    """
    if not request.query_params:
        return
    known = _known(request)
    knows = f"it takes {', '.join(f'`{name}`' for name in known)}" if known else "it takes none"
    errors = [
        FieldError(json_pointer(("query", name)), f"This call has no query parameter `{name}`; {knows}.")
        for name in dict.fromkeys(request.query_params)
        if name not in known
    ]
    if errors:
        raise InvalidRequest(errors[0].detail, errors=errors)


def _known(request: Request) -> list[str]:
    paths = request.app.openapi()["paths"]
    operation = paths.get(request.scope["route"].path, {}).get(request.method.lower(), {})
    return [parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "query"]
