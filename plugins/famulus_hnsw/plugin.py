"""The plugin: exact search where stores are small, and graphs where they are large."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from famulus import Plugin, hookimpl
from famulus_hnsw.settings import HnswSettings
from famulus_schemas.gauges import Gauge
from famulus_schemas.health import Health
from famulus_schemas.ports import VECTORS
from famulus_schemas.retention import Data

if TYPE_CHECKING:
    from famulus.hands import Hands
    from famulus_hnsw.graphs import Graphs
    from famulus_indexes.indexes import Indexes
    from famulus_indexes.store import StoreIndex

MISSING = 'hnswlib is not installed, so all search is exact: pip install "famulus[hnsw]"'


class Hnsw(Plugin[HnswSettings]):
    """Provides VECTORS from memory and a folder of this machine, large stores by HNSW graphs."""

    name = "hnsw"
    provides = (VECTORS,)
    by_choice = True
    _graphs: Graphs | None = None
    _indexes: Indexes | None = None

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Provide the port; what is searched is opened when it is."""
        # Only here: what does not run is not imported.
        from famulus_hnsw.graphs import open_graphs
        from famulus_indexes.indexes import open_indexes

        settings, log = self.settings, self.log
        async with open_graphs(settings, log=log) as graphs:
            if not graphs.is_able:
                log.warning("hnswlib_missing", reason=MISSING)

            def make(path: Path, threads: Hands) -> StoreIndex:
                from famulus_hnsw.store import HnswStore

                words_max = settings.query_words_max
                return HnswStore(path, graphs=graphs, threads=threads, words_max=words_max, log=log)

            folder = self.data_dir / "vectors"
            async with open_indexes(folder, settings, log=log, make=make) as indexes:
                self._graphs, self._indexes = graphs, indexes
                self.provide(VECTORS, indexes)
                yield
                self._graphs = self._indexes = None

    @hookimpl
    def register_data_kinds(self) -> list[Data]:
        """Files of indexes."""
        return [] if self._indexes is None else self._indexes.data_kinds()

    @hookimpl
    def register_gauges(self) -> list[Gauge]:
        """How many indexes are open, and what they take."""
        from famulus_indexes.gauges import index_gauges

        return index_gauges(lambda: self._indexes)

    @hookimpl
    async def check_health(self) -> Health:
        """Whether large stores are searched by graphs."""
        graphs = self._graphs
        if graphs is None:
            return Health(status="down", detail="the plugin does not run")
        if not graphs.is_able:
            return Health(status="degraded", detail=MISSING)
        if graphs.fault:
            return Health(status="degraded", detail=f"search is exact and slower: {graphs.fault}")
        return Health()
