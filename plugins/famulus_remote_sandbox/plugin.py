"""The plugin: boxes on another machine, where the operator names it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from famulus import Plugin, hookimpl
from famulus.mistakes import ConfigError
from famulus_remote_sandbox.settings import RemoteSandboxSettings
from famulus_schemas.health import Health
from famulus_schemas.ports import SANDBOX

if TYPE_CHECKING:
    from famulus_remote_sandbox.keeper import Keeper


class RemoteSandbox(Plugin[RemoteSandboxSettings]):
    """Provides SANDBOX by a Jupyter gateway's kernels, where `[ports] sandbox` names it."""

    name = "remote_sandbox"
    provides = (SANDBOX,)
    by_choice = True
    _keeper: Keeper | None = None

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Provide the port; the gateway is reached when boxes are first asked for."""
        settings = self.settings
        _check(settings)
        # Only here: what is not chosen is not imported, and least of all an HTTP client.
        from famulus_remote_sandbox.gateway import open_gateway
        from famulus_remote_sandbox.keeper import Keeper
        from famulus_remote_sandbox.marks import Marks

        if not settings.verify_tls:
            self.log.warning("gateway_not_verified", url=settings.url)
        async with open_gateway(settings) as gateway:
            marks = Marks(self.data_dir / "kernels")
            self._keeper = Keeper(gateway, settings, marks, make_id=self.new_id, log=self.log)
            async with self._keeper.running():
                self.provide(SANDBOX, self._keeper)
                yield

    @hookimpl
    async def check_health(self) -> Health:
        """What the probe found. A server without boxes serves everything else."""
        assert self._keeper is not None
        return self._keeper.health()


def _check(settings: RemoteSandboxSettings) -> None:
    if settings.url is None:
        return
    url = urlsplit(settings.url)
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
        raise ConfigError("[plugins.remote_sandbox] url: it must be http://… or https://…, alone")
    if url.username is not None:
        raise ConfigError("[plugins.remote_sandbox] url: a secret in it would be shown; set token")
