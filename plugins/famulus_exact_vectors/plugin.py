"""The plugin: every vector of a store is compared, and words are looked up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from famulus import Plugin, hookimpl
from famulus_exact_vectors.settings import ExactVectorsSettings
from famulus_schemas.gauges import Gauge
from famulus_schemas.ports import VECTORS
from famulus_schemas.retention import Data

if TYPE_CHECKING:
    from famulus_indexes.indexes import Indexes


class ExactVectors(Plugin[ExactVectorsSettings]):
    """Provides VECTORS from memory and a folder of this machine, exactly."""

    name = "exact_vectors"
    provides = (VECTORS,)
    stand_in = True
    _indexes: Indexes | None = None

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Provide the port; what is searched is opened when it is."""
        # Only here: what does not run is not imported.
        from famulus_indexes.indexes import open_indexes

        folder = self.data_dir / "vectors"
        async with open_indexes(folder, self.settings, log=self.log) as indexes:
            self._indexes = indexes
            self.provide(VECTORS, indexes)
            yield
            self._indexes = None

    @hookimpl
    def register_data_kinds(self) -> list[Data]:
        """Files of indexes."""
        return [] if self._indexes is None else self._indexes.data_kinds()

    @hookimpl
    def register_gauges(self) -> list[Gauge]:
        """How many indexes are open, and what they take."""
        from famulus_indexes.gauges import index_gauges

        return index_gauges(lambda: self._indexes)
