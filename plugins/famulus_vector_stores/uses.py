"""When stores were last used: noted now and then, since some expire by it."""

from __future__ import annotations

from famulus_schemas.errors import Problem
from famulus_schemas.records import Conflict, StoreUnavailable, Unit
from famulus_vector_stores.ledger import Ledger, Shelf


class Uses:
    """Notes uses of stores."""

    def __init__(self, shelf: Shelf, *, every_s: int) -> None:
        self._shelf = shelf
        self._every_s = every_s

    async def note(self, project: str, store_id: str) -> None:
        """A store is used now. What cannot be noted is not worth a refusal."""

        async def plan(ledger: Ledger) -> Unit | None:
            last = ledger.store.last_active_at or 0
            if ledger.is_over or ledger.now - last < self._every_s:
                return None
            ledger.used()
            return []

        try:
            await self._shelf.change(project, store_id, plan)
        except (Problem, Conflict, StoreUnavailable):
            return
