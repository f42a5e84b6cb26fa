"""The plugin: authentication by API key, and the commands that make and revoke keys."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from msgspec.structs import replace

from famulus import CannotStart, Plugin, Problem, hookimpl, need
from famulus_keys.claim import Claim, OtherPepper
from famulus_keys.keyring import Keyring, bearer
from famulus_keys.pepper import FILE, load_pepper, pepper_from
from famulus_keys.projects import ProjectStore
from famulus_keys.service import KeyService
from famulus_keys.settings import KeysSettings
from famulus_keys.store import JoinIn, KeyStore
from famulus_keys.strength import weakness
from famulus_keys.tokens import (
    ADMIN_PREFIX,
    LAST_SHOWN,
    PREFIX,
    RANDOM_BYTES,
    is_well_formed,
    make_token,
    masked,
)
from famulus_schemas.errors import (
    MISSING_SCOPE,
    NOT_FOR_ADMIN_KEYS,
    NOT_FOR_PROJECT_KEYS,
    WRONG_API_KEY,
    Fault,
)
from famulus_schemas.health import Health
from famulus_schemas.identity import DEFAULT_PROJECT, SERVER, SYSTEM_PROJECT, Principal
from famulus_schemas.keys import ALL, OPERATOR, ORGANIZATION, StoredKey, missing_scope
from famulus_schemas.ports import KEYS, RECORDS
from famulus_schemas.records import Unit

if TYPE_CHECKING:
    import click
    from starlette.datastructures import Headers


class WeakKey(CannotStart):
    """A key of the configuration would let in whoever guesses; says what to do."""


FIRST = "key_first"
"""The id of the key made at the first start: of several servers at once, one makes it."""

FIRST_KEY = """\
This is the first key of this server. It is shown only now:

    export OPENAI_API_KEY={token}

