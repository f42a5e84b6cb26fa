"""`famulus keys`: make, list, rotate and revoke keys, in the store of the configuration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import cast

import click
from msgspec.structs import replace

from famulus.commands import configured, provided_and_joined, started
from famulus.config import Config
from famulus.visible import visible
from famulus_keys.plugin import Keys
from famulus_keys.store import JoinIn, KeyStore
from famulus_schemas.errors import Problem
from famulus_schemas.identity import COMMAND_LINE, DEFAULT_PROJECT, SYSTEM_PROJECT
from famulus_schemas.keys import ALL, ORGANIZATION, StoredKey, normal_scopes
from famulus_schemas.ports import RECORDS
from famulus_schemas.records import Unit

DAY_S = 86_400
DAYS_MAX = 36_500
PROJECTS_PER_READ = 100

COLUMNS = ("ID", "ENDS IN", "PROJECT", "MADE", "EXPIRES", "LAST USED", "SCOPES", "NAME")


def keys() -> click.Group:
    """The group of commands."""

    @click.group("keys")
    def keys() -> None:
        """Make, list, rotate and revoke API keys."""

    @keys.command("create")
    @click.option("--name", default="", help="What the key is for.")
    @click.option("--days", type=click.IntRange(1, DAYS_MAX), help="Days until it expires.")
    @click.option("--project", default=DEFAULT_PROJECT, help="The id of the key's project.")
    @click.option("--scope", "scopes", multiple=True, help="As threads.read; several may be given.")
    @click.option("--admin", is_flag=True, help="An admin key, for the administration only.")
    @configured
    def create(
        config: Config,
        name: str,
        days: int | None,
        project: str,
        scopes: tuple[str, ...],
        admin: bool,
    ) -> None:
        """Make a key and print it; it cannot be shown again."""
        if admin and (scopes or project != DEFAULT_PROJECT):
            raise click.UsageError("an admin key has no --project and no --scope")
        if not admin and project == SYSTEM_PROJECT:
            raise click.UsageError("there is no such project; an admin key is made by --admin")
        allowed = _scopes(scopes)
        project = SYSTEM_PROJECT if admin else project
        asyncio.run(_create(config, name=name, days=days, project=project, scopes=allowed))

    @keys.command("list")
    @configured
    def list_keys(config: Config) -> None:
        """List the keys, without what makes them valid."""
        asyncio.run(_list(config))

    @keys.command("rotate")
    @click.argument("id")
    @click.option("--grace-s", type=click.IntRange(0), help="Seconds for which both are valid.")
    @configured
    def rotate(config: Config, id: str, grace_s: int | None) -> None:
        """Make a key in the place of another one, and print it."""
        asyncio.run(_rotate(config, id, grace_s))

    @keys.command("revoke")
    @click.argument("id", required=False)
    @click.option("--all", "every", is_flag=True, help="Every key, as where the pepper is lost.")
    @configured
    def revoke(config: Config, id: str | None, every: bool) -> None:
        """Make a key invalid for good, or all of them."""
        if every == (id is not None):
            raise click.UsageError("give the ID of one key, or --all")
        asyncio.run(_revoke(config, id))

    @keys.command("projects")
    @configured
    def projects(config: Config) -> None:
        """List the projects."""
        asyncio.run(_projects(config))

    @keys.command("create-project")
    @click.argument("name")
    @configured
    def create_project(config: Config, name: str) -> None:
        """Make a project, and print its id."""
        asyncio.run(_create_project(config, name))

    @keys.command("archive-project")
    @click.argument("id")
    @configured
    def archive_project(config: Config, id: str) -> None:
        """Let nobody in to a project any more, for good."""
        asyncio.run(_archive_project(config, id))

    return keys


@asynccontextmanager
async def _store(config: Config) -> AsyncIterator[tuple[KeyStore, JoinIn]]:
    """The stored keys, which can be listed and revoked whatever the pepper is."""
    async with provided_and_joined(config, RECORDS.system) as (records, joined):
        store = KeyStore(records)
        await store.declare()

        async def join(project: str, unit: Unit) -> Unit:
            return await joined(replace(COMMAND_LINE, project=project), "api_keys.delete", unit)

        yield store, join


@asynccontextmanager
async def _plugin(config: Config) -> AsyncIterator[Keys]:
    """The plugin at work; what it refuses is told as a command tells it."""
    async with started(config, "keys", first_key=False) as started_plugin:
        try:
            yield cast(Keys, started_plugin)
        except Problem as problem:
            raise click.ClickException(problem.body.message) from problem


def _scopes(given: Sequence[str]) -> tuple[str, ...]:
    try:
        return normal_scopes(given)
    except ValueError as error:
        text = f"{error} is no scope; give all, RESOURCE.read or RESOURCE.write, as threads.read"
        raise click.UsageError(text) from error


async def _create(
    config: Config, *, name: str, days: int | None, project: str, scopes: tuple[str, ...]
) -> None:
    async with _plugin(config) as plugin:
        expires_at = None if days is None else plugin.now() + days * DAY_S
        key, token = await plugin.service.create_key(
            project, by=COMMAND_LINE, name=name, expires_at=expires_at, scopes=scopes
        )
    _show(key, token)


async def _rotate(config: Config, id: str, grace_s: int | None) -> None:
    async with _plugin(config) as plugin:
        grace_s = plugin.settings.grace_s if grace_s is None else grace_s
        project = await plugin.store.project_of(id)
        if project is None:
            raise _unknown(id)
        key, token = await plugin.service.rotate_key(project, id, by=COMMAND_LINE, grace_s=grace_s)
    _show(key, token)
    click.echo(f"{id} is valid for {grace_s} more seconds at most.", err=True)


def _show(key: StoredKey, token: str) -> None:
    # The token alone goes to stdout: OPENAI_API_KEY=$(famulus keys create).
    click.echo(token)
    click.echo(f"Made {key.id}. The key is shown only now; keep it.", err=True)


async def _list(config: Config) -> None:
    async with _store(config) as (store, _):
        found = [each async for each in store.all()]
    if not found:
        click.echo("There are no keys. Make one with `famulus keys create`.", err=True)
        return
    _table(COLUMNS, [_cells(project, key) for project, key in found])


async def _revoke(config: Config, id: str | None) -> None:
    async with _store(config) as (store, join):
        removed = await (store.clear(join=join) if id is None else store.remove(id, join=join))
    if id is None:
        click.echo(f"Revoked {removed} keys. The next start makes a first one.", err=True)
        return
    if not removed:
        raise _unknown(id)
    click.echo(f"Revoked {id}.", err=True)


async def _projects(config: Config) -> None:
    rows: list[tuple[str, ...]] = []
    async with _plugin(config) as plugin:
        after: str | None = None
        while True:
            page = await plugin.service.projects(
                after=after, limit=PROJECTS_PER_READ, with_archived=True
            )
            for each in page.data:
                status = "active" if each.archived_at is None else "archived"
                rows.append((each.id, status, _day(each.created_at), each.name))
            if not page.has_more:
                break
            after = page.data[-1].id
    _table(("ID", "STATUS", "MADE", "NAME"), rows)


async def _create_project(config: Config, name: str) -> None:
    async with _plugin(config) as plugin:
        made = await plugin.service.create_project(name, by=COMMAND_LINE)
    click.echo(made.id)


async def _archive_project(config: Config, id: str) -> None:
    async with _plugin(config) as plugin:
        await plugin.service.archive_project(id, by=COMMAND_LINE)
    click.echo(f"Archived {id}. Its keys let nobody in any more.", err=True)


def _unknown(id: str) -> click.ClickException:
    return click.ClickException(f"there is no key {id!r}; `famulus keys list` shows them")


def _cells(project: str, key: StoredKey) -> tuple[str, ...]:
    return (
        key.id,
        f"...{key.last_four}",
        "(admin)" if project == SYSTEM_PROJECT else project,
        _day(key.created_at),
        "never" if key.expires_at is None else _day(key.expires_at),
        "never" if key.last_used_at is None else _day(key.last_used_at),
        ",".join("all" if scope in (ALL, ORGANIZATION) else scope for scope in key.scopes),
        key.name,
    )


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows in columns. The head is for people only: it goes beside the rows, to stderr."""
    rows = [tuple(map(visible, row)) for row in rows]
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    for row in (head, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip(), err=row is head)


def _day(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()
