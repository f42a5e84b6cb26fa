"""The meter: what was used becomes events, at once or soon, and counts for budgets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from famulus import Problem
from famulus_schemas.inference import Inference
from famulus_schemas.records import Insert, SystemRecords, Unit
from famulus_schemas.usage import Held, Measure, Used
from famulus_usage.budgets import Budgets
from famulus_usage.cells import Cell, encode_cells, summed
from famulus_usage.kinds import ENTRY, EVENT, Entry, entry_index
from famulus_usage.levels import Levels
from famulus_usage.noted import Noted
from famulus_usage.prices import Prices
from famulus_usage.times import floor

NAMES_MAX = 1_000


class Book:
    """What `want(METER)` gives."""

    def __init__(
        self,
        records: SystemRecords,
        worker: str,
        prices: Prices,
        budgets: Budgets,
        *,
        inference: Callable[[], Inference | None],
        clock: Callable[[], float],
        new_id: Callable[[str], str],
        noted_max: int,
        levels: Levels,
    ) -> None:
        self._worker = worker
        self._prices = prices
        self._budgets = budgets
        self._inference = inference
        self._clock = clock
        self._new_id = new_id
        self._names: dict[str, str] = {}
        """Of models that have no price under their client's name, those of their servers."""
        self._levels = levels
        self.noted = Noted(records, self._event, cells_max=noted_max)

    async def writes(self, used: Sequence[Used]) -> Unit:
        """An event, and of runs an entry for each; as Meter."""
        for each in used:
            await self._learn_name(each)
        entries = [self._entry(each) for each in used if each.run]
        return [self._event(summed(map(self._cell, used))), *entries]

    def written(self, used: Sequence[Used]) -> None:
        """As Meter."""
        for each in used:
            self._budgets.spend(each.project, self._cell(each))

    def note(self, used: Used) -> None:
        """As Meter."""
        cell = self._cell(used)
        if self.noted.add(used.project, cell):
            self._budgets.spend(used.project, cell)

    def measures(self, what: Held, measure: Measure) -> AbstractContextManager[None]:
        """As Meter."""
        return self._levels.of(what, measure)

    async def refuse(self, project: str, key: str) -> None:
        """As Meter."""
        await self._budgets.refuse(project, key)

    def _cell(self, used: Used) -> Cell:
        return Cell(
            at=floor(used.at, "1m"),
            what=used.what,
            user=used.principal,
            key=used.key,
            model=used.model,
            requests=used.requests,
            input=used.input_tokens,
            cached=used.cached_tokens,
            output=used.output_tokens,
            cost=self._cost(used),
        )

    def _cost(self, used: Used) -> int:
        return self._prices.cost(used, self._names.get(used.model, ""))

    def _event(self, cells: list[Cell]) -> Insert:
        now = self._clock()
        return Insert(
            kind=EVENT.name,
            id=self._new_id("use_"),
            parent=f"{self._worker}.{floor(now, '1h')}",
            created_at=int(now),
            body=encode_cells(cells),
            index={"worker": self._worker},
        )

    def _entry(self, used: Used) -> Insert:
        entry = Entry(
            at=used.at,
            what=used.what,
            run=used.run,
            step=used.step,
            thread=used.thread,
            assistant=used.assistant,
            user=used.principal,
            key=used.key,
            model=used.model,
            requests=used.requests,
            input=used.input_tokens,
            cached=used.cached_tokens,
            output=used.output_tokens,
            cost=self._cost(used),
            is_estimate=used.is_estimate,
        )
        return Insert(
            kind=ENTRY.name,
            id=self._new_id("use_"),
            parent=used.thread,
            created_at=used.at,
            body=encode_cells(entry),
            index=entry_index(entry),
        )

    async def _learn_name(self, used: Used) -> None:
        """Ask once what the server calls a model, of an answer that was broken off before."""
        prices, model = self._prices, used.model
        if not prices or used.served_by or prices.knows(model) or model in self._names:
            return
        inference = self._inference()
        if inference is None or len(self._names) >= NAMES_MAX:
            return
        try:
            self._names[model] = (await inference.find(model)).alias_of or ""
        except Problem:
            # Nobody serves it any more; then it has no price either.
            self._names[model] = ""
