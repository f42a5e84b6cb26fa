"""`famulus`, with two additions for crash tests: points can be armed late, and promises broken.

SIGUSR1 has the point in the file CRASH_ARM armed, and the file removed. CRASH_MUTANT names a
promise to break, to see that the tests would notice:

- `no_fence`: nothing keeps out a worker that was given up for dead
- `publish_first`: an event is told before it is on disk
- `answer_first`: a write is acknowledged before it is on disk
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

from famulus import failpoints
from famulus.cli import main

EARLY_S = 0.05
"""How much too early a broken promise is."""


def arm(*_: Any) -> None:
    """Arm the point that the file names."""
    file = Path(os.environ["CRASH_ARM"])
    failpoints.arm(file.read_text())
    file.unlink()


def no_fence() -> None:
    """Guard jobs with what always holds."""
    from famulus_schemas.jobs import Job
    from famulus_schemas.records import Guard

    def guard(job: Any) -> Guard:
        return Guard(kind="job", id="none", absent=True)

    _break(Job, "guard", guard)


def publish_first() -> None:
    """Tell what a batch says, and only then write it."""
    from famulus_runs.journal import Journal

    commit = Journal._commit

    async def told_first(journal: Journal, objects: Any, emissions: Any) -> None:
        if emissions:
            journal._events.publish(journal._records.project, journal._run_id, emissions)
            await asyncio.sleep(EARLY_S)
        await commit(journal, objects, emissions)

    _break(Journal, "_commit", told_first)


def answer_first() -> None:
    """Say that a unit is written, and only then write it."""
    from famulus_postgres.store import PostgresRecords
    from famulus_sqlite.store import SqliteRecords

    late: set[asyncio.Task[None]] = set()

    def breaking(commit: Any) -> Any:
        async def answered_first(records: Any, unit: Any) -> None:
            if any(write.kind in ("job", "active_run", "run") for write in unit):
                await commit(records, unit)
                return

            async def later() -> None:
                await asyncio.sleep(EARLY_S)
                await commit(records, unit)

            task = asyncio.create_task(later())
            late.add(task)
            task.add_done_callback(late.discard)

        return answered_first

    for store in (PostgresRecords, SqliteRecords):
        _break(store, "commit", breaking(store.commit))


def _break(owner: type, name: str, function: Any) -> None:
    setattr(owner, name, function)


MUTANTS = {
    "": lambda: None,
    "no_fence": no_fence,
    "publish_first": publish_first,
    "answer_first": answer_first,
}


def run() -> None:
    """What `famulus` runs, with the additions."""
    MUTANTS[os.environ.get("CRASH_MUTANT", "")]()
    signal.signal(signal.SIGUSR1, arm)
    main()


if __name__ == "__main__":
    run()
