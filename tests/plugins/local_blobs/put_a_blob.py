"""Puts a blob in the folder that is named, and dies at the point that is named."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from famulus.failpoints import arm
from famulus.testing.blobs_conformance import KEY, pieces
from famulus_local_blobs.hands import DiskHands
from famulus_local_blobs.places import Places, make_folder
from famulus_local_blobs.store import FolderOfBlobs


async def main(folder: Path) -> None:
    places = Places(folder / "blobs")
    make_folder(places.unfinished, below=places.root)
    store = FolderOfBlobs(places, DiskHands(2), chunk_bytes=65_536, clock=lambda: 1.0)
    await store.put("p", KEY, pieces(b"abc" * 1_000_000))


arm(sys.argv[2])
asyncio.run(main(Path(sys.argv[1])))
