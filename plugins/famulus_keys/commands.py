"""`famulus keys`: make, list and revoke keys, in the store of the configuration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import cast

import click

from famulus.commands import configured, provided, started
from famulus.config import Config
from famulus_keys.plugin import Keys
from famulus_keys.store import KeyStore, StoredKey
from famulus_schemas.ports import RECORDS

DAY_S = 86_400
DAYS_MAX = 36_500


def keys() -> click.Group:
    """The group of commands."""

    @click.group("keys")
    def keys() -> None:
        """Make, list and revoke API keys."""

    @keys.command("create")
    @click.option("--name", default="", help="What the key is for.")
    @click.option("--days", type=click.IntRange(1, DAYS_MAX), help="Days until it expires.")
    @configured
    def create(config: Config, name: str, days: int | None) -> None:
        """Make a key and print it; it cannot be shown again."""
        asyncio.run(_create(config, name, days))

    @keys.command("list")
    @configured
    def list_keys(config: Config) -> None:
        """List the keys, without what makes them valid."""
        asyncio.run(_list(config))

    @keys.command("revoke")
    @click.argument("id", required=False)
    @click.option("--all", "every", is_flag=True, help="Every key, as where the pepper is lost.")
    @configured
    def revoke(config: Config, id: str | None, every: bool) -> None:
        """Make a key invalid for good, or all of them."""
        if every == (id is not None):
            raise click.UsageError("give the ID of one key, or --all")
        asyncio.run(_revoke(config, id))

    return keys


@asynccontextmanager
async def _store(config: Config) -> AsyncIterator[KeyStore]:
    """The stored keys, which can be listed and revoked whatever the pepper is."""
    async with provided(config, RECORDS.system) as records:
        store = KeyStore(records)
        await store.declare()
        yield store


async def _create(config: Config, name: str, days: int | None) -> None:
    async with started(config, "keys", first_key=False) as started_plugin:
        plugin = cast(Keys, started_plugin)
        expires_at = None if days is None else plugin.now() + days * DAY_S
        made = await plugin.create(name=name, expires_at=expires_at)
    assert made is not None
    key, token = made
    # The token alone goes to stdout: OPENAI_API_KEY=$(famulus keys create).
    click.echo(token)
    click.echo(f"Made {key.id}. The key is shown only now; keep it.", err=True)


async def _list(config: Config) -> None:
    async with _store(config) as store:
        found = [each async for each in store.all()]
    for project, key in found:
        click.echo(_row(project, key))
    if not found:
        click.echo("There are no keys. Make one with `famulus keys create`.", err=True)


async def _revoke(config: Config, id: str | None) -> None:
    async with _store(config) as store:
        removed = await (store.clear() if id is None else store.remove(id))
    if id is None:
        click.echo(f"Revoked {removed} keys. The next start makes a first one.", err=True)
        return
    if not removed:
        raise click.ClickException(f"there is no key {id!r}; `famulus keys list` shows them")
    click.echo(f"Revoked {id}.", err=True)


def _row(project: str, key: StoredKey) -> str:
    expires = "never expires" if key.expires_at is None else f"expires {_day(key.expires_at)}"
    cells = (key.id, f"...{key.last_four}", project, f"made {_day(key.created_at)}", expires)
    return "  ".join((*cells, key.name)).rstrip()


def _day(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()
