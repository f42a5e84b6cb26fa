"""The kernel's own operations: is it alive, is it ready, what runs, and what it serves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import msgspec

from famulus.answers import Bytes, Wire
from famulus.call import Call
from famulus.dispatch import PUBLIC_PATHS
from famulus.operations import operation
from famulus.plugin_slot import State
from famulus_schemas.health import Health

if TYPE_CHECKING:
    from famulus.kernel import Kernel
    from famulus.plugin_slot import Slot
    from famulus.world import World

_AWAY = (State.FAILED, State.BLOCKED, State.LOADED, State.STOPPED)
"""States in which a plugin does not do what it should; `loaded` is one that is being started."""


class Alive(msgspec.Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether requests should be sent here, and each plugin that is not well.

    Why it is not is told to whoever may read `/-/plugins`. Others are told its state: `failed`,
    `blocked` (by another that is), `loaded` (it is being started), `stopped`, or `unwell` where it
    runs and says so itself.
    """

    status: Literal["ok", "degraded", "down", "draining"]
    plugins: dict[str, Health] = {}


class PluginStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one plugin is, and why."""

    name: str
    state: State
    reason: str
    source: str
    required: bool
    provides: list[str]
    needs: list[str]
    health: Health | None = None


class PluginList(msgspec.Struct, frozen=True, kw_only=True):
    """Every plugin that was found."""

    object: Literal["list"] = "list"
    data: list[PluginStatus]


class Admin:
    """What the kernel itself serves."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._described: tuple[World, bytes] | None = None

    @operation("GET", "/health/live", action="health.read")
    async def live(self, call: Call) -> Alive:
        """Whether the process answers at all; restart it where it does not."""
        return Alive()

    @operation("GET", "/health/ready", action="health.read", documented_answer=Readiness)
    async def ready(self, call: Call) -> Bytes:
        """Whether requests should be sent here; 503 while they should not."""
        readiness = await self._readiness()
        status = 200 if readiness.status in ("ok", "degraded") else 503
        if readiness.plugins and not await self._may_know_reasons(call):
            readiness = self._without_reasons(readiness)
        return Bytes(msgspec.json.encode(readiness), "application/json", status=status)

    async def _readiness(self) -> Readiness:
        kernel = self._kernel
        if kernel.is_draining:
            return Readiness(status="draining")
        slots = kernel.lifecycle.slots
        unwell = {
            name: Health(status="down", detail=f"{slot.state}: {slot.reason}")
            for name, slot in slots.items()
            if slot.state in _AWAY
        }
        answers = await kernel.world.hooks.check_health(kernel.settings.health_s)
        unwell |= {name: health for name, health in answers.items() if health.status != "ok"}
        if any(self._bears(slots[name]) for name, one in unwell.items() if one.status == "down"):
            return Readiness(status="down", plugins=unwell)
        return Readiness(status="degraded" if unwell else "ok", plugins=unwell)

    async def _may_know_reasons(self, call: Call) -> bool:
        """Whether the caller could read them at `/-/plugins`; without a key, it could not.

        Where a request comes from is no sign of who sent it: behind a proxy on this machine,
        everybody comes from it.
        """
        hooks = self._kernel.world.hooks
        try:
            async with asyncio.timeout(self._kernel.settings.health_s):
                principal = await hooks.authenticate(call.headers, call.client)
                if principal is None:
                    return False
                await hooks.authorize(principal=principal, action="plugins.read", resource=None)
        except Exception:  # Isolation: a probe is answered, whatever is wrong with keys.
            return False
        return True

    def _without_reasons(self, readiness: Readiness) -> Readiness:
        """What a stranger is told: host names, paths and errors are not for everybody."""
        slots = self._kernel.lifecycle.slots
        plugins = {
            name: Health(
                status=health.status,
                detail=str(slots[name].state) if slots[name].state in _AWAY else "unwell",
            )
            for name, health in readiness.plugins.items()
        }
        return Readiness(status=readiness.status, plugins=plugins)

    def _bears(self, slot: Slot) -> bool:
        """Whether the server is of no use without this plugin."""
        lifecycle = self._kernel.lifecycle
        if slot.required or slot.name in lifecycle.plan.filler.values():
            return True
        # While one that knows keys does not run, whoever it would have let in is turned away.
        return slot.plugin_type is not None and lifecycle.relay.implements(
            slot.plugin_type, "authenticate"
        )

    @operation("GET", "/-/plugins", action="plugins.read")
    async def plugins(self, call: Call) -> PluginList:
        """Every plugin that was found, its state, and the reason for it."""
        health = await self._kernel.world.hooks.check_health(self._kernel.settings.health_s)
        slots = self._kernel.lifecycle.slots.values()
        return PluginList(data=[_status(slot, health.get(slot.name)) for slot in slots])

    @operation("GET", "/openapi.json", action="openapi.read", documented_answer=dict)
    async def openapi(self, call: Call) -> Wire[dict[str, object]]:
        """This server's API as an OpenAPI 3.1 document, made from what it really serves."""
        world = self._kernel.world
        # Anyone may ask, and it takes a tenth of a second to write: once a world is enough.
        if self._described is None or self._described[0] is not world:
            self._described = (world, _describe(world))
        return Wire(self._described[1])

    @operation("GET", "/docs", action="openapi.read", documented_answer={"text/html": str})
    async def docs(self, call: Call) -> Bytes:
        """The same document as a page to read."""
        from famulus.api_page import api_page, api_page_policy

        call.response_headers["content-security-policy"] = api_page_policy()
        return Bytes(api_page("Famulus API"), "text/html; charset=utf-8")


def _describe(world: World) -> bytes:
    # Imported when first asked for: it is no part of a quick start.
    from famulus.openapi import openapi_document

    document = openapi_document(world.operations, public_paths=PUBLIC_PATHS)
    return msgspec.json.encode(document)


def _status(slot: Slot, health: Health | None) -> PluginStatus:
    return PluginStatus(
        name=slot.name,
        state=slot.state,
        reason=slot.reason,
        source=slot.source,
        required=slot.required,
        provides=[port.name for port in slot.provides],
        needs=[port.name for port in slot.needs],
        health=health,
    )
