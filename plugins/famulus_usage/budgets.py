"""Who may spend how much, and who has."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeGuard

import msgspec

from famulus import Problem
from famulus_schemas.errors import INSUFFICIENT_QUOTA
from famulus_schemas.identity import SYSTEM_PROJECT
from famulus_schemas.records import StoreUnavailable, SystemRecords
from famulus_usage.cells import Cell
from famulus_usage.kinds import LIMIT, SPENT
from famulus_usage.prices import UNIT, billionths
from famulus_usage.roller import spent_id, times_of
from famulus_usage.settings import Span, UsageSettings
from famulus_usage.times import DAY_S, floor, month_of, next_month

NO_RETRY = {"x-should-retry": "false"}
"""By which the official clients do not ask again at once."""

EVERYBODY = ""
"""In the place of a project: all of them together."""
LIMIT_ID = "spend_limit"
VIEWS_MAX = 10_000
SPENT_PER_READ = 500


class Budget(msgspec.Struct, frozen=True):
    """How much one key or project, or all of them, may spend in a time."""

    project: str
    key: str | None
    amount: int
    per: Span

    @property
    def whom(self) -> str:
        """Whose it is, as a client is told."""
        if self.key is not None:
            return f"the API key {self.key}"
        return f"the project {self.project}" if self.project else "this organization"


class View(msgspec.Struct, frozen=True):
    """What was read of the budgets that one key in one project has."""

    at: float
    day: int
    standings: tuple[tuple[Budget, str, int], ...]
    """Each budget, its time, and what was spent of it by all that is added up."""


class StoredLimit(msgspec.Struct, frozen=True, kw_only=True):
    """A budget that was set by the API, for a month."""

    cents: int


class Budgets:
    """Looked at before anything is spent: from memory, read again every so often."""

    def __init__(
        self,
        settings: UsageSettings,
        records: SystemRecords,
        clock: Callable[[], float],
        lock: asyncio.Lock,
    ) -> None:
        self._settings = settings
        self._budgets = settings.budgets
        self._records = records
        self._clock = clock
        self._lock = lock
        """Held while events are added up: meanwhile it is not known where they are."""
        self._views: dict[tuple[str, str], View] = {}
        self._own: Counter[tuple[str, str]] = Counter()
        """What this process has spent since it last began to add up, by project and id."""
        self._adding: Counter[tuple[str, str]] = Counter()
        """What is being added up."""

    def spend(self, project: str, cell: Cell) -> None:
        """Something was spent here, and is not added up yet."""
        if not cell.cost:
            return
        for time in times_of(cell.at):
            for key in (None, cell.key) if cell.key else (None,):
                self._own[project, spent_id(time, key)] += cell.cost
            self._own[EVERYBODY, spent_id(time)] += cell.cost

    def begin(self) -> None:
        """All that was spent until now is about to be added up; the lock is held meanwhile."""
        self._adding, self._own = self._own, Counter()

    def end(self, *, is_done: bool) -> None:
        """It is added up, by whomever, and read with the rest from now on; or it is not."""
        if not is_done:
            self._own.update(self._adding)
        elif self._adding:
            self.forget()
        self._adding = Counter()

    def _spent_here(self, project: str, id: str) -> int:
        return self._own[project, id] + self._adding[project, id]

    async def refuse(self, project: str, key: str) -> None:
        """Raise Problem where a budget of the key, its project or everybody is spent."""
        view = await self._current(project, key)
        for budget, time, read in view.standings:
            spent = read + self._spent_here(budget.project, spent_id(time, budget.key))
            if spent >= budget.amount:
                raise self._problem(budget, spent)

    async def is_spent(self, project: str) -> bool:
        """Whether the budget of a project, or of everybody, that the API set is spent."""
        for budget, time, read in (await self._read(project, "")).standings:
            is_set = budget.project == project and budget.key is None and budget.per == "month"
            if is_set and read + self._spent_here(project, spent_id(time)) >= budget.amount:
                return True
        return False

    def forget(self) -> None:
        """Read everything anew when it is next asked for."""
        self._views.clear()

    async def _current(self, project: str, key: str) -> View:
        name = (project, key)
        if self._is_fresh(view := self._views.get(name)):
            return view
        async with self._lock:
            if self._is_fresh(view := self._views.get(name)):
                return view
            try:
                view = await self._read(project, key)
            except StoreUnavailable:
                if view is None:
                    raise
                # What was known is better than to refuse everybody, or nobody.
                view = msgspec.structs.replace(view, at=self._clock())
            self._views.pop(name, None)
            while len(self._views) >= VIEWS_MAX:
                del self._views[next(iter(self._views))]
            self._views[name] = view
            return view

    def _is_fresh(self, view: View | None) -> TypeGuard[View]:
        now = self._clock()
        return (
            view is not None
            and 0 <= now - view.at < self._settings.refresh_s
            and view.day == floor(now, "1d")
        )

    async def _read(self, project: str, key: str) -> View:
        now = self._clock()
        day, month = times_of(int(now))
        standings = []
        for budget in await self.of(project, key):
            time = day if budget.per == "day" else month
            standings.append((budget, time, await self._spent(budget, time)))
        return View(now, floor(now, "1d"), tuple(standings))

    async def of(self, project: str, key: str) -> list[Budget]:
        """The budgets that a key in a project has; one set by the API before a configured one."""
        found = []
        configured, per = self._budgets, self._budgets.per
        if key and (amount := configured.keys.get(key, configured.key)) is not None:
            found.append(Budget(project, key, billionths(amount), per))
        if (stored := await self.limit(project)) is not None:
            found.append(Budget(project, None, stored.cents * UNIT // 100, "month"))
        elif (amount := configured.projects.get(project, configured.project)) is not None:
            found.append(Budget(project, None, billionths(amount), per))
        if (stored := await self.limit(EVERYBODY)) is not None:
            found.append(Budget(EVERYBODY, None, stored.cents * UNIT // 100, "month"))
        return found

    async def limit(self, project: str) -> StoredLimit | None:
        """What the API has set for a project, or for everybody."""
        record = await self._records.of(project or SYSTEM_PROJECT).get(LIMIT.name, LIMIT_ID)
        return None if record is None else msgspec.json.decode(record.body, type=StoredLimit)

    async def _spent(self, budget: Budget, time: str) -> int:
        name = spent_id(time, budget.key)
        if budget.project:
            record = await self._records.of(budget.project).get(SPENT.name, name)
            return 0 if record is None else int(record.body)
        total, after = 0, 0
        while True:
            found = await self._records.scan(
                SPENT.name, where={"time": time}, after_seq=after, limit=SPENT_PER_READ
            )
            total += sum(int(record.body) for record in found if record.id == name)
            if len(found) < SPENT_PER_READ:
                return total
            after = found[-1].seq

    def _problem(self, budget: Budget, spent: int) -> Problem:
        now = self._clock()
        if budget.per == "day":
            span, until = datetime.fromtimestamp(now, UTC).date().isoformat(), floor(now, "1d")
            until += DAY_S
        else:
            span = datetime.fromtimestamp(month_of(now), UTC).strftime("%B %Y")
            until = next_month(now)
        return Problem(
            INSUFFICIENT_QUOTA,
            headers=NO_RETRY,
            whom=budget.whom,
            spent=f"{spent / UNIT:.6g}",
            amount=f"{budget.amount / UNIT:.6g}",
            currency=self._settings.currency.upper(),
            span=span,
            until=f"{datetime.fromtimestamp(until, UTC):%Y-%m-%d} UTC",
        )
