"""Refuses webhooks of which it is plain from their address that they would never be sent."""

from collections.abc import Sequence

from jobs.errors import FieldError, InvalidRequest
from jobs.options import JobOptions
from jobs.safe_address import REFUSED, Network, is_callable_host
from jobs.webhook_address import UnfitAddress, parse_address


def require_callable_webhook(options: JobOptions, *, allowed: Sequence[Network]) -> None:
    """Check the webhook's address. A name may lead anywhere: it is resolved and checked at every call, not here.

    Raises:
        InvalidRequest: the address is none of the public internet, or carries a name or a password.
    """
    if options.webhook is None:
        return
    try:
        detail = "" if is_callable_host(parse_address(options.webhook.url).host, allowed=allowed) else REFUSED
    except UnfitAddress as error:
        detail = str(error)
    if detail:
        raise InvalidRequest(detail, errors=[FieldError("#/options/webhook/url", detail)])
