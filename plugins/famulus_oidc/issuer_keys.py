"""An issuer's keys as they are known here: fetched ahead, fetched again, and kept for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from famulus.clock import Clock
from famulus_oidc.documents import NotFetched
from famulus_oidc.faults import KEYS_AWAY, BadToken
from famulus_oidc.key_set import VerifyKey, read_key_set
from famulus_oidc.settings import OidcSettings
from famulus_schemas.errors import Problem

if TYPE_CHECKING:
    from famulus.log import Log


class IssuerKeys:
    """The keys of one issuer. `fetch` gets its key set, or raises NotFetched."""

    def __init__(
        self,
        name: str,
        fetch: Callable[[], Awaitable[Any]],
        settings: OidcSettings,
        *,
        clock: Clock,
        log: Log,
    ) -> None:
        self._name = name
        self._fetch = fetch
        self._settings = settings
        self._clock = clock
        self._log = log
        self._keys: tuple[VerifyKey, ...] = ()
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._flight: asyncio.Task[None] | None = None
        self.failure: str | None = None
        """Why the last fetch brought nothing; None where it did."""

    async def key(self, key_id: str | None, algorithm: str) -> VerifyKey:
        """The key that a token names. An unknown one has them fetched again, but not too often.

        Raises BadToken where the issuer has no such key, and Problem (503) where nobody can tell.
        """
        found = self._find(key_id, algorithm) if self._are_usable() else None
        if found is None and self._may_fetch():
            await self.refresh()
            found = self._find(key_id, algorithm) if self._are_usable() else None
        if found is not None:
            return found
        if not self._are_usable() or self.failure is not None:
            wait = f"{max(1, round(self._settings.refresh_min_s))}"
            raise Problem(KEYS_AWAY, headers={"retry-after": wait}, issuer=self._name)
        raise BadToken("it is signed with none of its issuer's keys")

    async def refresh(self) -> None:
        """Fetch the keys; those who want it at the same time wait for the same fetch."""
        if self._flight is None or self._flight.done():
            self._flight = asyncio.create_task(self._fetched())
        # Whoever leaves does not take the fetch from the others.
        await asyncio.shield(self._flight)

    async def keep_fresh(self) -> None:
        """Fetch ahead, for ever."""
        while True:
            await self.refresh()
            away = self.failure is not None
            await asyncio.sleep(
                min(self._settings.refresh_min_s, self._settings.refresh_s)
                if away
                else self._settings.refresh_s
            )

    async def close(self) -> None:
        """Leave a fetch that is under way."""
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.gather(self._flight, return_exceptions=True)

    def _are_usable(self) -> bool:
        if self._fetched_at is None:
            return False
        return self._clock() - self._fetched_at < self._settings.stale_max_s

    def _may_fetch(self) -> bool:
        """Whether a token may have keys fetched now: those who send any key must not flood."""
        if self._flight is not None and not self._flight.done():
            return True
        if self._tried_at is None:
            return True
        return abs(self._clock() - self._tried_at) >= self._settings.refresh_min_s

    def _find(self, key_id: str | None, algorithm: str) -> VerifyKey | None:
        fits = [key for key in self._keys if algorithm in key.algorithms]
        if key_id is not None:
            fits = [key for key in fits if key.id == key_id]
        # Without a name, only the one that there is can be meant.
        return fits[0] if len(fits) == 1 else None

    async def _fetched(self) -> None:
        self._tried_at = self._clock()
        try:
            keys = read_key_set(await self._fetch(), keys_max=self._settings.keys_max)
            if not keys:
                raise NotFetched("it has no key that could be used")
        except (NotFetched, ValueError) as error:
            if self.failure is None:
                self._log.warning("issuer_keys_away", issuer=self._name, reason=str(error))
            self.failure = str(error)
            return
        if self.failure is not None or [key.id for key in keys] != [key.id for key in self._keys]:
            self._log.info("issuer_keys_fetched", issuer=self._name, keys=len(keys))
        self._keys, self._fetched_at, self.failure = keys, self._clock(), None
