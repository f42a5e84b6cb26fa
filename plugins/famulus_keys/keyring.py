"""From the token in a header to who sent it, in one hash where it was seen a moment ago."""

from __future__ import annotations

import hmac

from famulus.clock import Clock
from famulus_keys.pepper import digest
from famulus_keys.settings import KeysSettings
from famulus_keys.store import KeyStore
from famulus_keys.tokens import is_well_formed
from famulus_schemas.identity import Principal

FIXED = Principal(id="key_fixed", key_id="key_fixed")
"""Who comes in with the key of the configuration."""

_SCHEME = "bearer"


def bearer(authorization: str | None) -> str | None:
    """The token of an Authorization header; None where there is none of this scheme."""
    if authorization is None:
        return None
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != _SCHEME:
        return None
    return token.strip() or None


class Keyring:
    """Tells who a token stands for. Knows tokens by their hash only."""

    def __init__(
        self, store: KeyStore, settings: KeysSettings, *, pepper: bytes, clock: Clock
    ) -> None:
        self._store = store
        self._settings = settings
        self._pepper = pepper
        self._clock = clock
        self._fixed: bytes | None = None
        if settings.api_key:
            self._fixed = self.digest(settings.api_key.reveal().encode())
        self._seen: dict[bytes, tuple[float, Principal]] = {}

    def digest(self, token: bytes) -> bytes:
        """A token's hash."""
        return digest(self._pepper, token)

    async def principal(self, token: str) -> Principal | None:
        """Who sent this token, or None where it is no valid key."""
        # Headers come decoded as Latin-1; so these are the bytes that were sent.
        hashed = self.digest(token.encode("latin-1"))
        if self._fixed is not None and hmac.compare_digest(hashed, self._fixed):
            return FIXED
        now = self._clock()
        seen = self._seen.get(hashed)
        # A clock that was set back must not make a key valid for longer.
        if seen is not None and 0 <= now - seen[0] < self._settings.cache_s:
            return seen[1]
        self._seen.pop(hashed, None)
        if not is_well_formed(token):
            return None
        return await self._looked_up(hashed, now)

    def forget(self) -> None:
        """Look every key up again."""
        self._seen.clear()

    async def _looked_up(self, hashed: bytes, now: float) -> Principal | None:
        found = await self._store.find(hashed)
        if found is None:
            return None
        project, key = found
        if key.is_expired(now):
            return None
        principal = key.principal(project)
        self._remember(hashed, now, principal)
        return principal

    def _remember(self, hashed: bytes, now: float, principal: Principal) -> None:
        while len(self._seen) >= self._settings.cache_keys_max:
            del self._seen[next(iter(self._seen))]
        self._seen[hashed] = (now, principal)
