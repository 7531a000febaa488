"""Web addresses as webhooks are sent to them."""

import httpx


class UnfitAddress(Exception):
    """An address that no webhook is sent to; its text says why, in a sentence for the job's owner."""


def parse_address(text: str, *, base: httpx.URL | None = None) -> httpx.URL:
    """The address that `text` means, as the target of a redirect from `base` where that is given.

    Raises:
        UnfitAddress: it is none that can be called, or carries a name or a password.
    """
    try:
        url = httpx.URL(text) if base is None else base.join(text)
        fit = url.scheme in ("http", "https") and url.host != "" and (url.port is None or 0 < url.port < 65536)
    except (httpx.InvalidURL, UnicodeError):  # the latter is what a broken international name raises
        fit = False
    if not fit:
        whose = "The address" if base is None else "The address that the receiver redirects to"
        raise UnfitAddress(f"{whose} cannot be called; expected one such as https://example.org/hook.")
    if url.userinfo:
        raise UnfitAddress("An address with a user name or a password in it is not called; take them out.")
    if base is not None and base.scheme == "https" and url.scheme == "http":
        raise UnfitAddress("The receiver redirected from https to http, where others could read the message.")
    return url
