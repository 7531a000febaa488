"""The bearer key: off on loopback unless set, required on any other address."""

import hmac
import ipaddress
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from jobs.errors import StartupError, Unauthorized
from jobs.settings import Settings
from service.dependencies import SettingsDep

bearer = HTTPBearer(
    auto_error=False, description="The server's `RETINT_API_KEY`; not asked for on a loopback address without one."
)


def require_key(
    settings: SettingsDep, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> None:
    """Dependency of every route that reads or changes jobs.

    Raises:
        Unauthorized: a key is set and the request does not carry it.
    """
    if settings.api_key is None:
        return
    if credentials is None:
        raise Unauthorized("This server asks for a key; send the header `Authorization: Bearer KEY`.")
    expected = settings.api_key.get_secret_value().encode()
    if not hmac.compare_digest(credentials.credentials.encode(), expected):
        raise Unauthorized("The bearer key is not this server's; check it for typing errors.")


def require_safe_address(settings: Settings) -> None:
    """Refuse to serve everybody by accident.

    Raises:
        StartupError: the host is no loopback address and no key, or an empty one, is set.
    """
    key = settings.api_key.get_secret_value() if settings.api_key is not None else None
    if key == "":
        raise StartupError("RETINT_API_KEY is empty; give it a long random value, or unset it on a loopback address.")
    if key is None and not _is_loopback(settings.host):
        raise StartupError(
            f"RETINT_HOST is {settings.host}, which others can reach, and RETINT_API_KEY is not set. "
            "Set RETINT_API_KEY to a long random value, or listen on 127.0.0.1."
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
