"""Connections to addresses that were checked: a name is resolved once, checked, and the address it gave is called.

Between check and connection no name is looked up again, so a name that changes its address in between (DNS rebinding)
gains nothing. Host header, SNI and the name in the certificate stay those of the web address.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Any

import httpcore

from jobs.safe_address import Address, Network, is_callable

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]
MOST_ADDRESSES = 4
"""Of a name, so many are tried; they share the time for connecting."""


class NameUnknown(Exception):
    """The host has no address."""


class AddressRefused(Exception):
    """No address of the host may be called."""

    def __init__(self, host: str, addresses: Sequence[Address]) -> None:
        super().__init__(f"{host}: {', '.join(str(address) for address in addresses)}")


class SystemResolver:
    """The system's, in threads of its own: names that answer slowly hold up nothing else."""

    def __init__(self, *, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="resolve")

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._threads, self._look_up, host, port)
        except (OSError, UnicodeError) as error:
            raise NameUnknown(host) from error
        return [ip_address(entry[4][0]) for entry in found]

    @staticmethod
    def _look_up(host: str, port: int) -> list[Any]:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


class SafeBackend(httpcore.AsyncNetworkBackend):
    """Connects where `allowed` and the rules of `jobs.safe_address` let it."""

    def __init__(self, resolve: Resolve, *, allowed: Sequence[Network]) -> None:
        self._resolve = resolve
        self._allowed = allowed
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises, beside httpcore's errors, `NameUnknown` and `AddressRefused`."""
        try:
            async with asyncio.timeout(timeout):
                found = await self._resolve(host, port)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"{host} was not resolved in time") from error
        addresses = [address for address in found if is_callable(address, allowed=self._allowed)][:MOST_ADDRESSES]
        if not addresses:
            raise AddressRefused(host, found)
        share = None if timeout is None else timeout / len(addresses)
        failure: Exception | None = None
        for address in addresses:
            try:
                return await self._inner.connect_tcp(str(address), port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        assert failure is not None
        raise failure

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
