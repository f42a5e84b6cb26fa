"""From a token to who sent it, in one hash where it was seen a moment ago."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from famulus.clock import Clock
from famulus_oidc.claims import check
from famulus_oidc.faults import NO_SUCH_PROJECT, BadToken, refused
from famulus_oidc.grants import grant
from famulus_oidc.settings import Issuer, OidcSettings
from famulus_oidc.unverified import Unverified, take_apart
from famulus_schemas.errors import PROJECT_ARCHIVED, Problem
from famulus_schemas.identity import SERVER, SYSTEM_PROJECT, Principal

if TYPE_CHECKING:
    from famulus_oidc.issuer_keys import IssuerKeys
    from famulus_schemas.ports import Keys

_NOT_FOUND = 404


class Trusted:
    """An issuer, and its keys."""

    def __init__(self, issuer: Issuer, keys: IssuerKeys) -> None:
        self.issuer = issuer
        self.keys = keys


class Doorkeeper:
    """Tells who a token stands for. Remembers tokens by their hash only."""

    def __init__(
        self, trusted: Mapping[str, Trusted], projects: Keys, settings: OidcSettings, clock: Clock
    ) -> None:
        self._trusted = trusted
        self._projects = projects
        self._settings = settings
        self._clock = clock
        self._seen: dict[tuple[bytes, str | None], tuple[float, float, Principal]] = {}

    def seen(self, token: str, chosen: str | None) -> Principal | None:
        """Who sent this, where that was looked at a moment ago."""
        if len(token) > self._settings.token_bytes_max:
            return None
        known = self._seen.get(_place(token, chosen))
        if known is None:
            return None
        at, expires, who = known
        now = self._clock()
        # A clock that was set back must not make a token valid for longer.
        return who if 0 <= now - at < self._settings.cache_s and now < expires else None

    async def principal(self, token: str, chosen: str | None) -> Principal | None:
        """Who sent this, to the project that was chosen; None where no issuer here made it.

        Raises Problem where one is said to have, and it is not valid or opens nothing.
        """
        if len(token) > self._settings.token_bytes_max:
            raise refused(f"it is longer than {self._settings.token_bytes_max} bytes")
        if (who := self.seen(token, chosen)) is not None:
            return who
        place, now = _place(token, chosen), self._clock()
        self._seen.pop(place, None)
        try:
            found = take_apart(token)
        except BadToken:
            # It may be an API key all the same: one from the configuration can have any form.
            return None
        trusted = self._trusted.get(found.issuer or "")
        if trusted is None:
            return None
        principal, expires = await self._judged(token, found, trusted, chosen)
        while len(self._seen) >= self._settings.cache_tokens_max:
            del self._seen[next(iter(self._seen))]
        self._seen[place] = (now, expires, principal)
        return principal

    def why_not(self, token: str) -> Problem:
        """What to say of a token that nobody here knows."""
        try:
            take_apart(token)
        except BadToken as error:
            return refused(str(error))
        return refused("its issuer is not one that this server trusts (iss)")

    async def _judged(
        self, token: str, found: Unverified, trusted: Trusted, chosen: str | None
    ) -> tuple[Principal, float]:
        try:
            if found.algorithm not in trusted.issuer.algorithms:
                raise BadToken("it is not signed by an algorithm that this server takes (alg)")
            key = await trusted.keys.key(found.key_id, found.algorithm)
            key.verify(token, found.algorithm)
            leeway_s = self._settings.leeway_s
            expires = check(found.claims, trusted.issuer, now=self._clock(), leeway_s=leeway_s)
            worth = grant(found.claims, trusted.issuer)
        except BadToken as error:
            raise refused(str(error)) from None
        principal = worth.principal(chosen)
        if principal.project != SYSTEM_PROJECT:
            await self._enter(principal.project)
        return principal, expires

    async def _enter(self, project: str) -> None:
        """Raise Problem where there is no such project, or nobody is let in to it."""
        try:
            kept = await self._projects.project(project)
        except Problem as problem:
            if problem.status != _NOT_FOUND:
                raise
            if not self._settings.create_projects:
                raise Problem(NO_SUCH_PROJECT, project=project) from problem
            kept = await self._projects.create_project(project, by=SERVER, id=project)
        if kept.archived_at is not None:
            raise Problem(PROJECT_ARCHIVED)


def _place(token: str, chosen: str | None) -> tuple[bytes, str | None]:
    return hashlib.sha256(token.encode("latin-1")).digest(), chosen
