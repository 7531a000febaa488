"""The headers that tell of limits, after draft-ietf-httpapi-ratelimit-headers."""


def rate_limit_headers(name: str, *, limit: int, left: int, reset: int | None = None) -> dict[str, str]:
    """Of the quota `name`: `limit` at once, of which so many are `left`; `reset`: seconds until it is worth asking."""
    again = "" if reset is None else f";t={reset}"
    return {"RateLimit-Policy": f'"{name}";q={limit}', "RateLimit": f'"{name}";r={left}{again}'}