Make others with `famulus keys create`.
"""

OTHER_PEPPER_HINT = (
    "the keys of this database were made with another pepper than this server's. Set "
    "FAMULUS_KEYS__PEPPER to the pepper of the server that made them, or copy its file `pepper` "
    "to {path}. If that is lost, `famulus keys revoke --all` removes the keys, and the next start "
    "begins anew"
)

OTHER_PEPPER = Fault(
    503,
    "plugin_unavailable",
    "This server cannot check the key: its pepper is not the one that the keys of its database "
    "were made with. Its operator finds what to do in the server's log.",
    "server_error",
)


class Keys(Plugin[KeysSettings]):
    """Lets in whoever sends a valid API key."""

    name = "keys"
    provides = (KEYS,)
    records = need(RECORDS.system)
    store: KeyStore
    projects: ProjectStore
    keyring: Keyring
    service: KeyService
    _claim: Claim
    _is_told = False

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Find the pepper, and whether it is that of the stored keys."""
        self._refuse_weak_keys()
        self.store = KeyStore(self.records)
        await self.store.declare()
        pepper = await self._pepper()
        self._claim = Claim(self.store, pepper, hint=self._hint())
        await self._hold_claim()
        self.projects = ProjectStore(self.records)
        await self.projects.declare(now=self.now())
        self.keyring = Keyring(
            self.store, self.projects, self.settings, pepper=pepper, clock=self.host.clock
        )
        self.service = KeyService(self)
        self.provide(KEYS, self.service)
        yield

    @hookimpl
    async def on_started(self) -> None:
        """Make a first key where there is none at all; only now, so that others can tell of it."""
        wants_first = self.host.serves and self.settings.first_key
        if wants_first and not self.settings.api_key and await self.store.is_empty():
            await self._make_first()

    @hookimpl
    def recognize(self, headers: Headers) -> Principal | None:
        """Who sent the bearer token, where it was looked up a moment ago."""
        given = headers.get("authorization")
        # As nearly everybody writes it; of others, and of nobody, `authenticate` is asked.
        if given is None or given[:7] != "Bearer ":
            return None
        return self.keyring.seen(given[7:])

    @hookimpl
    async def authenticate(self, headers: Headers) -> Principal | None:
        """Who sent the bearer token; raises Problem where it is no valid key."""
        token = bearer(headers.get("authorization"))
        if token is None:
            return None
        principal = await self.keyring.principal(token)
        if principal is None:
            if is_well_formed(token):
                await self._refuse_with_other_pepper()
            raise Problem(WRONG_API_KEY, shown=masked(token))
        return principal

    @hookimpl
    async def authorize(self, principal: Principal, action: str, resource: str | None) -> None:
        """Raise Problem (403) where the key's scopes do not allow the action."""
        scope = missing_scope(principal.scopes, action)
        if scope is None:
            return
        if scope == ORGANIZATION:
            raise Problem(NOT_FOR_PROJECT_KEYS)
        if ORGANIZATION in principal.scopes:
            raise Problem(NOT_FOR_ADMIN_KEYS)
        raise Problem(MISSING_SCOPE, scope=f"api.{scope}")

    @hookimpl
    async def check_health(self) -> Health:
        """Whether the stored keys can be told by this server's pepper."""
        try:
            await self._claim.hold()
        except OtherPepper as error:
            # The configured key is let in all the same.
            return Health(status="degraded", detail=str(error))
        return Health()

    @staticmethod
    @hookimpl
    def register_commands(cli: click.Group) -> None:
        """`famulus keys`."""
        from famulus.later import later

        does = "Make, list, rotate and revoke API keys."
        cli.add_command(later("keys", "famulus_keys.commands:keys", does=does))

    async def create(
        self,
        *,
        id: str | None = None,
        by: Principal = SERVER,
        project: str = DEFAULT_PROJECT,
        name: str = "",
        expires_at: int | None = None,
        owner: str | None = None,
        scopes: tuple[str, ...] | None = None,
    ) -> tuple[StoredKey, str] | None:
        """Make a key, and the token that is its only copy; None where its id is taken.

        Raises OtherPepper where those of the store were made with another.
        """
        await self._claim.make(now=self.now())
        is_admin = project == SYSTEM_PROJECT
        prefix = ADMIN_PREFIX if is_admin else PREFIX
        token = make_token(secrets.token_bytes(RANDOM_BYTES), prefix=prefix)
        key = StoredKey(
            id=id or self.new_id("key_"),
            name=name,
            last_four=token[-LAST_SHOWN:],
            created_at=self.now(),
            expires_at=expires_at,
            owner=owner,
            scopes=(ORGANIZATION,) if is_admin else scopes or (ALL,),
        )
        join = self.join_as(by, "api_keys.create")
        hashed = self.keyring.digest(token.encode())
        added = await self.store.add(key, hashed, project=project, join=join)
        return (key, token) if added else None

    def join_as(self, by: Principal, action: str) -> JoinIn:
        """Adds what others must have committed with what `by` does, in whichever project."""

        async def join(project: str, unit: Unit) -> Unit:
            return await self.joined(replace(by, project=project), action, unit)

        return join

    async def revoke(self, id: str, *, by: Principal = SERVER) -> bool:
        """Make a key invalid at once here, and within `cache_s` elsewhere; False if unknown."""
        removed = await self.store.remove(id, join=self.join_as(by, "api_keys.delete"))
        self.keyring.forget()
        return removed

    def _refuse_weak_keys(self) -> None:
        if not self.host.is_public:
            return
        for name in ("api_key", "admin_api_key"):
            key = getattr(self.settings, name)
            reason = weakness(key.reveal()) if key else None
            if reason is not None:
                raise WeakKey(
                    f"[plugins.keys] {name} is too weak for a server that others can reach: "
                    f"{reason}. Take one of `openssl rand -base64 33`, or none and let the first "
                    "start make one; or listen on 127.0.0.1"
                )

    async def _pepper(self) -> bytes:
        if self.settings.pepper:
            return pepper_from(self.settings.pepper.reveal())
        path = self.data_dir / FILE
        if path.exists() or await self.store.is_empty():
            return load_pepper(path)
        # A file made now could be of no use, and would look like the one that is missing.
        if not self.settings.api_key or await self.store.claim() is None:
            raise OtherPepper(self._hint())
        return secrets.token_bytes()

    async def _hold_claim(self) -> None:
        """Refuse to start where only keys could let anybody in that cannot be checked."""
        try:
            await self._claim.hold()
            if not await self.store.is_empty():
                await self._claim.make(now=self.now())
        except OtherPepper as error:
            if not self.settings.api_key:
                raise
            self._tell_of(error)

    def _hint(self) -> str:
        return OTHER_PEPPER_HINT.format(path=self.data_dir / FILE)

    async def _refuse_with_other_pepper(self) -> None:
        """Raise Problem where a key may be valid, and only this server cannot tell."""
        try:
            await self._claim.hold()
        except OtherPepper as error:
            self._tell_of(error)
            raise Problem(OTHER_PEPPER) from error

    def _tell_of(self, error: OtherPepper) -> None:
        if not self._is_told:
            self.log.error("pepper_differs", reason=str(error))
        self._is_told = True

    async def _make_first(self) -> None:
        made = await self.create(id=FIRST, name="first key", scopes=OPERATOR)
        if made is not None:
            # Past the log, which would redact it.
            # Only here: a server that is not run by the command line does without it.
            import click

            click.echo(FIRST_KEY.format(token=made[1]), err=True)
