"""From the token in a header to who sent it, in one quick hash where it was seen a moment ago."""

from __future__ import annotations

import contextlib
import hmac
import secrets
from hashlib import blake2b

from msgspec.structs import replace

from famulus.clock import Clock
from famulus_keys.pepper import digest
from famulus_keys.projects import ProjectStore
from famulus_keys.settings import KeysSettings
from famulus_keys.store import KeyStore
from famulus_keys.tokens import is_well_formed
from famulus_schemas.errors import PROJECT_ARCHIVED, Problem
from famulus_schemas.identity import SYSTEM_PROJECT, Principal
from famulus_schemas.keys import OPERATOR, ORGANIZATION, StoredKey, within_role
from famulus_schemas.records import StoreUnavailable

FIXED = Principal(id="key_fixed", scopes=OPERATOR, key_id="key_fixed")
"""Who comes in with the key of the configuration."""

FIXED_ADMIN = Principal(
    id="key_fixed_admin", project=SYSTEM_PROJECT, scopes=(ORGANIZATION,), key_id="key_fixed_admin"
)
"""Who comes in with the admin key of the configuration."""

USE_S = 60
"""When a key was last used is written at most so often: it costs a commit."""

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
        self,
        store: KeyStore,
        projects: ProjectStore,
        settings: KeysSettings,
        *,
        pepper: bytes,
        clock: Clock,
    ) -> None:
        self._store = store
        self._projects = projects
        self._settings = settings
        self._pepper = pepper
        self._clock = clock
        self._cache_s = settings.cache_s
        configured = ((settings.api_key, FIXED), (settings.admin_api_key, FIXED_ADMIN))
        self._fixed = [
            (self.digest(secret.reveal().encode()), who) for secret, who in configured if secret
        ]
        self._seen: dict[bytes, tuple[float, Principal]] = {}
        """By what only this process makes of a token, far more quickly than its hash."""
        self._salt = secrets.token_bytes()
        self._times_forgotten = 0

    def digest(self, token: bytes) -> bytes:
        """A token's hash."""
        return digest(self._pepper, token)

    def seen(self, token: str) -> Principal | None:
        """Who sent this token, where that was looked up a moment ago: nothing is waited for."""
        seen = self._seen.get(self._glimpse(token))
        # A clock that was set back must not make a key valid for longer.
        if seen is not None and 0 <= self._clock() - seen[0] < self._cache_s:
            return seen[1]
        return None

    async def principal(self, token: str) -> Principal | None:
        """Who sent this token, or None where it is no valid key.

        Raises Problem (PROJECT_ARCHIVED) where it is one of a project that is no more.
        """
        if (who := self.seen(token)) is not None:
            return who
        glimpse, now = self._glimpse(token), self._clock()
        self._seen.pop(glimpse, None)
        times_forgotten = self._times_forgotten
        principal = await self._checked(token, self.digest(token.encode("latin-1")), now)
        # What was forgotten meanwhile may have been this.
        if principal is not None and times_forgotten == self._times_forgotten:
            self._remember(glimpse, now, principal)
        return principal

    def _glimpse(self, token: str) -> bytes:
        # Headers come decoded as Latin-1; so these are the bytes that were sent.
        return blake2b(self._salt + token.encode("latin-1")).digest()

    def forget(self) -> None:
        """Look every key up again."""
        self._times_forgotten += 1
        self._seen.clear()

    async def _checked(self, token: str, hashed: bytes, now: float) -> Principal | None:
        for fixed, who in self._fixed:
            if hmac.compare_digest(hashed, fixed):
                return who
        if not is_well_formed(token):
            return None
        found = await self._store.find(hashed)
        if found is None:
            return None
        project, key = found
        if key.is_expired(now):
            return None
        if not await self._projects.is_active(project):
            raise Problem(PROJECT_ARCHIVED)
        role = await self._store.role_of(project, key)
        if role is None:
            # Its service account is gone, and it goes too.
            return None
        await self._note_use(project, key, now)
        principal = key.principal(project)
        return replace(principal, scopes=within_role(principal.scopes, role))

    async def _note_use(self, project: str, key: StoredKey, now: float) -> None:
        if key.last_used_at is not None and now - key.last_used_at < USE_S:
            return
        # Others may note it at the same moment; and a full disk keeps nobody out.
        with contextlib.suppress(StoreUnavailable):
            await self._store.change(project, key.id, lambda k: replace(k, last_used_at=int(now)))

    def _remember(self, glimpse: bytes, now: float, principal: Principal) -> None:
        while len(self._seen) >= self._settings.cache_keys_max:
            del self._seen[next(iter(self._seen))]
        self._seen[glimpse] = (now, principal)
