"""Gives the log lines of a request the ids that it is about."""

import structlog
from fastapi import Request


async def bind_ids(request: Request) -> None:
    """Dependency of every route with an id in its path. No plain function: it would bind them in another thread."""
    ids = {name: value for name, value in request.path_params.items() if name.endswith("_id")}
    structlog.contextvars.bind_contextvars(**ids)
