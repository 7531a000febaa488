"""Where this machine's own API is reached."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.settings import Settings


def address(settings: "Settings") -> str:
    """Where a client on this machine reaches the API."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
