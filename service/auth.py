"""Who a call comes from: bearer keys, asked for everywhere but on loopback, or as the settings say."""

import ipaddress

from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from jobs.connection import REDIS_AWAY
from jobs.errors import StartupError, Unauthorized
from jobs.keys import KeyRing
from jobs.settings import Settings

bearer = HTTPBearer(auto_error=False, description="A key that `retint keys create NAME` has made.")


def asks_for_keys(settings: Settings) -> bool:
    if settings.auth == "auto":
        return not _is_loopback(settings.host)
    return settings.auth == "on"


def identify(credentials: HTTPAuthorizationCredentials | None, *, keys: KeyRing) -> str:
    """The id of the caller's key.

    Raises:
        Unauthorized: the call carries none, or none of ours.
    """
    if credentials is None:
        raise Unauthorized("This server asks for a key; send the header `Authorization: Bearer KEY`.")
    key_id = keys.identify(credentials.credentials)
    if key_id is None:
        raise Unauthorized("The bearer key is none of this server's; it may be misspelt, or revoked.")
    return key_id


def is_open_to_others(settings: Settings) -> bool:
    """Whether everybody who reaches the address, and not this machine alone, is served without a key."""
    return not asks_for_keys(settings) and not _is_loopback(settings.host)


def require_some_key(settings: Settings, keys: KeyRing) -> None:
    """Refuse to start where nobody could be served.

    Raises:
        StartupError: keys are asked for, and there is none.
    """
    if not asks_for_keys(settings):
        return
    try:
        found = keys.exists()
    except REDIS_AWAY:
        # Nobody gets in before it is back: without Redis no key can be told from another.
        return
    if not found:
        raise StartupError(
            f"Keys are asked for on {settings.host or 'every address'}, and there is none. Make one with `retint keys "
            "create NAME`, or serve everybody who can reach this address with --no-auth."
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
