"""The plugin: every vector of a store is compared, and words are looked up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from famulus import Plugin
from famulus_exact_vectors.settings import ExactVectorsSettings
from famulus_indexes import open_indexes
from famulus_schemas.ports import VECTORS


class ExactVectors(Plugin[ExactVectorsSettings]):
    """Provides VECTORS from memory and a folder of this machine, exactly."""

    name = "exact_vectors"
    provides = (VECTORS,)
    stand_in = True

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Provide the port; what is searched is opened when it is."""
        folder = self.data_dir / "vectors"
        async with open_indexes(folder, self.settings, log=self.log) as indexes:
            self.provide(VECTORS, indexes)
            yield
