"""How both clients connect."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from retint.errors import ConnectionFailed

DEFAULT_SERVER = "http://127.0.0.1:8000"
LONG_POLL_SECONDS = 20
"""How long the server is asked to hold an answer until the job changes; it allows 30."""
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
WAIT_TIMEOUT = httpx.Timeout(LONG_POLL_SECONDS + 15.0, connect=10.0)
EVENTS_TIMEOUT = httpx.Timeout(45.0, connect=10.0)
"""The server says something every 15 seconds; twice as long is a connection that is gone."""
UPLOAD_TIMEOUT = httpx.Timeout(120.0, connect=10.0)
"""Per read and write, not in all; the server may need a while to store the last of a large upload."""


def http_settings(base_url: str, *, api_key: str | None) -> dict[str, Any]:
    """What httpx's clients are made with.

    Raises:
        ConnectionFailed: no header can carry the key.
    """
    if api_key and not (api_key.isascii() and api_key.isprintable()):
        raise ConnectionFailed(
            "The API key cannot be sent: it holds a line end or a letter that is not ASCII.", transient=False
        )
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


class Address:
    """Where the server is, and whether it was ever reached there."""

    def __init__(self, base_url: str) -> None:
        """Raises:
        ConnectionFailed: `base_url` is no address.
        """
        self.base_url = base_url.rstrip("/")
        self._reached = False
        try:
            httpx.URL(self.base_url)
        except httpx.InvalidURL as error:
            raise self._wrong() from error

    @contextmanager
    def calling(self) -> Iterator[None]:
        """What httpx raises, as what this package raises."""
        try:
            yield
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise self._wrong() from error
        except httpx.HTTPError as error:
            self._reached = self._reached or not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            raise ConnectionFailed(self._sentence(error), transient=self._reached) from error
        self._reached = True

    def _wrong(self) -> ConnectionFailed:
        detail = f"{self.base_url} is no address of a server; expected one like http://127.0.0.1:8000."
        return ConnectionFailed(detail, transient=False)

    def _sentence(self, error: httpx.HTTPError) -> str:
        elsewhere = self._elsewhere(error)
        if elsewhere is not None:
            return f"The server sent the download to {elsewhere}, and nothing came from there: {error or 'no answer'}."
        if isinstance(error, httpx.ConnectError):
            reason = re.sub(r"^\[Errno -?\d+\] ", "", str(error))
            return f"No server answers at {self.base_url}: {reason}. Start one with `retint serve`."
        if isinstance(error, httpx.TimeoutException):
            return f"The server at {self.base_url} did not answer in time."
        return f"The connection to {self.base_url} broke: {error or type(error).__name__}."

    def _elsewhere(self, error: httpx.HTTPError) -> str | None:
        """The host that the server has sent us to, where it is another one and the error is of there."""
        try:
            asked, ours = error.request.url, httpx.URL(self.base_url)
        except RuntimeError:  # it is of no request
            return None
        return None if (asked.host, asked.port) == (ours.host, ours.port) else asked.netloc.decode()


def _uses_proxies(base_url: str) -> bool:
    """Whether the environment's proxies apply: none of them reaches this machine's own loopback address."""
    host = httpx.URL(base_url).host
    return not (host == "localhost" or host == "::1" or host.startswith("127."))
