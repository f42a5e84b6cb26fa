"""Durable writes of messages, at the storage layer: group commit against the plain loop."""

from __future__ import annotations

import secrets
import subprocess
import tempfile
from collections.abc import Callable

import msgspec
import sample
from harness import (
    Figures,
    Measure,
    Options,
    Rounds,
    Row,
    Table,
    Target,
    child,
    column,
    interleave,
    ratios,
    row,
)
from storage import Plan, Way

ABOUT = "records: a durable row a request, written by many at once"
MANY = 64

SQLITE: dict[str, tuple[Way, int]] = {
    "raw sqlite3 loop, 64 rows a commit": ("raw", MANY),
    "SQLite store, 64 clients, insert": ("sqlite", MANY),
    "SQLite store, 64 clients, message POST": ("sqlite_post", MANY),
    "aiosqlite, a commit a request, 64 clients": ("aiosqlite", MANY),
    "raw sqlite3 loop, 1 row a commit": ("raw", 1),
    "SQLite store, 1 client, insert": ("sqlite", 1),
    "aiosqlite, a commit a request, 1 client": ("aiosqlite", 1),
}
POSTGRES: dict[str, tuple[Way, int]] = {
    "asyncpg, a commit a request, 64 clients": ("asyncpg", MANY),
    "PostgreSQL store, 64 clients, insert": ("postgres", MANY),
    "PostgreSQL store, 64 clients, message POST": ("postgres_post", MANY),
    "asyncpg, a commit a request, 1 client": ("asyncpg", 1),
    "PostgreSQL store, 1 client, insert": ("postgres", 1),
}


def run(options: Options) -> list[Table]:
    """Rows a second, by the wall: here it is the disk that is divided."""
    found = interleave(_cells(SQLITE, options), options)
    tables = [_sqlite(found), _cpu(found)]
    if _has_postgres():
        tables.append(_postgres(interleave(_cells(POSTGRES, options), options)))
    else:
        tables[0].note += " No PostgreSQL answered (FAMULUS_TEST_POSTGRES), so it is left out."
    return tables


def _cells(ways: dict[str, tuple[Way, int]], options: Options) -> dict[str, Measure]:
    return {name: _measure(way, clients, options) for name, (way, clients) in ways.items()}


def _measure(way: Way, clients: int, options: Options) -> Callable[[], Figures]:
    def measure() -> Figures:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            plan = Plan(
                way=way,
                clients=clients,
                warm_s=options.seconds(0.4),
                window_s=options.seconds(2.0),
                folder=folder,
                body=sample.MESSAGE,
                schema=f"famulus_bench_{secrets.token_hex(6)}",
            )
            return child("storage.py", stdin=msgspec.json.encode(plan))

    return measure


def _sqlite(found: Rounds) -> Table:
    raw, store, post, apart, raw_1, store_1, apart_1 = SQLITE
    return Table(
        title="Rows a second, SQLite, synchronous = FULL",
        unit="rows/s",
        rows=[
            _rate(found, raw),
            _rate(found, store, raw, Target(">=", 0.6)),
            _rate(found, post, store, Target(">=", 0.5), "of the plain insert"),
            _rate(found, apart, raw),
            _as_many(found, store, apart, Target(">=", 5)),
            _rate(found, raw_1),
            _rate(found, store_1, raw_1, Target(">=", 0.8)),
            _rate(found, apart_1, raw_1),
        ],
        note="A ratio above 1 is possible: a batch gathers while the one before is being synced, "
        "and disks drift.",
    )


def _rate(
    found: Rounds, name: str, floor: str = "", target: Target | None = None, of: str = ""
) -> Row:
    line = row(
        found,
        name,
        floor=floor or name,
        target=target,
        figure="per_s",
        beside=("p50_ms", "p99_ms", "cpu_us"),
    )
    return msgspec.structs.replace(line, name=f"{name}, {of}") if of else line


def _as_many(found: Rounds, name: str, other: str, target: Target) -> Row:
    return Row(
        name=f"{name}, of {other.partition(',')[0]}'s",
        ratios=ratios(column(found, name, "per_s"), column(found, other, "per_s")),
        target=target,
    )


def _cpu(found: Rounds) -> Table:
    raw, store, post, apart, *_ = SQLITE
    return Table(
        title="CPU a row, SQLite, 64 clients",
        unit="CPU us",
        rows=[
            row(found, raw),
            row(found, store, floor=raw),
            row(found, post, floor=raw),
            row(found, apart, floor=raw),
        ],
    )


def _postgres(found: Rounds) -> Table:
    apart, store, post, apart_1, store_1 = POSTGRES
    return Table(
        title="Rows a second, PostgreSQL on this machine",
        unit="rows/s",
        rows=[
            _rate(found, apart),
            _rate(found, store, apart, Target(">=", 8)),
            _rate(found, post, apart),
            _rate(found, apart_1),
            _rate(found, store_1, apart_1),
        ],
        note="The CPU is the client's; the database's own is not in it.",
    )


def _has_postgres() -> bool:
    try:
        child("storage.py", "--postgres")
    except subprocess.CalledProcessError:
        return False
    return True
