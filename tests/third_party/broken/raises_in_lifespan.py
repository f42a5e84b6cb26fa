"""A plugin that cannot start, and two operations that are not served because of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from famulus import Call, NoSettings, Operation, Plugin, hookimpl, operation, operations


class Never(msgspec.Struct):
    """Nobody sees it."""


class Broken(Plugin[NoSettings]):
    """Its database is away."""

    name = "raises_in_lifespan"

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Fail, as if something outside were missing."""
        raise ConnectionError("the database of this plugin is away")
        yield

    @hookimpl
    def register_operations(self) -> list[Operation]:
        """What would be served."""
        return operations(self)

    @operation("GET", "/v1/broken", action="broken.read")
    async def get_broken(self, call: Call) -> Never:
        """Never answers."""
        return Never()
