"""Stores that are brought in in the background, and what is left to others meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from famulus.log import make_log
from famulus_indexes.changes import PAUSE_S_MAX, PAUSE_SHARE, Changes, Key

pytestmark = pytest.mark.anyio

LOG = make_log("error", "json")
TAKES_S = 0.02


async def test_after_each_store_there_is_a_pause_longer_than_it_took() -> None:
    brought: list[Key] = []
    pauses: list[float] = []
    is_enough = asyncio.Event()

    async def bring_in(key: Key) -> None:
        brought.append(key)
        # It changes again while it is brought in, as one does that is being filled.
        changes.add(key)
        await asyncio.sleep(TAKES_S)

    async def rest(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            is_enough.set()
        await asyncio.sleep(0)

    changes = Changes(bring_in, waiting_max=9, log=LOG, sleep=rest)
    changes.add(("p", "s"))
    running = asyncio.create_task(changes.run())
    async with asyncio.timeout(20):
        await is_enough.wait()
    running.cancel()
    assert set(brought) == {("p", "s")}
    # The clock of the loop may be a little ahead of what was slept.
    assert all(0.9 * PAUSE_SHARE * TAKES_S <= pause <= PAUSE_S_MAX for pause in pauses)
