"""The plugin: one folder, and the threads that read and write it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from famulus import Plugin
from famulus_local_blobs.settings import LocalBlobsSettings
from famulus_schemas.ports import BLOBS


class LocalBlobs(Plugin[LocalBlobsSettings]):
    """Provides BLOBS from a folder of this machine."""

    name = "local_blobs"
    provides = (BLOBS,)
    stand_in = True

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Remove what a crash left, and provide the port."""
        # Only here: what does not run is not imported.
        from famulus_local_blobs.hands import DiskHands
        from famulus_local_blobs.places import Places
        from famulus_local_blobs.store import FolderOfBlobs
        from famulus_local_blobs.writing import remove_leftovers

        settings = self.settings
        root = Path(settings.folder) if settings.folder else self.data_dir / "blobs"
        places, hands = Places(root), DiskHands(settings.threads_max)
        try:
            await hands.do(places.prepare)
            if removed := await hands.do(partial(remove_leftovers, places)):
                self.log.info("unfinished_blobs_removed", files=removed)
            store = FolderOfBlobs(
                places, hands, chunk_bytes=settings.chunk_bytes, clock=self.host.clock
            )
            self.provide(BLOBS, store)
            yield
        finally:
            hands.close()
