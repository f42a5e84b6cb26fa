"""The plugin: vLLM servers as backends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from famulus import Plugin, hookimpl
from famulus.plugin import Host
from famulus_schemas.inference import Backend
from famulus_vllm.settings import VllmSettings


class Vllm(Plugin[VllmSettings]):
    """Reaches vLLM servers."""

    name: ClassVar[str] = "vllm"

    def __init__(self, settings: VllmSettings, host: Host) -> None:
        super().__init__(settings, host)
        self._backends: list[Backend] = []

    @classmethod
    def off_because(cls, settings: VllmSettings) -> str | None:
        """Nothing to reach."""
        if settings.servers:
            return None
        return "no server is named; --backend URL reaches a vLLM server too"

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Keep one HTTP client open for all servers."""
        # Imported here because it brings aiohttp, which a server without vLLM can spare.
        from famulus_http_models.backend import HttpBackend
        from famulus_http_models.link import open_link

        async with open_link(self.settings.limits) as link:
            for server in self.settings.as_vllm():
                backend = await HttpBackend.load(
                    server, link, timeouts=self.settings.timeouts, clock=self.host.clock
                )
                self._backends.append(backend)
            yield
        self._backends.clear()

    @hookimpl
    def register_backends(self) -> list[Backend]:
        """Every server."""
        return list(self._backends)
