"""How both clients connect."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx

from retint.errors import ConnectionFailed

DEFAULT_SERVER = "http://127.0.0.1:8000"
LONG_POLL_SECONDS = 20
"""How long the server is asked to hold an answer until the job changes; it allows 30."""
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
WAIT_TIMEOUT = httpx.Timeout(LONG_POLL_SECONDS + 15.0, connect=10.0)
UPLOAD_TIMEOUT = httpx.Timeout(120.0, connect=10.0)
"""Per read and write, not in all; the server may need a while to store the last of a large upload."""


def http_settings(base_url: str, *, api_key: str | None) -> dict[str, Any]:
    """What httpx's clients are made with.

    Raises:
        ConnectionFailed: no header can carry the key.
    """
    if api_key and not (api_key.isascii() and api_key.isprintable()):
        raise ConnectionFailed("The API key cannot be sent: it holds a line end or a letter that is not ASCII.")
    return {
        "base_url": base_url,
        "headers": {
            "User-Agent": "retint-client",
            "Accept": "application/json, application/problem+json",
            **({"Authorization": f"Bearer {api_key}"} if api_key else {}),
        },
        "timeout": TIMEOUT,
        "follow_redirects": True,
        "trust_env": _uses_proxies(base_url),
    }


def job_path(job_id: str, *rest: str) -> str:
    """Ids are quoted, so that no id reaches another address."""
    return "/".join(["/v1/jobs", quote(job_id, safe=""), *rest])


@contextmanager
def translated(base_url: str) -> Iterator[None]:
    """What httpx raises, as what this package raises."""
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _connection_failed(error, base_url=base_url) from error


def _uses_proxies(base_url: str) -> bool:
    """Whether the environment's proxies apply: none of them reaches this machine's own loopback address."""
    host = httpx.URL(base_url).host
    return not (host == "localhost" or host == "::1" or host.startswith("127."))


def _connection_failed(error: httpx.HTTPError | httpx.InvalidURL, *, base_url: str) -> ConnectionFailed:
    """The sentence for what httpx met."""
    if isinstance(error, httpx.ConnectError):
        reason = re.sub(r"^\[Errno -?\d+\] ", "", str(error))
        return ConnectionFailed(f"No server answers at {base_url}: {reason}. Start one with `retint serve`.")
    if isinstance(error, httpx.TimeoutException):
        return ConnectionFailed(f"The server at {base_url} did not answer in time.")
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        return ConnectionFailed(f"{base_url} is no address of a server; expected one like http://127.0.0.1:8000.")
    return ConnectionFailed(f"The connection to {base_url} broke: {error or type(error).__name__}.")
