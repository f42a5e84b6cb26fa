"""`famulus usage`: what was used and spent, from the store of the configuration."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import cast

import click
import msgspec

from famulus.commands import configured, started
from famulus.config import Config
from famulus.visible import visible, visible_json
from famulus_schemas.errors import Problem
from famulus_usage.kinds import Entry
from famulus_usage.plugin import Usage
from famulus_usage.prices import shown
from famulus_usage.times import DAY_S, SECONDS, Width, floor, month_of

OF_ROWS = ("project", "user", "key", "model", "what", "day")
OF_ENTRIES = ("run", "step", "thread", "assistant")
OF_MODELS = ("completions", "embeddings")
HOURS_READ_DAYS = 8
_AGO = re.compile(r"^(\d{1,5})([hd])$")

Names = tuple[str, ...]


class Sum(msgspec.Struct):
    """What one line of the table says."""

    requests: int = 0
    input: int = 0
    cached: int = 0
    output: int = 0
    cost: int = 0

    def add(self, more: Sum) -> None:
        """Add what another says."""
        self.requests += more.requests
        self.input += more.input
        self.cached += more.cached
        self.output += more.output
        self.cost += more.cost


def usage() -> click.Command:
    """The command."""

    @click.command("usage")
    @click.option(
        "--by",
        "by",
        multiple=True,
        type=click.Choice([*OF_ROWS, *OF_ENTRIES]),
        help="What to add up for; several may be given. The project, if not given.",
    )
    @click.option(
        "--since",
        default=None,
        help="A day (2026-11-01), or how long ago: 36h, 7d. Of this month, if not given.",
    )
    @click.option("--project", default=None, help="Only of the project with this id.")
    @click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
    @configured
    def usage(
        config: Config, by: Names, since: str | None, project: str | None, as_json: bool
    ) -> None:
        """Show what models used, and what that cost.

        By runs, steps, threads or assistants it is what runs used whose threads are still there.
        """
        asyncio.run(_show(config, by or ("project",), since, project, as_json=as_json))

    return usage


async def _show(
    config: Config, by: Names, since: str | None, project: str | None, *, as_json: bool
) -> None:
    async with started(config, "usage") as plugin:
        ours = cast(Usage, plugin)
        now = ours.host.clock()
        start = month_of(now) if since is None else _second(since, now)
        try:
            await ours.gather_all()
            sums = await _sums(ours, by, start, int(now) + 1, project)
        except Problem as problem:
            raise click.ClickException(problem.body.message) from problem
        currency = ours.settings.currency
    ordered = sorted(sums.items(), key=lambda item: (-item[1].cost, -item[1].input, item[0]))
    if as_json:
        lines = [_line(by, *each, currency) for each in ordered]
        click.echo(visible_json(msgspec.json.encode(lines)))
        return
    _table(by, ordered, currency)


async def _sums(
    plugin: Usage, by: Names, start: int, end: int, project: str | None
) -> dict[Names, Sum]:
    sums: dict[Names, Sum] = {}
    what = None if "what" in by else OF_MODELS
    if not set(by) & set(OF_ENTRIES):
        width: Width = "1h" if end - start <= HOURS_READ_DAYS * DAY_S else "1d"
        rows = await plugin.reading.rows(width, floor(start, width), end)
        found: Iterable[tuple[str, Entry]] = [
            (
                of,
                Entry(
                    at=cell.at,
                    what=cell.what,
                    user=cell.user,
                    key=cell.key,
                    model=cell.model,
                    requests=cell.requests,
                    input=cell.input,
                    cached=cell.cached,
                    output=cell.output,
                    cost=cell.cost,
                ),
            )
            for of, cell in rows
        ]
    else:
        found = [pair async for pair in plugin.reading.entries({})]
    for of, entry in found:
        is_wanted = entry.at >= start and project in (None, of)
        if is_wanted and (what is None or entry.what in what):
            names = tuple(_name(each, of, entry) for each in by)
            sums.setdefault(names, Sum()).add(
                Sum(
                    requests=entry.requests,
                    input=entry.input,
                    cached=entry.cached,
                    output=entry.output,
                    cost=entry.cost,
                )
            )
    return sums


def _name(by: str, project: str, entry: Entry) -> str:
    if by == "project":
        return project
    if by == "day":
        return datetime.fromtimestamp(entry.at, UTC).date().isoformat()
    return str(getattr(entry, by))


def _second(since: str, now: float) -> int:
    if found := _AGO.match(since):
        return int(now) - int(found[1]) * (SECONDS["1h"] if found[2] == "h" else DAY_S)
    try:
        return int(datetime.fromisoformat(since).replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        text = f"--since {since!r} is no day; give 2026-11-01, 36h or 7d"
        raise click.UsageError(text) from error


def _line(by: Names, names: Names, found: Sum, currency: str) -> dict[str, object]:
    return {
        **dict(zip(by, names, strict=True)),
        "requests": found.requests,
        "input_tokens": found.input,
        "cached_tokens": found.cached,
        "output_tokens": found.output,
        "cost": shown(found.cost),
        "currency": currency,
    }


def _table(by: Names, ordered: Sequence[tuple[Names, Sum]], currency: str) -> None:
    """Print rows in columns; head and total are for people only, and go to stderr."""
    if not ordered:
        click.echo("Nothing was used in this time.", err=True)
        return
    total = Sum()
    for _, found in ordered:
        total.add(found)
    head = [*map(str.upper, by), "REQUESTS", "INPUT", "CACHED", "OUTPUT", currency.upper()]
    last = ["total", *[""] * (len(by) - 1), *_cells(total)]
    rows = [[*map(visible, names), *_cells(found)] for names, found in ordered]
    widths = [max(len(row[at]) for row in (head, last, *rows)) for at in range(len(head))]
    for row in (head, *rows, last):
        cells = [
            cell.ljust(width) if at < len(by) else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip(), err=row is head or row is last)


def _cells(found: Sum) -> list[str]:
    numbers = (found.requests, found.input, found.cached, found.output)
    return [*map(str, numbers), f"{shown(found.cost):.4f}"]
