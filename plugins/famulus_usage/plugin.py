"""The plugin: the meter, what adds up in the background, and who may ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from famulus import Operation, Plugin, hookimpl, need, operations, want
from famulus_schemas.gauges import Gauge
from famulus_schemas.identity import Principal
from famulus_schemas.ports import INFERENCE, KEYS, METER, RECORDS
from famulus_schemas.records import Clear, Conflict, Delete, Record, StoreUnavailable, Unit, Write
from famulus_schemas.retention import Data, DataKind, Idle, Removed
from famulus_usage.book import Book
from famulus_usage.budgets import Budgets
from famulus_usage.kinds import ENTRY, EVENT, KINDS, LEVEL, LEVELS, ROWS, SPENT
from famulus_usage.levels import Levels
from famulus_usage.limit_operations import LimitOperations
from famulus_usage.prices import Prices
from famulus_usage.reading import Reading
from famulus_usage.roller import Roller
from famulus_usage.settings import UsageSettings
from famulus_usage.usage_operations import UsageOperations

if TYPE_CHECKING:
    import click

TIDY_S = 600.0


class Usage(Plugin[UsageSettings]):
    """Writes down what models used and what that cost, answers for it, and holds to budgets."""

    name = "usage"
    provides = (METER,)
    records = need(RECORDS.system)
    inference = want(INFERENCE)
    keys = want(KEYS)

    budgets: Budgets
    reading: Reading
    levels: Levels

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Write and add up until stopped; then once more, so that nothing is left to others."""
        await self.records.declare(*KINDS)
        settings, clock = self.settings, self.host.clock
        self._lock = asyncio.Lock()
        self.budgets = Budgets(settings, self.records, clock, self._lock)
        worker = self.new_id("")
        self._roller = Roller(self.records, worker, settings, clock)
        self.reading = Reading(self.records, settings)
        self.levels = Levels(self.records, self.reading, clock)
        self._book = Book(
            self.records,
            worker,
            Prices(settings.prices),
            self.budgets,
            inference=lambda: self.inference,
            clock=clock,
            new_id=self.new_id,
            noted_max=settings.noted_max,
            levels=self.levels,
        )
        self.provide(METER, self._book)
        loop = asyncio.create_task(self._work())
        try:
            yield
        finally:
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)
            await self.settle()

    @hookimpl
    def register_data_kinds(self) -> list[Data]:
        """The figures by day, and with them those by hour and minute, and what was spent."""
        others = (
            EVENT,
            SPENT,
            LEVEL,
            *LEVELS.values(),
            *(kind for width, kind in ROWS.items() if width != "1d"),
        )
        return [
            DataKind(
                name="usage",
                kind=ROWS["1d"].name,
                also=tuple(kind.name for kind in others),
                age="since it was written",
                last_used=_written_at,
                delete=self._delete,
                stays="it is what was billed",
                names_only=(ENTRY.name,),
            )
        ]

    async def _delete(
        self, principal: Principal, record: Record, idle: Idle | None
    ) -> Removed | None:
        try:
            unit = [Delete(kind=record.kind, id=record.id, version=record.version)]
            await self.records.of(record.project).commit(unit)
        except Conflict:
            return None
        return Removed()

    @staticmethod
    @hookimpl
    def register_commands(cli: click.Group) -> None:
        """`famulus usage`."""
        from famulus.later import later

        does = "Show what models used, and what that cost."
        cli.add_command(later("usage", "famulus_usage.commands:usage", does=does))

    @hookimpl
    def register_operations(self) -> list[Operation]:
        """Usage and costs, as an administrator asks for them."""
        return [*operations(UsageOperations(self)), *operations(LimitOperations(self))]

    @hookimpl
    def register_gauges(self) -> list[Gauge]:
        """What waits to be written, and what was lost."""
        return [
            Gauge(
                name="famulus_usage_unwritten",
                help="Sums of usage, by minute, key and model, that are not on disk yet.",
                read=lambda: float(len(self._book.noted)),
            ),
            Gauge(
                name="famulus_usage_requests_lost_total",
                help="Requests whose usage was not written down, since too much waited to be.",
                read=lambda: float(self._book.noted.lost),
            ),
        ]

    @hookimpl
    async def join_unit(self, principal: Principal, action: str, unit: Unit) -> list[Write]:
        """A thread or run that goes takes what its steps used along; what they come to stays."""
        if action == "runs.erase":
            return [each async for each in self._entries_of(principal.project, unit)]
        if action != "threads.delete":
            return []
        return [
            Clear(kind=ENTRY.name, parent=write.id)
            for write in unit
            if isinstance(write, Delete) and write.kind == "thread"
        ]

    async def _entries_of(self, project: str, unit: Unit) -> AsyncIterator[Delete]:
        """The writes that delete what steps of runs used that go with a unit."""
        runs = [each.id for each in unit if isinstance(each, Delete) and each.kind == "run"]
        for run in runs:
            after = 0
            while found := await self.records.scan(ENTRY.name, where={"run": run}, after_seq=after):
                after = found[-1].seq
                for record in found:
                    if record.project == project:
                        yield Delete(kind=ENTRY.name, id=record.id)

    async def settle(self) -> bool:
        """Write and add up all that is known here; False where the store would not have it."""
        async with self._lock:
            self.budgets.begin()
            is_done = False
            try:
                is_done = await self._book.noted.write()
                if is_done:
                    await self._roller.roll()
            except (StoreUnavailable, Conflict) as error:
                is_done = False
                self.log.warning("usage_waits", reason=str(error))
            finally:
                self.budgets.end(is_done=is_done)
        return is_done

    async def gather_all(self) -> None:
        """Settle, and add up what processes have left that are gone."""
        await self.settle()
        async with self._lock:
            await self._roller.adopt(at_once=True)

    async def _work(self) -> None:
        settings, loop = self.settings, asyncio.get_running_loop()
        adopted_at = tidied_at = loop.time()
        measured_at: float | None = None
        if self.records.exclusive:
            await self._aside(self._roller.adopt(at_once=True))
        while True:
            await asyncio.sleep(settings.write_s)
            await self._settle_anyhow()
            is_due = measured_at is None or loop.time() - measured_at >= settings.levels_s
            if self.levels and is_due:
                measured_at = loop.time()
                await self._anyhow(self.levels.measure())
            if loop.time() - adopted_at >= settings.adopt_s:
                adopted_at = loop.time()
                await self._aside(self._roller.adopt())
            if loop.time() - tidied_at >= TIDY_S:
                tidied_at = loop.time()
                await self._aside(self._roller.tidy())

    async def _aside(self, work: Coroutine[Any, Any, object]) -> None:
        async with self._lock:
            await self._anyhow(work)

    async def _anyhow(self, work: Coroutine[Any, Any, object]) -> None:
        try:
            await work
        except (StoreUnavailable, Conflict) as error:
            self.log.warning("usage_waits", reason=str(error))
        except Exception as error:  # Isolation: one broken record must not end all counting.
            self.log.error("usage_failed", reason=repr(error))

    async def _settle_anyhow(self) -> None:
        try:
            await self.settle()
        except Exception as error:  # Isolation: likewise; what was noted stays noted.
            self.log.error("usage_failed", reason=repr(error))


async def _written_at(record: Record) -> int:
    return record.created_at
