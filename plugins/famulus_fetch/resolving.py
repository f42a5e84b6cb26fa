"""From a name to addresses, all of which are looked at before one of them is asked."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING

from famulus_fetch.hosts import HOST_REFUSED, Address
from famulus_fetch.networks import Networks
from famulus_schemas.fetching import NotFetched

if TYPE_CHECKING:
    from famulus_fetch.targets import Target

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a name, as text; raises OSError where there are none."""


class AddressRefused(NotFetched):
    """A host has an address that is not asked; which one is for the log alone."""

    def __init__(self, host: str, address: Address) -> None:
        super().__init__(HOST_REFUSED)
        self.host = host
        self.address = address


async def checked_addresses(
    target: Target, resolve: Resolve, networks: Networks, addresses_max: int
) -> list[Address]:
    """Where to connect to. Raises NotFetched if one address is not asked, whatever the others."""
    if isinstance(target.host, str):
        try:
            found = [ip_address(each) for each in await resolve(target.host, target.port)]
        except (OSError, ValueError) as error:
            # ValueError: an address with a zone, or what a resolver makes of a label too long.
            raise NotFetched(HOST_REFUSED) from error
    else:
        found = [target.host]
    if not found or len(found) > addresses_max:
        raise NotFetched(HOST_REFUSED)
    for address in found:
        if not networks.may_be_asked(address):
            raise AddressRefused(str(target.host), address)
    return found


@contextmanager
def system_resolver(threads_max: int) -> Iterator[Resolve]:
    """The machine's own resolver, in threads that no other work of the server waits for."""
    threads = ThreadPoolExecutor(threads_max, thread_name_prefix="famulus-fetch-resolve")

    async def resolve(host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(threads, _look_up, host, port)
        return list(dict.fromkeys(found))

    try:
        yield resolve
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> list[str]:
    return [
        str(address[0]) for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    ]
