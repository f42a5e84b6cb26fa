"""The client: resolves, checks, connects to what it has checked, and reads no more than it may.

Imported only once there is something to fetch: aiohttp costs as much CPU as the rest of a start.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from famulus_fetch.holding import HeldConnection
from famulus_fetch.hosts import HOST_REFUSED, Address
from famulus_fetch.networks import Networks
from famulus_fetch.resolving import Resolve, checked_addresses
from famulus_fetch.settings import FetchSettings
from famulus_fetch.targets import Target, following, target_of
from famulus_schemas.fetching import Fetched, NotFetched

if TYPE_CHECKING:
    from aiohttp.typedefs import LooseHeaders

READ_BYTES = 65_536
REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Client:
    """Asks hosts that a stranger named. Every hop has a connection of its own, and no state."""

    def __init__(self, settings: FetchSettings, networks: Networks) -> None:
        self._settings = settings
        self._networks = networks
        self._trust = ssl.create_default_context(cafile=settings.ca_file)
        self._trust.set_alpn_protocols(["http/1.1"])
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_s)

    async def get(self, url: str, resolve: Resolve, *, bytes_max: int, accept: str) -> Fetched:
        """What is there, after all redirects. Raises NotFetched; ends when its caller says so."""
        bytes_max = min(bytes_max, self._settings.bytes_max)
        target = target_of(url, self._settings)
        for _ in range(self._settings.redirects_max + 1):
            addresses = await checked_addresses(
                target, resolve, self._networks, self._settings.addresses_max
            )
            try:
                async with self._asked(target, addresses, accept) as response:
                    if response.status not in REDIRECTS:
                        return await _content(response, bytes_max)
                    location = response.headers.get("location", "")
                    target = following(target, location, self._settings)
            except ssl.SSLError as error:
                raise NotFetched("its certificate is not one to be trusted") from error
            except aiohttp.ClientConnectorCertificateError as error:
                raise NotFetched("its certificate is not one to be trusted") from error
            except aiohttp.ClientConnectionError as error:
                raise NotFetched("its host cannot be connected to") from error
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise NotFetched("its host does not answer as a web server does") from error
        raise NotFetched(f"it redirects more than {self._settings.redirects_max} times")

    @asynccontextmanager
    async def _asked(
        self, target: Target, addresses: Sequence[Address], accept: str
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        pinned = Pinned(addresses)
        connector = aiohttp.TCPConnector(
            resolver=pinned,
            use_dns_cache=False,
            force_close=True,
            ssl=self._trust,
            socket_factory=pinned.socket,
        )
        # There is no public way to say what reads an answer. Should this one go, a test tells.
        overhead_bytes_max = self._settings.overhead_bytes_max
        connector._factory = partial(  # type: ignore[assignment]
            HeldConnection, asyncio.get_running_loop(), overhead_bytes_max
        )
        headers: LooseHeaders = {
            "accept": accept,
            "accept-encoding": "identity",
            "user-agent": "famulus",
        }
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=self._timeout,
            read_bufsize=READ_BYTES,
            headers=headers,
        ) as session:
            response = await session.get(target.url, allow_redirects=False)
            try:
                yield response
            finally:
                response.close()


class Pinned(AbstractResolver):
    """Answers with addresses that were checked, and makes sockets for no others."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The checked addresses, whatever the name leads to by now."""
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    def socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """A socket for one of the addresses: the last look before anything is sent."""
        family, kind, proto, _, (host, *_) = info
        if ip_address(host) not in self._addresses:
            raise NotFetched(HOST_REFUSED)
        return socket.socket(family, kind, proto)

    async def close(self) -> None:
        """Nothing is open."""


async def _content(response: aiohttp.ClientResponse, bytes_max: int) -> Fetched:
    if response.status != 200:
        raise NotFetched(f"it answered with status {response.status}")
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise NotFetched("it is sent compressed, which was not asked for")
    too_large = NotFetched(f"it has more than {bytes_max} bytes")
    if (response.content_length or 0) > bytes_max:
        raise too_large
    pieces: list[bytes] = []
    size = 0
    while piece := await response.content.read(READ_BYTES):
        size += len(piece)
        if size > bytes_max:
            raise too_large
        pieces.append(piece)
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return Fetched(content=b"".join(pieces), media_type=media_type[:100])
