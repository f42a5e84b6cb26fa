"""One way to write message rows, measured in a process of its own: `storage.py` reads a plan.

The stores are reached as a plugin reaches them, by RECORDS; beside them stand the plain loops
that they are held against. Every way writes the same body.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import os
import sqlite3
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec
import uvloop

from famulus import NoSettings, Plugin, need
from famulus.clock import IdPool
from famulus.testing import kernel_with
from famulus_schemas.ports import RECORDS
from famulus_schemas.records import Guard, Insert, Kind, Records, Unit

Way = Literal[
    "raw", "raw_page", "aiosqlite", "sqlite", "sqlite_post", "asyncpg", "postgres", "postgres_post"
]

LOCAL_POSTGRES = "postgresql://postgres@127.0.0.1:5432/test"
TABLE = """
    create table message (
        seq {serial} primary key, id text not null, thread text not null,
        created_at bigint not null, body {blob} not null
    )
"""
INDEXES = (
    "create unique index message_id on message (id)",
    "create index message_thread on message (thread, seq)",
)
THREADS = 100
ONE_MESSAGE = Kind(name="message")
ONE_THREAD = Kind(name="thread")

Write = Callable[[int], Awaitable[Any]]


class Plan(msgspec.Struct, kw_only=True):
    """What to measure."""

    way: Way
    clients: int
    """Writers at once; of `raw`, the rows that it commits together."""
    warm_s: float
    window_s: float
    folder: str
    body: str
    schema: str = "famulus_bench"
    """Of PostgreSQL: made for this, and dropped again."""


class Window:
    """The time in which writes count, and what they took."""

    def __init__(self, plan: Plan) -> None:
        self.begin = time.perf_counter() + plan.warm_s
        self.end = self.begin + plan.window_s
        self._cpu: float | None = None
        self._took_s: list[float] = []
        self._rows = 0

    def note(self, begun: float, now: float, rows: int = 1) -> bool:
        """Count what was written since `begun`; whether to go on."""
        if self._cpu is None and now >= self.begin:
            self._cpu, self.begin = time.process_time(), now
        elif self._cpu is not None:
            self._rows += rows
            self._took_s.append(now - begun)
        return now < self.end

    def figures(self) -> dict[str, float]:
        """What it comes to. Raises ValueError where nothing was written."""
        if self._cpu is None or len(self._took_s) < 2:
            raise ValueError("too little was written in the window")
        seconds = time.perf_counter() - self.begin
        cuts = statistics.quantiles(self._took_s, n=100)
        return {
            "cpu_us": (time.process_time() - self._cpu) * 1e6 / self._rows,
            "per_s": self._rows / seconds,
            "p50_ms": cuts[49] * 1e3,
            "p99_ms": cuts[98] * 1e3,
        }


def rows(plan: Plan) -> Callable[[int], tuple[str, str, int, bytes]]:
    """The columns of the row of a number; ids are random, as the server's are."""
    body, make_id = plan.body.encode(), IdPool()
    threads = thread_ids()
    return lambda number: (make_id("msg_"), threads[number % THREADS], 1_700_000_000, body)


def thread_ids() -> list[str]:
    """The threads that messages are added to, the same in every call."""
    return [f"thread_{hashlib.sha256(bytes([n])).hexdigest()[:24]}" for n in range(THREADS)]


def database_of(plan: Plan) -> sqlite3.Connection:
    """An empty SQLite database with the one table."""
    connection = sqlite3.connect(Path(plan.folder, "raw.sqlite3"), isolation_level=None)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    connection.execute(TABLE.format(serial="integer", blob="blob"))
    for index in INDEXES:
        connection.execute(index)
    return connection


INSERT = "insert into message (id, thread, created_at, body) values (?, ?, ?, ?)"


def raw(plan: Plan) -> dict[str, float]:
    """A plain loop: begin, so many rows, commit."""
    row, numbers = rows(plan), itertools.count()
    connection = database_of(plan)
    window = Window(plan)
    going = True
    while going:
        begun = time.perf_counter()
        connection.execute("begin immediate")
        for _ in range(plan.clients):
            connection.execute(INSERT, row(next(numbers)))
        connection.execute("commit")
        going = window.note(begun, time.perf_counter(), plan.clients)
    return window.figures()


PAGE = """
    select id, body from message where thread = ? and seq > ? order by seq desc limit ?
"""
PAGED_THREADS, PAGED_MESSAGES = 20, 100


def raw_page(plan: Plan) -> dict[str, float]:
    """A plain loop: select a page by keyset, join its bodies. `clients` is the page's size."""
    connection = database_of(plan)
    body = plan.body.encode()
    connection.execute("begin immediate")
    for number in range(PAGED_THREADS * PAGED_MESSAGES):
        thread = f"thread_{number % PAGED_THREADS}"
        connection.execute(INSERT, (f"msg_{number:024d}", thread, 1_700_000_000, body))
    connection.execute("commit")
    window = Window(plan)
    threads = itertools.cycle(f"thread_{number}" for number in range(PAGED_THREADS))
    going = True
    while going:
        begun = time.perf_counter()
        page = connection.execute(PAGE, (next(threads), 0, plan.clients + 1)).fetchall()
        b'{"data":[' + b",".join([found for _, found in page[: plan.clients]]) + b"]}"
        going = window.note(begun, time.perf_counter())
    return window.figures()


