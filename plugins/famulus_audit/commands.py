"""`famulus audit`: the log as lines, out of the store of the configuration."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Callable
from datetime import UTC, datetime
from typing import IO, Any, cast

import click
import msgspec

from famulus.commands import configured, started
from famulus.config import Config
from famulus.visible import visible, visible_json
from famulus_audit.plugin import Audit
from famulus_audit.queries import Search
from famulus_schemas.records import SEQ_MAX, Record

EVENTS_PER_READ = 500
COLUMNS = (
    *("effective_at", "type", "result", "actor_type", "actor_id", "owner_id", "project_id"),
    *("resource_id", "ip_address", "user_agent", "request_id", "id", "details"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def audit() -> click.Group:
    """The group of commands."""

    @click.group("audit")
    def audit() -> None:
        """Read the audit log."""

    @audit.command("export")
    @click.option("--since", help="The first day or time, in UTC: 2026-08-26, 2026-08-26T12:00.")
    @click.option("--until", help="The first day or time that is not exported.")
    @click.option("--project", help="The id of the project; else all.")
    @click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl")
    @click.option("--output", type=click.File("w", lazy=True), default="-", help="Else stdout.")
    @configured
    def export(
        config: Config,
        since: str | None,
        until: str | None,
        project: str | None,
        form: str,
        output: IO[str],
    ) -> None:
        """Write every event, the oldest first, one a line."""
        first = 0 if since is None else _seconds(since, "--since")
        last = SEQ_MAX if until is None else _seconds(until, "--until") - 1
        count = asyncio.run(_export(config, first, last, project, writer(form, output)))
        click.echo(f"Exported {count} events.", err=True)

    return audit


async def _export(
    config: Config, since: int, until: int, project: str | None, write: Callable[[Record], None]
) -> int:
    count = 0
    async with started(config, "audit") as plugin:
        audit = cast(Audit, plugin)
        search = Search(audit.records, audit.settings)
        span = await search.span(since, until)
        where = {} if project is None else {"project": project}
        async for record in search.all(where, span, batch=EVENTS_PER_READ):
            write(record)
            count += 1
    return count


def _seconds(text: str, option: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        hint = f"{text!r} is no time; give one such as 2026-08-26 or 2026-08-26T12:00"
        raise click.BadParameter(hint, param_hint=option) from error
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())


def writer(form: str, output: IO[str]) -> Callable[[Record], None]:
    """Writes events in a form, one a line."""
    if form == "csv":
        rows = csv.writer(output)
        rows.writerow(COLUMNS)
        return lambda record: rows.writerow([_cell(value) for value in _row(record)])
    return lambda record: print(visible_json(record.body), file=output)


def _row(record: Record) -> list[Any]:
    event = msgspec.json.decode(record.body)
    actor, details = event["actor"], event[event["type"]]
    key, session = actor.get("api_key") or {}, actor.get("session") or {}
    user = session.get("user") or actor.get("command_line") or {}
    return [
        datetime.fromtimestamp(event["effective_at"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        event["type"],
        event["result"],
        actor["type"],
        key.get("id") or user.get("id") or user.get("user"),
        (key.get("service_account") or {}).get("id"),
        (event.get("project") or {}).get("id"),
        details.get("id"),
        event["ip_address"],
        event["user_agent"],
        event["request_id"],
        event["id"],
        visible_json(msgspec.json.encode(details)),
    ]


def _cell(value: str | None) -> str:
    """A value as text that does nothing, neither on a terminal nor in a spreadsheet."""
    text = "" if value is None else visible(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
