"""The plugin: the tool kind, its sessions, and whether it can work here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from famulus import Plugin, hookimpl, need, want
from famulus_code_interpreter.kind import NO_SANDBOX, OFF, CodeInterpreter
from famulus_code_interpreter.remembered import KIND, forget
from famulus_code_interpreter.sessions import Sessions
from famulus_code_interpreter.settings import CodeInterpreterSettings
from famulus_schemas.gauges import Gauge
from famulus_schemas.health import Health
from famulus_schemas.identity import Principal
from famulus_schemas.ports import FILES, RECORDS, SANDBOX
from famulus_schemas.records import Delete, Record, Unit, Write
from famulus_schemas.retention import Data, DataKind, Idle, Removed
from famulus_schemas.sandbox import Probe
from famulus_schemas.tooling import ToolKind


class CodeInterpreterPlugin(Plugin[CodeInterpreterSettings]):
    """Lets assistants run code, where there is a sandbox."""

    name = "code_interpreter"
    records = need(RECORDS)
    files = need(FILES)
    sandbox = want(SANDBOX)

    sessions: Sessions
    _probing: asyncio.Task[Probe] | None = None

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Close boxes in time until stopped; those that are left are the sandbox's to close."""
        await self.records.declare(KIND)
        self.sessions = Sessions(self)
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(self._sweep())]
        try:
            yield
        finally:
            tasks += [self._probing] if self._probing is not None else []
            self._probing = None
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self.settings.sweep_s)
            try:
                await self.sessions.sweep()
            except Exception as error:  # Isolation: one trouble must not end all sweeping.
                self.log.error("sweep_failed", exc_info=error)

    @hookimpl
    def register_gauges(self) -> list[Gauge]:
        """The boxes that are open."""
        return [
            Gauge(
                name="famulus_boxes_open",
                help="Boxes in which threads' code runs, busy or idle.",
                labels=("state",),
                read=lambda: self.sessions.counts(),
            )
        ]

    @hookimpl
    def register_data_kinds(self) -> list[Data]:
        """What is remembered of boxes: a thread's next one begins without it where that must go."""
        return [
            DataKind(name="code_sessions", kind=KIND.name, delete=self._forget, is_copy=True),
        ]

    async def _forget(self, principal: Principal, record: Record, idle: Idle | None) -> Removed:
        await self.records.of(record.project).commit([forget(record.id)])
        return Removed()

    @hookimpl
    def register_tools(self) -> list[ToolKind]:
        """The one kind."""
        return [CodeInterpreter(self)]

    @hookimpl
    async def join_unit(self, principal: Principal, action: str, unit: Unit) -> list[Write]:
        """A deleted thread takes along what is remembered of its boxes."""
        if action != "threads.delete":
            return []
        return [
            forget(write.id)
            for write in unit
            if isinstance(write, Delete) and write.kind == "thread"
        ]

    @hookimpl
    async def check_health(self) -> Health:
        """Whether code can be run here; everything else works without."""
        if self.sandbox is None:
            return Health(status="degraded", detail=NO_SANDBOX)
        if self._probing is None:
            self._probing = asyncio.create_task(self.sandbox.probe())
        if not self._probing.done():
            # That takes longer than whoever asks will wait.
            return Health(detail="the sandbox is being tried out")
        probe = await self._probing
        if probe.level == "none":
            return Health(status="degraded", detail=OFF.format(reasons="; ".join(probe.reasons)))
        return Health()
