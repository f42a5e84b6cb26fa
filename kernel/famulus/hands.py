"""Threads for what would make the event loop wait: a disk, or much to compute."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Hands:
    """A bounded pool of threads."""

    def __init__(self, threads_max: int, *, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads_max, thread_name_prefix=name)

    async def do(self, work: Callable[[], T]) -> T:
        """What the work gives or raises.

        It is waited for even by a caller who is cancelled: what it touches must not be closed
        under its fingers.
        """
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            if not future.cancelled():
                # Looked at, so that asyncio does not report it as forgotten.
                future.exception()
            raise

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=True)
