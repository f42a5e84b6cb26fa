"""Which session has which box, how many there may be at once, and who makes room for whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

from famulus_schemas.sandbox import SandboxBusy, SandboxUnavailable, Why

Key = tuple[str, str]
"""A project and a session of it."""


class Tenant(Protocol):
    """A box that has a place."""

    @property
    def is_alive(self) -> bool: ...

    @property
    def is_busy(self) -> bool: ...

    used_at: float

    async def end(self, why: Why, message: str) -> None: ...


class Terms(Protocol):
    """The settings that places go by; see `BoxSettings`."""

    @property
    def boxes_max(self) -> int: ...

    @property
    def wait_s(self) -> float: ...

    @property
    def spare_s(self) -> float: ...

    @property
    def idle_s(self) -> float: ...


T = TypeVar("T", bound=Tenant)


class Places(Generic[T]):
    """The boxes of sessions, each in a place that it keeps until it is gone."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._boxes: dict[Key, T] = {}
        self._opening: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        self._free = asyncio.Semaphore(terms.boxes_max)
        self.is_closed = False

    @property
    def boxes(self) -> list[T]:
        """Those that have a place."""
        return list(self._boxes.values())

    def find(self, key: Key) -> T | None:
        """The open box of a session."""
        box = self._boxes.get(key)
        return box if box is not None and box.is_alive else None

    async def found_or(self, key: Key, open: Callable[[], Awaitable[T]]) -> T:
        """The session's box, or the one that `open` makes; a session never gets two at once."""
        # Kept as long as anybody waits for it: with another one, a session would get two boxes.
        opening = self._opening.setdefault(key, asyncio.Lock())
        async with opening:
            return self.find(key) or await open()

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """A place for the box that is made inside, which gives it back by `leave` once it is gone.

        Where none is made, it is free again. Raises SandboxBusy or SandboxUnavailable.
        """
        if self.is_closed:
            raise SandboxUnavailable(("the server is being stopped",))
        if self._free.locked():
            await self._make_room()
        try:
            async with asyncio.timeout(self._terms.wait_s):
                await self._free.acquire()
        except TimeoutError:
            raise SandboxBusy(self._terms.boxes_max) from None
        try:
            yield
        except BaseException:
            self._free.release()
            raise

    def move_in(self, key: Key, box: T) -> None:
        """Have a session find its box."""
        self._boxes[key] = box

    def leave(self, key: Key, box: T) -> None:
        """A box is gone, and its place another's."""
        if self._boxes.get(key) is box:
            del self._boxes[key]
        self._free.release()

    async def end_unused(self) -> None:
        """End the boxes that were not used for too long."""
        for box in self.boxes:
            if not box.is_busy and _unused_s(box) >= self._terms.idle_s:
                await box.end("evicted", "it was not used for too long")

    async def _make_room(self) -> None:
        """End the box that was unused for longest, if that is long enough."""
        idle = [each for each in self._boxes.values() if not each.is_busy and each.is_alive]
        box = min(idle, key=lambda each: each.used_at, default=None)
        if box is not None and _unused_s(box) >= self._terms.spare_s:
            await box.end("evicted", "another session needed its place")


def _unused_s(box: Tenant) -> float:
    return asyncio.get_running_loop().time() - box.used_at
