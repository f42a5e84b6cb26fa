"""`famulus gc` and `famulus erase`, on the store of the configuration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import click

from famulus import Problem
from famulus.commands import configured, started_among
from famulus.config import Config
from famulus.visible import visible
from famulus_retention import report
from famulus_retention.collecting import Collected, collect
from famulus_retention.inventory import Inventory
from famulus_retention.naming import Wanted
from famulus_retention.persons import Found, PersonErasure
from famulus_retention.plugin import Retention
from famulus_retention.projects import ProjectErasure
from famulus_schemas.identity import DEFAULT_PROJECT, SYSTEM_PROJECT

HOOKS = ("register_data_kinds", "join_unit")
"""Whoever keeps something, or has something follow from a deletion, must be there."""


def gc() -> click.Command:
    """The command that sweeps at once."""

    @click.command("gc")
    @click.option("--dry-run", is_flag=True, help="Say what would go; delete nothing.")
    @click.option("--project", help="Only what is of this project.")
    @click.option("--compact", is_flag=True, help="Give the database's free space back, too.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @configured
    def gc(
        config: Config, dry_run: bool, project: str | None, compact: bool, as_json: bool
    ) -> None:
        """Delete what is older than [plugins.retention] says, and what belongs to nothing."""
        done = asyncio.run(_gc(config, project, dry_run, compact))
        click.echo(report.collected_json(done) if as_json else report.collected(done))
        if done.failed:
            raise click.exceptions.Exit(1)

    return gc


async def _gc(config: Config, project: str | None, is_dry: bool, compact: bool) -> Collected:
    async with _plugin(config) as plugin:
        return await collect(plugin, project=project, is_dry=is_dry, compact=compact)


def erase() -> click.Group:
    """The group of commands that erase."""

    @click.group("erase")
    def erase() -> None:
        """Erase all of a project or a person for good, and prove it."""

    @erase.command("project")
    @click.argument("id")
    @click.option("--with-audit", is_flag=True, help="Also the events of the audit log.")
    @click.option("--with-usage", is_flag=True, help="Also the figures of what was used.")
    @click.option("--dry-run", is_flag=True, help="Count what there is; erase nothing.")
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @configured
    def project(
        config: Config,
        id: str,
        with_audit: bool,
        with_usage: bool,
        dry_run: bool,
        yes: bool,
        as_json: bool,
    ) -> None:
        """Erase everything of a project. Its keys are revoked first."""
        if id == SYSTEM_PROJECT:
            raise click.UsageError("the server's own project cannot be erased")
        asked = [*(["audit"] if with_audit else []), *(["usage"] if with_usage else [])]
        asyncio.run(_erase_project(config, id, asked, dry_run, yes, as_json))

    @erase.command("user")
    @click.argument("named", nargs=-1, metavar="[KEY=VALUE]...")
    @click.option("--project", default=DEFAULT_PROJECT, help="The project to look in.")
    @click.option("--id", "ids", multiple=True, help="A thread, file, ... that is theirs, too.")
    @click.option("--dry-run", is_flag=True, help="List what there is; erase nothing.")
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @configured
    def user(
        config: Config,
        named: tuple[str, ...],
        project: str,
        ids: tuple[str, ...],
        dry_run: bool,
        yes: bool,
        as_json: bool,
    ) -> None:
        """Erase what metadata says is a person's, as `user_id=42`, and what goes by ids."""
        if not named and not ids:
            raise click.UsageError("say whose data: KEY=VALUE as in their metadata, or --id ID")
        pairs = tuple(_pair(each) for each in named)
        wanted = Wanted(named=pairs, ids=frozenset(ids))
        asyncio.run(_erase_user(config, project, wanted, dry_run, yes, as_json))

    return erase


def _pair(text: str) -> tuple[str, str]:
    key, found, value = text.partition("=")
    if not found or not key or not value:
        raise click.UsageError(f"{text!r} is not of the form KEY=VALUE, as user_id=42")
    return key, value


@asynccontextmanager
async def _plugin(config: Config) -> AsyncIterator[Retention]:
    """The plugin among all who keep something; what they refuse is told as a command tells it."""
    async with started_among(config, "retention", hooks=HOOKS) as plugin:
        try:
            yield cast(Retention, plugin)
        except Problem as problem:
            raise click.ClickException(problem.body.message) from problem


# --- a project --------------------------------------------------------------------------------


async def _erase_project(
    config: Config, id: str, asked: Sequence[str], is_dry: bool, yes: bool, as_json: bool
) -> None:
    async with _plugin(config) as plugin:
        if plugin.blobs is None:
            raise click.ClickException("no plugin provides blobs, so that they cannot be erased")
        erasure = ProjectErasure(
            id,
            settings=plugin.settings,
            records=plugin.records,
            blobs=plugin.blobs,
            keys=plugin.keys,
            known=plugin.known,
            asked=asked,
        )
        before = await erasure.count()
        if before.is_empty and not await _is_known(plugin, id):
            raise click.ClickException(f"there is no project {id!r}, and nothing is kept of one")
        after: Inventory | None = None
        if not is_dry:
            if not yes:
                click.echo(report.inventory(before), err=True)
                click.confirm(f"Erase all of project {visible(id)} for good?", abort=True, err=True)
            after = await erasure.erase()
    if as_json:
        click.echo(report.erased_json(id, before, after, erasure.staying))
    else:
        click.echo(report.erased(id, before, after, erasure.staying))
    if after is not None and not after.is_empty:
        raise click.exceptions.Exit(1)


async def _is_known(plugin: Retention, id: str) -> bool:
    if plugin.keys is None:
        return False
    try:
        await plugin.keys.project(id)
    except Problem:
        return False
    return True


# --- a person ---------------------------------------------------------------------------------


async def _erase_user(
    config: Config, project: str, wanted: Wanted, is_dry: bool, yes: bool, as_json: bool
) -> None:
    async with _plugin(config) as plugin:
        if plugin.blobs is None:
            raise click.ClickException("no plugin provides blobs, so that they cannot be erased")
        erasure = PersonErasure(
            project,
            wanted,
            settings=plugin.settings,
            records=plugin.records,
            blobs=plugin.blobs,
            known=plugin.known,
            id=plugin.new_id("erasure_"),
            now=plugin.now(),
        )
        theirs, parts = await erasure.find()
        left: list[Found] | None = None
        erased = theirs
        if not is_dry:
            if not yes:
                click.echo(report.found(theirs, parts), err=True)
                click.confirm("Erase this for good?", abort=True, err=True)
            erased, left = await erasure.erase()
    show = report.persons_json if as_json else report.persons
    kept = {data.name: data.stays for data in plugin.known.kinds if data.stays}
    click.echo(show(erased, parts if is_dry else [], left, kept))
    if left:
        raise click.exceptions.Exit(1)
