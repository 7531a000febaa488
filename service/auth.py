"""Who a call comes from: bearer keys, asked for everywhere but on loopback, or as the settings say."""

import ipaddress

from fastapi import Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from jobs.connection import REDIS_AWAY
from jobs.errors import StartupError, Unauthorized
from jobs.keys import KeyRing
from jobs.sessions import SessionBook
from jobs.settings import Settings

COOKIE = "retint_session"
"""Holds a browser's session: images, videos and downloads of a page cannot send a header."""
PAGE_HEADER = "Retint-Page"
"""What the page sends with every call that changes something. A form or a picture of another site cannot send it, and
a script of another site is not let to: that needs a permission (CORS) that this server never gives."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_SITES = frozenset({"same-origin", "none"})
"""What browsers say of calls by a page of this server, and of addresses that a person typed."""

bearer = HTTPBearer(auto_error=False, description="A key that `retint keys create NAME` has made.")


def asks_for_keys(settings: Settings) -> bool:
    if settings.auth == "auto":
        return not is_loopback(settings.host)
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


def identify_session(request: Request, *, sessions: SessionBook) -> str | None:
    """The id of the key behind the call's cookie; None where it has none.

    Raises:
        Unauthorized: the session is over, or the call changes something and does not come from the page.
    """
    secret = request.cookies.get(COOKIE)
    if secret is None:
        return None
    if request.method not in SAFE_METHODS and PAGE_HEADER not in request.headers:
        raise Unauthorized(f"A call with a session changes something only with the header `{PAGE_HEADER}`; send it.")
    key_id = sessions.identify(secret)
    if key_id is None:
        raise Unauthorized("The session is over, or its key was revoked; show a key again.")
    return key_id


def refuse_other_sites(request: Request) -> None:
    """Let no page of another site change anything where no key is asked for: a browser on this machine reaches the
    server for any site that it shows, and says for which (Fetch Metadata, W3C). Programs send no such header.

    Raises:
        Unauthorized: the call changes something, and a page of another site makes it.
    """
    site = request.headers.get("sec-fetch-site", "none")
    if request.method not in SAFE_METHODS and site not in OWN_SITES:
        raise Unauthorized(
            "A page of another site makes this call, and carries no key. Use the page of this server itself, or have "
            "the server ask for keys: RETINT_AUTH=on."
        )


def identify_caller(
    request: Request, credentials: HTTPAuthorizationCredentials | None, *, keys: KeyRing, sessions: SessionBook
) -> str:
    """The id of the key that the call carries, or that its session was opened with.

    Raises:
        Unauthorized
    """
    key_id = identify_session(request, sessions=sessions) if credentials is None else None
    return key_id or identify(credentials, keys=keys)


def is_open_to_others(settings: Settings) -> bool:
    """Whether everybody who reaches the address, and not this machine alone, is served without a key."""
    return not asks_for_keys(settings) and not is_loopback(settings.host)


def answers_to_own_names_alone(settings: Settings) -> bool:
    """Whether it is the address that lets callers in: then no name may stand for it that others choose."""
    return not asks_for_keys(settings) and is_loopback(settings.host)


def serves_nobody(settings: Settings, keys: KeyRing) -> bool:
    """Whether keys are asked for, and there is none. Where Redis is away nobody knows, nor gets in."""
    if not asks_for_keys(settings):
        return False
    try:
        return not keys.exists()
    except REDIS_AWAY:
        return False


def require_some_key(settings: Settings, keys: KeyRing) -> None:
    """Refuse to start where nobody could be served.

    Raises:
        StartupError: keys are asked for, and there is none.
    """
    if serves_nobody(settings, keys):
        raise StartupError(
            f"Keys are asked for on {settings.host or 'every address'}, and there is none. Make one with `retint keys "
            "create NAME`, or serve everybody who can reach this address with --no-auth."
        )


def is_loopback(host: str) -> bool:
    """Whether a name or an address, in brackets or not, is this machine's own alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
