"""The plugin: in the unit of every change, and hearing of every refusal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from famulus import Call, Operation, Plugin, Problem, hookimpl, need, operations, want
from famulus.operations import Proceed
from famulus_audit.actors import of_call, of_itself, of_refused
from famulus_audit.changes import changes_of
from famulus_audit.events import KIND, Event, Source, event_id, project_told_of, record_of
from famulus_audit.folding import Folding
from famulus_audit.operations import AuditOperations
from famulus_audit.queue import Queue
from famulus_audit.settings import AuditSettings
from famulus_audit.words import (
    ACCESS_REFUSED,
    ADMINISTRATION,
    LOGIN_FAILED,
    RATE_LIMITED,
    type_of,
)
from famulus_schemas.gauges import Gauge
from famulus_schemas.identity import SYSTEM_PROJECT, Principal
from famulus_schemas.notices import RequestRefused
from famulus_schemas.ports import KEYS, RECORDS
from famulus_schemas.records import Clear, Insert, Record, Unit, Write
from famulus_schemas.retention import Data, DataKind, Idle, Removed

if TYPE_CHECKING:
    import click

NAME_S = 60.0
"""How long a project's name is taken to be what it was."""
NAMES_MAX = 1_000
RESOURCE_MAX = 256
"""Characters that are kept of what a refused request calls an object."""

_FORBIDDEN, _TOO_MANY = 403, 429


class Asked:
    """The request that is served, and by which task."""

    __slots__ = ("call", "operation", "task")

    def __init__(self, call: Call, operation: Operation) -> None:
        self.call = call
        self.operation = operation
        self.task = asyncio.current_task()

    @property
    def named(self) -> str | None:
        """The id that the request was sent to."""
        names = self.operation.path_names
        return self.call.path.rpartition("/")[2] if names and self._ends_with_id else None

    @property
    def _ends_with_id(self) -> bool:
        return self.operation.path.endswith("}")


_ASKED: ContextVar[Asked | None] = ContextVar("famulus_audit", default=None)


