"""What the tests have another process do with a database: `python in_another_process.py WHAT FILE`.

Each thing it did is one line on standard output, written with one call, so that a reader never
sees half of one.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import resource
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from famulus.log import make_log
from famulus_schemas.records import Insert, Records, Replace, StoreUnavailable
from famulus_sqlite.database import Database, open_database
from famulus_sqlite.settings import SqliteSettings
from famulus_sqlite.store import SqliteStore

WORKERS = 16


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


async def hold(path: Path, database: Database) -> None:
    """Keep it open."""
    say("open")
    await asyncio.Event().wait()


async def write(path: Path, database: Database) -> None:
    """Write until killed; each line is a unit that was acknowledged."""
    records = SqliteStore(database, records_per_fill_max=100).of("project")
    run = os.getpid()
    say("open")
    await asyncio.gather(*(_write(records, f"{run}.{worker}") for worker in range(WORKERS)))


async def _write(records: Records, worker: str) -> None:
    await records.commit([_insert("counter", worker)])
    for number in itertools.count(1):
        id = f"{worker}.{number}"
        await records.commit(
            [
                _insert("one", id),
                _insert("other", id),
                Replace(kind="counter", id=worker, version=number, body=b"%d" % number),
            ]
        )
        say(f"{worker} {number} {id}")


async def commit_one_by_one(path: Path, database: Database) -> None:
    """Say before and after each commit."""
    records = SqliteStore(database, records_per_fill_max=100).of("project")
    for number in range(100):
        say("asked")
        await records.commit([_insert("one", str(number))])
        say("acknowledged")


async def fail_to_write(path: Path, database: Database) -> None:
    """Meet an I/O error: the system lets no file grow beyond what the log has by now."""
    records = SqliteStore(database, records_per_fill_max=100).of("project")
    await records.commit([_insert("one", "before")])
    size = Path(f"{path}-wal").stat().st_size
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    await _try(records, "during")
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    await _try(records, "after")
    say("read" if await records.get("one", "before") else "not read")
    say(database.writer.health().status)


async def _try(records: Records, id: str) -> None:
    try:
        await records.commit([_insert("one", id)])
    except StoreUnavailable as error:
        say(f"{id} refused: {error}")
    else:
        say(f"{id} written")


def _insert(kind: str, id: str) -> Insert:
    return Insert(kind=kind, id=id, created_at=1, body=b"{}" * 100)


async def main(do: Callable[[Path, Database], Awaitable[None]], path: Path) -> None:
    log = make_log(stream=io.StringIO())
    async with open_database(path, SqliteSettings(), clock=lambda: 5.0, log=log) as database:
        await do(path, database)


if __name__ == "__main__":
    todo = {
        "commit_one_by_one": commit_one_by_one,
        "fail_to_write": fail_to_write,
        "hold": hold,
        "write": write,
    }
    asyncio.run(main(todo[sys.argv[1]], Path(sys.argv[2])))
