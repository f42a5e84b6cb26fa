"""What is left in a folder of stores and documents that are gone, removed now and then.

They may go while another process serves, or as this one dies; and nobody may ever search a store
again that a file was deleted from. So what is kept of each store is compared with its source.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from famulus.hands import Hands
from famulus.log import Log
from famulus_indexes.changes import Changes, Key
from famulus_schemas.retrieval import VectorSource

if TYPE_CHECKING:
    from famulus_indexes.file import Kept

ASKED = "look"
"""The file by which another process asks who has a folder to look through it now."""
RENEW = ".renew"
"""The ending of files beside those that are to be removed then, whatever they have."""
ASKED_S = 2.0
"""Between two looks whether anybody asks."""


class Leftovers:
    """Has the stores brought in again of which a file keeps what is gone."""

    def __init__(
        self,
        folder: Path,
        *,
        threads: Hands,
        changes: Changes,
        is_open: Callable[[Key], bool],
        discard: Callable[[Key], Awaitable[None]],
        pause_s: float,
        log: Log,
    ) -> None:
        self._folder = folder
        self._threads = threads
        self._changes = changes
        self._is_open = is_open
        self._discard = discard
        self._pause_s = pause_s
        self._log = log
        self._source: VectorSource | None = None
        self._has_source = asyncio.Event()

    def use(self, source: VectorSource) -> None:
        """Compare with this source from now on."""
        self._source = source
        self._has_source.set()

    async def run(self) -> None:
        """Look through the folder again and again, and when asked, until cancelled."""
        await self._has_source.wait()
        while True:
            try:
                await self._look()
            except Exception as error:  # Isolation: one trouble must not end all looking.
                self._log.warning("clearing_up_failed", reason=repr(error))
            await self._pause()

    async def _pause(self) -> None:
        """Wait until it is time to look again, or somebody asks for it."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._pause_s
        while (left_s := until - loop.time()) > 0:
            await asyncio.sleep(min(left_s, ASKED_S))
            if await self._threads.do(partial(_was_asked, self._folder)):
                return

    async def _look(self) -> None:
        assert self._source is not None
        for asked in await self._threads.do(lambda: sorted(self._folder.glob(f"*{RENEW}"))):
            kept = await self._threads.do(partial(_kept_in, asked.with_suffix(".db")))
            if kept is not None:
                await self._discard(kept.key)
            await self._threads.do(partial(asked.unlink, missing_ok=True))
        for path in await self._threads.do(lambda: sorted(self._folder.glob("*.db"))):
            kept = await self._threads.do(partial(_kept_in, path))
            if kept is None:
                continue
            if not self._is_open(kept.key):
                state = await self._source.state(*kept.key)
                if kept.documents <= state.documents.keys():
                    continue
            # One that is open is brought in only if its generation is another one.
            self._changes.add(kept.key)


def _was_asked(folder: Path) -> bool:
    try:
        (folder / ASKED).unlink()
    except FileNotFoundError:
        return False
    return True


def _kept_in(path: Path) -> Kept | None:
    # numpy is imported with it, off the loop.
    from famulus_indexes.file import kept_in

    return kept_in(path)
