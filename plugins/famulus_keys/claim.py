"""The pepper that the stored keys were hashed with, by a value that proves it and tells nothing.

Servers that share a store must share a pepper, or each would turn away the keys that the others
made. So the first key leaves a value behind that only its pepper makes, and no server lets
anybody in by the keys of a store that was claimed with another.
"""

from __future__ import annotations

import hmac

from famulus.mistakes import ConfigError
from famulus_keys.pepper import digest
from famulus_keys.store import KeyStore

_PROVED = b"the pepper of this store's keys"


class OtherPepper(ConfigError):
    """The stored keys were hashed with another pepper; says how this server comes by it."""


class Claim:
    """What the store knows of one pepper."""

    def __init__(self, store: KeyStore, pepper: bytes, *, hint: str) -> None:
        self._store = store
        self._value = digest(pepper, _PROVED)
        self._hint = hint
        self._is_ours = False

    async def hold(self) -> None:
        """Raise OtherPepper where the keys were hashed with another; anything else may yet be."""
        if self._is_ours:
            return
        known = await self._store.claim()
        if known is None:
            return
        if not hmac.compare_digest(known, self._value):
            raise OtherPepper(self._hint)
        self._is_ours = True

    async def make(self, *, now: int) -> None:
        """Claim the store, before a key is kept in it. Raises OtherPepper."""
        if not self._is_ours:
            await self._store.make_claim(self._value, now=now)
            await self.hold()
