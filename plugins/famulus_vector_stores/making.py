"""New stores, with the files that they begin with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from msgspec import UNSET, UnsetType

from famulus.clock import MakeId
from famulus_schemas.identity import Principal
from famulus_schemas.jobs import Ticket
from famulus_schemas.records import Unit
from famulus_schemas.retrieval import Embedder
from famulus_schemas.vector_stores import FileCounts, StoreExpiry, VectorStore
from famulus_vector_stores.attaching import Attaching, Wanted
from famulus_vector_stores.kinds import StoreExtra, insert_store
from famulus_vector_stores.ledger import expiry_of


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A new store, the writes that make it, and the jobs that fill it."""

    store: VectorStore
    unit: Unit
    tickets: Sequence[Ticket]


class Maker:
    """Makes stores."""

    def __init__(
        self,
        *,
        attaching: Attaching,
        embedder: Embedder,
        make_id: MakeId,
        now: Callable[[], int],
    ) -> None:
        self._attaching = attaching
        self._embedder = embedder
        self._make_id = make_id
        self._now = now

    async def store(
        self,
        project: str,
        files: Sequence[Wanted],
        *,
        name: str = "",
        description: str = "",
        expires_after: StoreExpiry | UnsetType = UNSET,
        metadata: dict[str, str] | None = None,
        by: Principal | None = None,
    ) -> Made:
        """A new store. Raises Problem (400) for files that are not there."""
        await self._attaching.require(project, files)
        id, now = self._make_id("vs_"), self._now()
        unit, tickets = await self._attaching.new(project, id, files, by=by)
        store = VectorStore(
            id=id,
            created_at=now,
            name=name,
            file_counts=FileCounts(in_progress=len(files), total=len(files)),
            status="in_progress" if files else "completed",
            expires_after=expires_after,
            last_active_at=now,
            metadata=metadata or {},
        )
        store = msgspec.structs.replace(store, expires_at=expiry_of(store))
        extra = StoreExtra(model=self._embedder.default_model, description=description)
        return Made(store=store, unit=[insert_store(store, extra), *unit], tickets=tickets)
