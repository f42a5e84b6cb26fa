"""What the erasure of a person is about, kept until it is done, since it may be killed in between.

What goes first is what names the rest: afterwards nothing else could tell what more is to go.
"""

from __future__ import annotations

import msgspec

from famulus_schemas.records import Clear, Insert, Kind, SystemRecords

PLAN = Kind(name="erasure")
"""Of a project. Body: the Plan, which holds ids alone. Parent: itself."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that has to be known once part of it is gone."""

    ids: frozenset[str] = frozenset()
    """What was meant."""
    parts: frozenset[str] = frozenset()
    """Files and stores that go unless something else names them."""
    under: dict[str, list[str]] = {}
    """By the id of each record that goes with these, the files and stores that it names."""
    parents: frozenset[str] = frozenset()
    """What others go on with, such as threads."""
    stores: frozenset[str] = frozenset()
    """Those of which something goes."""
    shelves: frozenset[str] = frozenset()
    """Those into which files of these came with messages."""

    def __or__(self, other: Plan) -> Plan:
        return Plan(
            ids=self.ids | other.ids,
            parts=self.parts | other.parts,
            under=self.under | other.under,
            parents=self.parents | other.parents,
            stores=self.stores | other.stores,
            shelves=self.shelves | other.shelves,
        )


class Plans:
    """The plans of a project that were begun."""

    def __init__(self, records: SystemRecords, project: str) -> None:
        self._records = records.of(project)
        self._system = records
        self._project = project
        self._known: list[str] = []

    async def begun(self) -> Plan:
        """All that was begun and not done, as one plan."""
        census = await self._system.census(self._project)
        plan, after = Plan(), 0
        while PLAN.name in census.records:
            found = await self._system.scan(PLAN.name, after_seq=after)
            if not found:
                break
            after = found[-1].seq
            for record in found:
                if record.project == self._project:
                    self._known.append(record.id)
                    plan |= msgspec.json.decode(record.body, type=Plan)
        return plan

    async def begin(self, plan: Plan, *, id: str, now: int) -> None:
        """Keep a plan, before anything of it is done."""
        body = msgspec.json.encode(plan, order="sorted")
        await self._records.commit(
            [Insert(kind=PLAN.name, id=id, parent=id, created_at=now, body=body)]
        )
        self._known.append(id)

    async def end(self) -> None:
        """Forget all plans that were begun here or taken up: they are done."""
        await self._records.commit([Clear(kind=PLAN.name, parent=id) for id in self._known])
        self._known = []
