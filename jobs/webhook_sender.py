"""One attempt to deliver a message: who may be called, how long it may take, and what counts as delivered."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpcore
import httpx

from jobs.safe_address import REFUSED, Network
from jobs.safe_network import AddressRefused, NameUnknown, Resolve, SafeBackend
from jobs.webhook_address import UnfitAddress, parse_address
from jobs.webhook_message import WebhookMessage

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 20.0
"""Redirects included; the specification recommends 15 to 30."""
MOST_REDIRECTS = 3
_KEEP_METHOD = (307, 308)
"""Redirects that repeat the POST; others would make it a GET without a body."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How an attempt went."""

    status: int | None
    """Of HTTP; None where no answer came."""
    error: str | None
    """A sentence for the job's owner, with nothing of this server's network in it; None: delivered."""
    retry_after: float | None = None
    """Seconds that the receiver asks to be left alone."""
    cause: str | None = None
    """What the operator may know beyond `error`."""


class WebhookSender:
    """Sends to addresses that `jobs.safe_address` allows, past any proxy, each time on a connection of its own."""

    def __init__(self, resolve: Resolve, *, allowed: Sequence[Network], tls: ssl.SSLContext | None = None) -> None:
        self._backend = SafeBackend(resolve, allowed=allowed)
        self._tls = tls or httpx.create_ssl_context()

    async def send(self, url: str, message: WebhookMessage) -> Answer:
        """POST the message, following redirects that keep it a POST."""
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                return await self._send(url, message)
        except UnfitAddress as error:
            return Answer(None, str(error))
        except (TimeoutError, NameUnknown, AddressRefused, *_BROKEN) as error:
            return Answer(None, _sentence(error), cause=_cause(error))

    async def _send(self, url: str, message: WebhookMessage) -> Answer:
        target = parse_address(url)
        status = 0
        for _ in range(MOST_REDIRECTS + 1):
            try:
                status, headers = await self._post(target, message)
            except AddressRefused as error:
                if not status:
                    raise
                return Answer(status, f"The receiver redirected to another address. {REFUSED}", cause=_cause(error))
            if status not in _KEEP_METHOD or "location" not in headers:
                return _judge(status, headers)
            target = parse_address(headers["location"], base=target)
        return Answer(status, f"The receiver redirected more than {MOST_REDIRECTS} times.")

    async def _post(self, url: httpx.URL, message: WebhookMessage) -> tuple[int, Mapping[str, str]]:
        """Status and headers; the body is not read."""
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        timeout = {"connect": CONNECT_SECONDS, "read": TOTAL_SECONDS, "write": TOTAL_SECONDS}
        async with (
            httpcore.AsyncHTTPConnection(target.origin, self._tls, network_backend=self._backend) as connection,
            connection.stream(
                "POST",
                target,
                headers=[("Host", url.netloc.decode()), ("Connection", "close"), *message.headers.items()],
                content=message.body.encode(),
                extensions={"timeout": timeout},
            ) as response,
        ):
            return response.status, httpx.Headers(response.headers)


_BROKEN = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError)


def _judge(status: int, headers: Mapping[str, str]) -> Answer:
    if 200 <= status < 300:
        return Answer(status, None)
    if status == HTTPStatus.GONE:
        return Answer(status, "The receiver answered 410 Gone: nothing more of this job is sent.")
    if 300 <= status < 400:
        return Answer(
            status, f"The receiver redirected with {status}; only 307 and 308 are followed. Give its final address."
        )
    try:
        name = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        name = str(status)
    return Answer(status, f"The receiver answered {name}.", retry_after=_seconds(headers.get("retry-after", "")))


def _seconds(retry_after: str) -> float | None:
    """Of a Retry-After header (RFC 9110, section 10.2.3): seconds or a date."""
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds()


def _cause(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _sentence(error: Exception) -> str:
    """What the job's owner may know of a call that got no answer."""
    match error:
        case NameUnknown():
            return "The host's name has no address."
        case AddressRefused():
            return REFUSED
        case httpcore.ConnectTimeout():
            return f"No connection to the receiver within {CONNECT_SECONDS:g} seconds."
        case TimeoutError() | httpcore.TimeoutException():
            return f"The receiver did not answer within {TOTAL_SECONDS:g} seconds."
        case httpcore.ConnectError(__cause__=ssl.SSLCertVerificationError(verify_message=reason)):
            return f"The receiver's certificate was not accepted: {reason}."
        case httpcore.ConnectError(__cause__=ssl.SSLError()):
            return "No TLS connection could be made with the receiver."
        case httpcore.ConnectError():
            return "The receiver cannot be reached, or refused the connection."
        case _:
            return "The connection broke before the receiver had answered in HTTP."
