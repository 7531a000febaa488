"""Which addresses a webhook may go to: those of the public internet, and what the operator allows beside them."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated

from pydantic import PlainSerializer, PlainValidator
from pydantic_settings import NoDecode

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

REFUSED = (
    "The address is private, loopback, link-local or otherwise not of the public internet, and this server calls no "
    "such address; its operator can allow networks with RETINT_WEBHOOK_ALLOWED_NETWORKS."
)

# From IANA's registries of special-purpose addresses; `ipaddress.is_global` leaves some of them out, and differs
# between Python's versions.
_REFUSED_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; also Alibaba's metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's platform, metadata among it
        "169.254.0.0/16",  # link-local; the metadata of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_PUBLIC_V6 = IPv6Network("2000::/3")
"""All that was ever given out as global unicast."""
_REFUSED_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")


def is_callable(address: Address, *, allowed: Sequence[Network] = ()) -> bool:
    """Whether a webhook may go there; `allowed` are networks that may be called whatever they are."""
    inner = _inner_v4(address)
    if any(known in network for known in (address, inner) if known is not None for network in allowed):
        return True
    if inner is not None:
        return is_callable(inner)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _REFUSED_V4)
    return address in _PUBLIC_V6 and not any(address in network for network in _REFUSED_V6)


def is_callable_host(host: str, *, allowed: Sequence[Network] = ()) -> bool:
    """The same for the host of a web address; a name says nothing before it is resolved, except `localhost`."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, section 6.3: always loopback
        return any(is_callable(ip_address(loopback), allowed=allowed) for loopback in ("127.0.0.1", "::1"))
    try:
        address = ip_address(name.strip("[]"))
    except ValueError:
        return True
    return is_callable(address, allowed=allowed)


def _inner_v4(address: Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for: mapped, 6to4 or NAT64."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _parse_networks(given: object) -> tuple[Network, ...]:
    """Of a list with commas, as in an environment variable, or of networks."""
    parts = given.split(",") if isinstance(given, str) else given
    if not isinstance(parts, list | tuple):
        raise ValueError("expected networks such as 10.1.0.0/16, separated by commas")
    texts = [str(part).strip() for part in parts]
    try:
        return tuple(ip_network(text) for text in texts if text)
    except ValueError as error:
        raise ValueError(f"expected networks such as 10.1.0.0/16 or fd00::/8, separated by commas; {error}") from error


Networks = Annotated[
    tuple[Network, ...],
    NoDecode,
    PlainValidator(_parse_networks),
    PlainSerializer(lambda networks: ",".join(str(network) for network in networks)),
]
"""As a setting."""
