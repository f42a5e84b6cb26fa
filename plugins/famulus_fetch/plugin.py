"""The plugin: FETCH, by a client that connects only to what it has checked."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from famulus import Plugin, hookimpl
from famulus.mistakes import ConfigError
from famulus_fetch.hosts import HOST_REFUSED
from famulus_fetch.networks import Networks
from famulus_fetch.resolving import AddressRefused, Resolve, resolve_by_system
from famulus_fetch.settings import FetchSettings
from famulus_fetch.turns import Turns
from famulus_schemas.fetching import Fetched, NotFetched
from famulus_schemas.gauges import Gauge
from famulus_schemas.ports import FETCH

if TYPE_CHECKING:
    from famulus.log import Log
    from famulus_fetch.client import Client


class FetchPlugin(Plugin[FetchSettings]):
    """Provides FETCH: gets what a URL of a client leads to, from public addresses alone."""

    name = "fetch"
    provides = (FETCH,)
    stand_in = True
    _fetching: Fetching | None = None

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Provide the port; what speaks HTTP is imported once there is something to fetch."""
        _hold_readable(self.settings.ca_file)
        self._fetching = Fetching(self.settings, resolve_by_system, self.log)
        self.provide(FETCH, self._fetching)
        try:
            yield
        finally:
            await self._fetching.close()

    @hookimpl
    def register_gauges(self) -> list[Gauge]:
        """What is fetched at this moment."""
        return [
            Gauge(
                name="famulus_fetches",
                help="What is fetched from addresses that clients gave, and what waits for that.",
                labels=("state",),
                read=lambda: self._fetching.counts if self._fetching else {},
            )
        ]


class Fetching:
    """Fetch within limits of time and number."""

    def __init__(self, settings: FetchSettings, resolve: Resolve, log: Log) -> None:
        self._settings = settings
        self._resolve = resolve
        self._log = log
        self._networks = Networks(settings.networks, settings.networks_denied)
        self._client: Client | None = None
        self._turns = Turns(
            at_once=settings.at_once_max,
            per_project=settings.at_once_per_project_max,
            waiting_max=settings.waiting_max,
        )

    @property
    def counts(self) -> dict[tuple[str, ...], float]:
        """How many are at it, and how many wait."""
        return {("busy",): self._turns.busy, ("waiting",): self._turns.waiting}

    def refusal(self, url: str) -> str | None:
        """See `famulus_schemas.fetching.Fetch`."""
        from famulus_fetch.targets import target_of

        try:
            host = target_of(url, self._settings).host
        except NotFetched as refusal:
            return str(refusal)
        if isinstance(host, str) or self._networks.may_be_asked(host):
            return None
        return HOST_REFUSED

    async def get(self, project: str, url: str, *, bytes_max: int, accept: str = "*/*") -> Fetched:
        """See `famulus_schemas.fetching.Fetch`."""
        try:
            async with asyncio.timeout(self._settings.total_s), self._turns.turn(project) as turn:

                async def resolve(host: str, port: int) -> Sequence[str]:
                    return await turn.held_by(self._resolve(host, port))

                client = self._opened()
                return await client.get(url, resolve, bytes_max=bytes_max, accept=accept)
        except TimeoutError as error:
            raise NotFetched(f"it takes longer than {self._settings.total_s:g} s") from error
        except AddressRefused as refusal:
            # Who tries this may be looking for a way in; the URL may hold what is secret.
            self._log.warning(
                "fetch_refused",
                project=project,
                host=refusal.host,
                address=str(refusal.address),
            )
            raise

    async def close(self) -> None:
        """Wait for no resolver any more."""
        await self._turns.close()

    def _opened(self) -> Client:
        if self._client is None:
            from famulus_fetch.client import Client

            self._client = Client(self._settings, self._networks)
        return self._client


def _hold_readable(ca_file: str | None) -> None:
    if ca_file is None:
        return
    try:
        ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"[plugins.fetch] ca_file: {ca_file}: {error}") from error
