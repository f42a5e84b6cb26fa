"""`famulus limits`: which limits count, what set them, and what is left of them now."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import cast

import click
import msgspec

from famulus.commands import NobodyProvides, configured, provided, started
from famulus.config import Config
from famulus.showing import shown_settings
from famulus.visible import visible, visible_json
from famulus_rate_limits.effective import Effective, Per, effective
from famulus_rate_limits.plugin import RateLimits
from famulus_rate_limits.stored import KIND, NONE, ByModel, StoredLimits
from famulus_rate_limits.words import duration
from famulus_schemas.errors import Problem
from famulus_schemas.identity import DEFAULT_PROJECT
from famulus_schemas.limits import Limit, Limits, Slot
from famulus_schemas.ports import KEYS, RECORDS

HEAD = ("WHOSE", "WHAT", "LIMIT", "LEFT", "ALL BACK IN", "SET BY")
NUMBERS = (2, 3, 4)
PERS: Mapping[Per, str] = {"minute": "a minute", "day": "a day", "at_once": "at once"}
NOT_KNOWN = "What is left is not known: servers share no limits, or could not be asked for them."


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a limit."""

    amount: int
    reset_s: float | None = None
    """Seconds until all of it is; None where it is held, and not counted by time."""


def limits() -> click.Group:
    """The group of commands."""

    @click.group("limits")
    def limits() -> None:
        """Show the limits of keys, projects and models."""

    @limits.command("show")
    @click.option("--project", default=DEFAULT_PROJECT, help="The id of the project.")
    @click.option("--key", default=None, help="Of this key, by its id, in place of each key.")
    @click.option("--model", default=None, help="Of this model alone, as clients name it.")
    @click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
    @configured
    def show(
        config: Config, project: str, key: str | None, model: str | None, as_json: bool
    ) -> None:
        """Show which limits count in a project, what set each, and what is left of it now.

        What is left is known where servers share their limits. Keys of one service account share
        theirs.
        """
        asyncio.run(_show(config, project, key, model, as_json=as_json))

    return limits


async def _show(
    config: Config, project: str, key: str | None, model: str | None, *, as_json: bool
) -> None:
    principal = await _principal(config, project, key)
    stored = await _stored(config, project)
    async with started(config, "rate_limits") as plugin:
        ours = cast(RateLimits, plugin)
        found = effective(ours.settings, project, stored, key=principal, model=model)
        left = await _left(ours.limits, project, found)
        shown = shown_settings(config, ours.name, ours.settings)
        places = {each.key: each.origin for each in shown}
    lines = [_line(each, key, left.get(at), places) for at, each in enumerate(found)]
    if as_json:
        click.echo(visible_json(msgspec.json.encode(lines)))
        return
    have_own = {"key": bool(ours.settings.keys), "model": True}
    _table([_cells(*each, have_own) for each in zip(found, lines, strict=True)])
    if found and not left:
        click.echo(NOT_KNOWN, err=True)


async def _principal(config: Config, project: str, key: str | None) -> str | None:
    """By whom a key's limits are counted. Raises ClickException where there is no such project."""
    try:
        async with provided(config, KEYS) as keys:
            await keys.project(project)
            if key is None:
                return None
            try:
                return (await keys.key(project, key)).principal(project).id
            except Problem:
                # One of the configuration, a service account, or whom a token stands for.
                return key
    except NobodyProvides:
        return key
    except Problem as problem:
        raise click.ClickException(problem.body.message) from problem


async def _stored(config: Config, project: str) -> ByModel:
    """What an administrator has set."""
    try:
        async with provided(config, RECORDS.system) as records:
            await records.declare(KIND)
            return await StoredLimits(records, lambda: 0.0).read(project)
    except NobodyProvides:
        return NONE


async def _left(limits: Limits, project: str, found: Sequence[Effective]) -> dict[int, Left]:
    """What is left of each, by its place; nothing where that is not known."""
    known = {at: each.counted_by for at, each in enumerate(found) if each.id is not None}
    rates = {at: each for at, each in known.items() if isinstance(each, Limit)}
    slots = {at: each for at, each in known.items() if isinstance(each, Slot)}
    seen = await limits.seen(project, list(rates.values()), list(slots.values()))
    if seen is None:
        return {}
    left = {
        at: Left(amount=math.floor(standing.remaining + 1e-6), reset_s=standing.reset_s)
        for at, standing in zip(rates, seen.standings, strict=True)
    }
    for (at, slot), held in zip(slots.items(), seen.held, strict=True):
        left[at] = Left(amount=max(0, slot.at_once_max - held))
    return left


def _line(
    one: Effective, key: str | None, left: Left | None, places: Mapping[str, str]
) -> dict[str, object]:
    return {
        "of": one.of,
        "id": key if one.of == "key" else one.id,
        "what": one.what,
        "per": one.per,
        "limit": one.amount,
        "left": left and left.amount,
        "reset_s": left and left.reset_s,
        "set_by": "administrator" if one.setting is None else "configuration",
        "setting": one.setting,
        "origin": None if one.setting is None else places[one.setting.partition(".")[0]],
    }


def _cells(
    one: Effective, line: dict[str, object], have_own: Mapping[str, bool]
) -> tuple[str, ...]:
    id, reset_s = line["id"], line["reset_s"]
    each = "each other" if have_own.get(one.of) else "each"
    whose = f"{one.of} {id}" if id is not None else f"{each} {one.of}"
    set_by = "an administrator" if one.setting is None else f"{one.setting} ({line['origin']})"
    return (
        whose,
        f"{one.what} {PERS[one.per]}",
        f"{one.amount}",
        "-" if line["left"] is None else f"{line['left']}",
        duration(reset_s) if isinstance(reset_s, float) else "-",
        set_by,
    )


def _table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns; the head is for people only, and goes to stderr."""
    if not rows:
        click.echo("Nothing is limited.", err=True)
        return
    rows = [tuple(map(visible, row)) for row in rows]
    widths = [max(len(row[at]) for row in (HEAD, *rows)) for at in range(len(HEAD))]
    for row in (HEAD, *rows):
        cells = [
            cell.rjust(width) if at in NUMBERS else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip(), err=row is HEAD)
