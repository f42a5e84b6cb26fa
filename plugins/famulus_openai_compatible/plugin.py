"""The plugin: servers that are named, or found, as backends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, ClassVar

import msgspec

from famulus import Plugin, hookimpl
from famulus.plugin import Host
from famulus_http_models.settings import Server
from famulus_openai_compatible.discovery import USUAL_PORTS, listening
from famulus_openai_compatible.settings import OpenAICompatibleSettings
from famulus_schemas.inference import Backend, BackendFault

if TYPE_CHECKING:
    from famulus_http_models.backend import HttpBackend
    from famulus_http_models.link import Link

BUILTIN = "builtin"
"""The backend that stands in where there is no other, and so is no reason not to look for one."""


class OpenAICompatible(Plugin[OpenAICompatibleSettings]):
    """Reaches model servers over HTTP."""

    name: ClassVar[str] = "openai_compatible"
    gathers: ClassVar[tuple[str, ...]] = ("register_backends",)
    usual_ports: ClassVar[Mapping[str, int]] = USUAL_PORTS

    def __init__(self, settings: OpenAICompatibleSettings, host: Host) -> None:
        super().__init__(settings, host)
        self._backends: list[Backend] = []
        self._open = AsyncExitStack()
        self._link: Link | None = None

    @classmethod
    def off_because(cls, settings: OpenAICompatibleSettings) -> str | None:
        """Nothing to reach, and told not to look."""
        if settings.servers() or settings.discover:
            return None
        return "no server is named (--backend URL) and discover is off"

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Keep one HTTP client open, if there is anything to reach."""
        async with self._open:
            for server in self.settings.servers():
                self._backends.append(await self._backend(server))
            if not self._backends and await self._may_discover():
                self._backends += await self._discover()
            yield
        self._backends.clear()

    @hookimpl
    def register_backends(self) -> list[Backend]:
        """Every server that is named or was found."""
        return list(self._backends)

    async def _may_discover(self) -> bool:
        if not self.settings.discover:
            return False
        others: Sequence[Backend] = self.gather("register_backends")
        for other in others:
            if other.name != BUILTIN and await self._may_chat(other):
                return False
        return True

    async def _may_chat(self, backend: Backend) -> bool:
        """Whether it has, or may have, anything but embeddings."""
        try:
            async with asyncio.timeout(self.settings.discover_timeout_s):
                cards = await backend.models()
        except (BackendFault, TimeoutError):
            return True
        return not cards or any(card.chats for card in cards)

    async def _discover(self) -> list[Backend]:
        limit_s = self.settings.discover_timeout_s
        candidates = await listening(self.usual_ports, limit_s)
        found = [server for server in candidates if await self._answers(server, limit_s)]
        names = [server.name for server in found]
        self.log.info(
            "model_servers_looked_for",
            found=names,
            not_found=[name for name in self.usual_ports if name not in names],
            advice="" if found else "name a server with --backend URL",
        )
        return [await self._backend(server) for server in found]

    async def _answers(self, server: Server, limit_s: float) -> bool:
        timeouts = msgspec.structs.replace(self.settings.timeouts, list_timeout_s=limit_s)
        asked = msgspec.structs.replace(server, timeouts=timeouts)
        try:
            models = await (await self._backend(asked)).models()
        except BackendFault as fault:
            self.log.info("port_is_no_model_server", url=server.url, reason=fault.message)
            return False
        self.log.info("model_server_found", server=server.label, url=server.url, models=len(models))
        return True

    async def _backend(self, server: Server) -> HttpBackend:
        from famulus_http_models.backend import HttpBackend

        return await HttpBackend.load(
            server,
            await self._opened(),
            timeouts=self.settings.timeouts,
            clock=self.host.clock,
        )

    async def _opened(self) -> Link:
        if self._link is None:
            # Imported here because it brings aiohttp, which a server without backends can spare.
            from famulus_http_models.link import open_link

            self._link = await self._open.enter_async_context(open_link(self.settings.limits))
        return self._link
