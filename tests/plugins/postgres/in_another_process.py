"""What a test has another process do: `DSN=... python in_another_process.py SCHEMA`.

It writes until it is killed. Each line is a unit that was acknowledged, written with one call,
so that a reader never sees half of one.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import sys

from famulus import Secret
from famulus.log import make_log
from famulus_postgres.database import open_database
from famulus_postgres.settings import PostgresSettings
from famulus_postgres.store import PostgresStore
from famulus_schemas.records import Insert, Records, Replace

WORKERS = 16


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def insert(kind: str, id: str) -> Insert:
    return Insert(kind=kind, id=id, created_at=1, body=b"{}" * 100)


async def write(records: Records, worker: str) -> None:
    await records.commit([insert("counter", worker)])
    for number in itertools.count(1):
        id = f"{worker}.{number}"
        await records.commit(
            [
                insert("one", id),
                insert("other", id),
                Replace(kind="counter", id=worker, version=number, body=b"%d" % number),
            ]
        )
        say(f"{worker} {number} {id}")


async def main(settings: PostgresSettings) -> None:
    async with open_database(settings, log=make_log(stream=io.StringIO())) as database:
        records = PostgresStore(database).of("project")
        say("open")
        await asyncio.gather(*(write(records, f"{os.getpid()}.{n}") for n in range(WORKERS)))


if __name__ == "__main__":
    asyncio.run(main(PostgresSettings(dsn=Secret(os.environ["DSN"]), schema=sys.argv[1])))
