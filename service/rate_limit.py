"""The headers that tell of limits, after draft-ietf-httpapi-ratelimit-headers."""

from typing import Any

RATE_LIMIT_HEADERS: dict[str, Any] = {
    "RateLimit": {
        "schema": {"type": "string"},
        "description": "How many more jobs may be sent now (`r`) and, if none, in how many seconds (`t`).",
    },
    "RateLimit-Policy": {"schema": {"type": "string"}, "description": "How many there may be at once (`q`)."},
}
"""For the description of a route: the limit that is nearest, `"jobs"` (of the caller) or `"queue"` (of all)."""


def rate_limit_headers(name: str, *, limit: int, left: int, reset: int | None = None) -> dict[str, str]:
    """Of the quota `name`: `limit` at once, of which so many are `left`; `reset`: seconds until it is worth asking."""
    again = "" if reset is None else f";t={reset}"
    return {"RateLimit-Policy": f'"{name}";q={limit}', "RateLimit": f'"{name}";r={left}{again}'}