class Audit(Plugin[AuditSettings]):
    """Writes down who did what to which object, from where, and with what result."""

    name = "audit"
    joins_commands = True
    records = need(RECORDS.system)
    keys = want(KEYS)
    queue: Queue
    folding: Folding

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Write what waits until the end, and what then still waits."""
        await self.records.declare(KIND)
        self._names: dict[str, tuple[float, str | None]] = {}
        self.folding = Folding(self.settings)
        self.queue = Queue(
            self.records, self.settings, write=self._write, due=self._due, log=self.log
        )
        writer = asyncio.create_task(self.queue.run())
        try:
            yield
        finally:
            writer.cancel()
            await asyncio.wait([writer])
            for event in self.folding.rest():
                self.queue.put(_home(event), event)
            await self.queue.flush()

    @hookimpl
    def register_operations(self) -> list[Operation]:
        """The log, to read."""
        return operations(AuditOperations(self))

    @hookimpl
    def register_gauges(self) -> list[Gauge]:
        """What is not in the log, and what waits for it."""
        return [
            Gauge(
                name="famulus_audit_waiting",
                help="Refusals and reads that wait to be written to the audit log.",
                read=lambda: len(self.queue),
            ),
            Gauge(
                name="famulus_audit_lost_total",
                help="Refusals and reads that are not in the audit log.",
                read=lambda: self.queue.lost,
            ),
            Gauge(
                name="famulus_audit_folded_total",
                help="Refusals that are in the audit log as a count only.",
                read=lambda: self.folding.folded,
            ),
        ]

    @hookimpl
    def register_data_kinds(self) -> list[Data]:
        """Events, which go by their age, and stay where their project is erased."""
        return [
            DataKind(
                name="audit",
                kind=KIND.name,
                delete=self._delete,
                age="since it was written",
                last_used=_written_at,
                stays="it is the proof of who did what",
                about=project_told_of,
            )
        ]

    async def _delete(
        self, principal: Principal, record: Record, idle: Idle | None
    ) -> Removed | None:
        records = self.records.of(record.project)
        if await records.get(KIND.name, record.id) is None:
            return None
        await records.commit([Clear(kind=KIND.name, parent=record.parent)])
        return Removed(bytes=len(record.body))

    @staticmethod
    @hookimpl
    def register_commands(cli: click.Group) -> None:
        """`famulus audit`."""
        from famulus.later import later

        cli.add_command(later("audit", "famulus_audit.commands:audit", does="Read the audit log."))

    # --- changes ------------------------------------------------------------------------------

    @hookimpl(tryfirst=True)
    async def around_call(self, call: Call, operation: Operation, proceed: Proceed) -> Any:
        """Have it known, in this task, by which request a unit is committed."""
        if operation.method == "GET":
            answer = await proceed()
            if self.settings.reads and call.project:
                self._has_read(Asked(call, operation))
            return answer
        token = _ASKED.set(Asked(call, operation))
        try:
            return await proceed()
        finally:
            _ASKED.reset(token)

    @hookimpl(trylast=True)
    async def join_unit(self, principal: Principal, action: str, unit: Unit) -> list[Write]:
        """The events that tell of the unit, in its commit."""
        if self.settings.changes == "administration" and _resource(action) not in ADMINISTRATION:
            return []
        asked = _ASKED.get()
        # What a request set going runs in other tasks, or as somebody else, and is none of its own.
        if asked is not None and (
            asked.task is not asyncio.current_task() or asked.call.principal.id != principal.id
        ):
            asked = None
        source = of_itself(principal) if asked is None else self._source(asked.call)
        if source is None:
            return []
        named = None if asked is None else asked.named
        at = self.now()
        events = []
        for change in changes_of(action, unit, named=named):
            project: str | None = principal.project
            if change.called is not None:
                project = change.resource
                self._names.pop(project or "", None)
            events.append(
                Event(
                    type=change.type,
                    at=at,
                    source=source,
                    project=None if project == SYSTEM_PROJECT else project,
                    project_name=change.called or await self._name_of(project),
                    resource=change.resource,
                    details=change.details,
                )
            )
        return [self._write(principal.project, event) for event in events]

    def _source(self, call: Call) -> Source:
        return of_call(call, characters_max=self.settings.user_agent_characters_max)

    def _write(self, home: str, event: Event) -> Insert:
        return record_of(event, id=event_id(self.new_id(""), home))

    async def _name_of(self, project: str | None) -> str | None:
        """What a project is called, as far as anybody here knows."""
        if project is None or project == SYSTEM_PROJECT or self.keys is None:
            return None
        now = self.host.clock()
        known = self._names.get(project)
        if known is not None and 0 <= now - known[0] < NAME_S:
            return known[1]
        try:
            name: str | None = (await self.keys.project(project)).name
        except Problem:
            # It is only named by its keys, or is made by this very unit.
            return None
        self._names.pop(project, None)
        while len(self._names) >= NAMES_MAX:
            del self._names[next(iter(self._names))]
        self._names[project] = (now, name)
        return name

    # --- refusals and reads -------------------------------------------------------------------

    @hookimpl
    async def on_event(self, event: RequestRefused) -> None:
        """Write down a refusal, or count it."""
        if not self._is_told(event):
            return
        refused = Event(
            type=_refusal_type(event),
            at=self.now(),
            source=of_refused(event, characters_max=self.settings.user_agent_characters_max),
            project=None if event.project in (None, SYSTEM_PROJECT) else event.project,
            project_name=await self._name_of(event.project),
            # Whatever was asked for: no object is called so, and a flood must not fill the disk.
            resource=event.resource[:RESOURCE_MAX] if event.resource else None,
            details={"error_code": event.code, "status": event.status, "action": event.action},
            result="refused",
        )
        if self.folding.admits(refused, self.host.clock()):
            self.queue.put(_home(refused), refused)

    def _is_told(self, event: RequestRefused) -> bool:
        if event.status == _TOO_MANY and event.principal is not None:
            return self.settings.rate_limits
        return self.settings.refusals

    def _has_read(self, asked: Asked) -> None:
        call, named = asked.call, asked.named
        event = Event(
            type=type_of(asked.operation.action),
            at=self.now(),
            source=self._source(call),
            project=None if call.project == SYSTEM_PROJECT else call.project,
            resource=named,
            details={"operation": asked.operation.name},
        )
        self.queue.put(call.project, event)

    def _due(self) -> Sequence[tuple[str, Event]]:
        return [(_home(event), event) for event in self.folding.over(self.host.clock())]


async def _written_at(record: Record) -> int:
    return record.created_at


def _resource(action: str) -> str:
    return action.partition(".")[0]


def _home(event: Event) -> str:
    """Among whose records a refusal is kept: those of nobody, where nobody was let in."""
    return event.project or SYSTEM_PROJECT


def _refusal_type(event: RequestRefused) -> str:
    if event.status == _FORBIDDEN and event.principal is not None:
        return ACCESS_REFUSED
    if event.status == _TOO_MANY and event.principal is not None:
        return RATE_LIMITED
    return LOGIN_FAILED