async def measure(plan: Plan) -> dict[str, float]:
    """Writers at once, each with one write after the other."""
    opened = {
        "aiosqlite": through_aiosqlite,
        "asyncpg": through_asyncpg,
        "sqlite": through_store,
        "sqlite_post": through_store,
        "postgres": through_store,
        "postgres_post": through_store,
    }[plan.way]
    numbers = itertools.count()
    async with opened(plan) as write:
        window = Window(plan)

        async def writer() -> None:
            going = True
            while going:
                begun = time.perf_counter()
                await write(next(numbers))
                going = window.note(begun, time.perf_counter())

        await asyncio.gather(*(writer() for _ in range(plan.clients)))
        return window.figures()


@asynccontextmanager
async def through_aiosqlite(plan: Plan) -> AsyncIterator[Write]:
    """A commit for every request on one connection, under the lock that this takes."""
    import aiosqlite

    database_of(plan).close()
    row, lock = rows(plan), asyncio.Lock()
    path = Path(plan.folder, "raw.sqlite3")
    async with aiosqlite.connect(path, isolation_level=None) as connection:
        await connection.execute("pragma synchronous = full")

        async def write(number: int) -> None:
            async with lock:
                await connection.execute("begin immediate")
                await connection.execute(INSERT, row(number))
                await connection.execute("commit")

        yield write


def dsn() -> str:
    """The PostgreSQL server to measure on, as the tests have it."""
    return os.environ.get("FAMULUS_TEST_POSTGRES", LOCAL_POSTGRES)


@asynccontextmanager
async def schema_of(plan: Plan) -> AsyncIterator[None]:
    """An empty schema of our own, gone afterwards."""
    import asyncpg

    connection = await asyncpg.connect(dsn(), timeout=5)
    try:
        await connection.execute(f"create schema {plan.schema}")
        yield
    finally:
        await connection.execute(f"drop schema if exists {plan.schema} cascade")
        await connection.close()


@asynccontextmanager
async def through_asyncpg(plan: Plan) -> AsyncIterator[Write]:
    """A commit for every request on a pool."""
    import asyncpg

    row = rows(plan)
    places = {"search_path": plan.schema}
    async with (
        schema_of(plan),
        asyncpg.create_pool(dsn(), min_size=8, max_size=8, server_settings=places) as pool,
    ):
        await pool.execute(TABLE.format(serial="bigserial", blob="bytea"))
        for index in INDEXES:
            await pool.execute(index)
        insert = "insert into message (id, thread, created_at, body) values ($1, $2, $3, $4)"

        async def write(number: int) -> None:
            await pool.execute(insert, *row(number))

        yield write


async def say_hello() -> None:
    """Connect once."""
    import asyncpg

    await (await asyncpg.connect(dsn(), timeout=5)).close()


class Probe(Plugin[NoSettings]):
    """Asks for the record store."""

    name: ClassVar[str] = "probe"
    records = need(RECORDS)


@asynccontextmanager
async def through_store(plan: Plan) -> AsyncIterator[Write]:
    """The store as plugins have it: an insert, or what a POST of a message commits."""
    store, _, posts = plan.way.partition("_")
    settings: dict[str, dict[str, Any]] = {}
    if store == "postgres":
        settings["postgres"] = {"dsn": dsn(), "schema": plan.schema}
    async with (
        schema_of(plan) if settings else nullcontext(),
        kernel_with(Probe, store, settings=settings, data_dir=Path(plan.folder)) as server,
    ):
        if server.state("probe")[0] != "running":
            raise ValueError(f"{store}: {server.state(store)}")
        every = server.plugin("probe").records
        await every.declare(ONE_MESSAGE, ONE_THREAD)
        records: Records = every.of("default")
        for thread in thread_ids():
            made = Insert(kind="thread", id=thread, created_at=0, body=b"{}")
            await records.commit([made])
        row = rows(plan)

        async def write(number: int) -> None:
            id, thread, created_at, body = row(number)
            insert = Insert(kind="message", id=id, parent=thread, created_at=created_at, body=body)
            await records.commit([*_guards(thread), insert] if posts else [insert])

        yield write


def _guards(thread: str) -> Unit:
    return [
        Guard(kind="thread", id=thread),
        Guard(kind="active_run", id=thread, absent=True),
    ]


def main() -> None:
    """Do the plan on stdin, or with `--postgres` say whether there is one."""
    if sys.argv[1:] == ["--postgres"]:
        uvloop.run(say_hello())
        json.dump({}, sys.stdout)
        return
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    plain = {"raw": raw, "raw_page": raw_page}.get(plan.way)
    figures = plain(plan) if plain else uvloop.run(measure(plan))
    json.dump(figures, sys.stdout)


if __name__ == "__main__":
    main()
