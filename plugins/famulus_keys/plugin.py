"""The plugin: authentication by API key, and the commands that make and revoke keys."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import click

from famulus import Plugin, Problem, hookimpl, need
from famulus_keys.keyring import Keyring, bearer
from famulus_keys.pepper import FILE, load_pepper, pepper_from
from famulus_keys.settings import KeysSettings
from famulus_keys.store import KEY, KeyStore, StoredKey
from famulus_keys.tokens import LAST_SHOWN, RANDOM_BYTES, make_token, masked
from famulus_schemas.errors import WRONG_API_KEY
from famulus_schemas.identity import Principal
from famulus_schemas.ports import RECORDS

if TYPE_CHECKING:
    from starlette.datastructures import Headers

FIRST = "key_first"
"""The id of the key made at the first start: of several servers at once, one makes it."""

FIRST_KEY = """\
This is the first key of this server. It is shown only now:

    export OPENAI_API_KEY={token}

Make others with `famulus keys create`.
"""


class Keys(Plugin[KeysSettings]):
    """Lets in whoever sends a valid API key."""

    name = "keys"
    records = need(RECORDS.system)
    store: KeyStore
    keyring: Keyring

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Find the pepper, and make a first key where there is none at all."""
        await self.records.declare(KEY)
        self.store = KeyStore(self.records)
        pepper = await self._pepper()
        self.keyring = Keyring(self.store, self.settings, pepper=pepper, clock=self.host.clock)
        if self.settings.first_key and not self.settings.api_key and await self.store.is_empty():
            await self._make_first()
        yield

    @hookimpl
    async def authenticate(self, headers: Headers) -> Principal | None:
        """Who sent the bearer token; raises Problem where it is no valid key."""
        token = bearer(headers.get("authorization"))
        if token is None:
            return None
        principal = await self.keyring.principal(token)
        if principal is None:
            raise Problem(WRONG_API_KEY, shown=masked(token))
        return principal

    @staticmethod
    @hookimpl
    def register_commands(cli: click.Group) -> None:
        """`famulus keys`."""
        from famulus_keys.commands import keys

        cli.add_command(keys())

    async def create(
        self, *, id: str | None = None, name: str = "", expires_at: int | None = None
    ) -> tuple[StoredKey, str] | None:
        """Make a key, and the token that is its only copy; None where its id is taken."""
        token = make_token(secrets.token_bytes(RANDOM_BYTES))
        key = StoredKey(
            id=id or self.new_id("key_"),
            name=name,
            last_four=token[-LAST_SHOWN:],
            created_at=self.now(),
            expires_at=expires_at,
        )
        added = await self.store.add(key, self.keyring.digest(token.encode()))
        return (key, token) if added else None

    async def revoke(self, id: str) -> bool:
        """Make a key invalid at once here, and within `cache_s` elsewhere; False if unknown."""
        removed = await self.store.remove(id)
        self.keyring.forget()
        return removed

    async def _pepper(self) -> bytes:
        if self.settings.pepper:
            return pepper_from(self.settings.pepper.reveal())
        path = self.data_dir / FILE
        pepper, is_new = load_pepper(path)
        if is_new and not await self.store.is_empty():
            self.log.error(
                "pepper_lost",
                path=str(path),
                hint="A new one was made, so no stored key is valid any more. Restore the file.",
            )
        return pepper

    async def _make_first(self) -> None:
        made = await self.create(id=FIRST, name="first key")
        if made is not None:
            # Past the log, which would redact it.
            click.echo(FIRST_KEY.format(token=made[1]), err=True)
