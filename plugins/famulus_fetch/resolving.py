"""From a name to addresses, all of which are looked at before one of them is asked."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
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


async def resolve_by_system(host: str, port: int) -> Sequence[str]:
    """As the machine's own resolver answers, in a thread that nothing waits for at the end.

    The resolver cannot be told to stop. Whoever asks it counts its threads, as `Turns` does.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[str]] = loop.create_future()

    def settle(addresses: list[str], error: Exception | None) -> None:
        if found.done():
            return
        if error is None:
            found.set_result(addresses)
        else:
            found.set_exception(error)

    def look_up() -> None:
        addresses: list[str] = []
        failure: Exception | None = None
        try:
            addresses = _look_up(host, port)
        except (OSError, ValueError) as error:
            failure = error
        # RuntimeError: the server has ended meanwhile.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, addresses, failure)

    threading.Thread(target=look_up, name="famulus-fetch-resolve", daemon=True).start()
    return list(dict.fromkeys(await found))


def _look_up(host: str, port: int) -> list[str]:
    return [
        str(address[0]) for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    ]
