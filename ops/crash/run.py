"""Kill servers under load and see what is lost: `python ops/crash/run.py [--full]`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path

import results
from campaign import MUTANTS, WAYS, Campaign, Options
from cluster import Zygote
from ledger import Ledger
from model import MODEL, answer
from points import points_of, shared
from stores import PostgresSchema, SqliteFile, Store

from famulus.failpoints import POINTS
from famulus.testing import ScriptedBackend

STORES = ("sqlite", "postgres")
CHAPTER = 15
"""Points tested on one store before the next begins with an empty one: looking costs less so."""
AT_ONCE = 3
"""Much of the time of each is waiting: for leases, and for what died to be started again."""
SHOWN = 600
"""Characters of a finding; the ledger has all."""


@dataclass(frozen=True)
class Profile:
    """How much is done."""

    name: str
    rounds: int
    load_s: tuple[float, float]
    passages: tuple[int, ...]
    """At which passages of a point servers die; what is under way differs."""


QUICK = Profile("quick", 5, (0.2, 1.2), (1,))
FULL = Profile("full", 25, (0.2, 5.0), (1, 4, 15))


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 1 where anything was found."""
    asked = _parser().parse_args(arguments)
    # Of a model server whose clients are killed in the midst of an answer, this is no news.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="famulus-crash-", dir=asked.dir))
    profile = FULL if asked.full else QUICK
    begun = time.monotonic()
    try:
        rows = asyncio.run(_run(asked, profile, folder))
    except BaseException:
        print(f"what was sent and logged is kept in {folder}", file=sys.stderr)
        raise
    seconds = time.monotonic() - begun
    text = results.page(rows, seed=asked.seed, profile=profile.name, seconds=seconds)
    print(text)
    found = [finding for row in rows for finding in row.findings]
    for finding in found:
        print(f"{finding.kind}: {finding.text[:SHOWN]}")
    if found:
        print(f"what was sent and logged is kept in {folder}")
        return 1
    shutil.rmtree(folder)
    if asked.keep:
        results.keep(text)
    return 0


async def _run(asked: argparse.Namespace, profile: Profile, folder: Path) -> list[results.Row]:
    """A row for each store that is there."""
    room = asyncio.Semaphore(AT_ONCE)
    backend = ScriptedBackend(answer, models=(MODEL,))
    async with backend.serve() as model_url, Zygote() as zygote:

        async def chapter(name: str, number: int, options: Options) -> results.Row:
            async with room:
                place = folder / f"{name}-{number}"
                return await _chapter(_store(name, place), options, place, model_url, zygote)

        tasks = [
            asyncio.create_task(chapter(name, number, options))
            for name in asked.store or STORES
            if await _is_there(name)
            for number, options in enumerate(_chapters(name, asked, profile))
        ]
        rows = await asyncio.gather(*tasks)
    by_store = [[row for row in rows if row.store == name] for name in STORES]
    return [reduce(add, each) for each in by_store if each]


def _chapters(store: str, asked: argparse.Namespace, profile: Profile) -> list[Options]:
    rounds = profile.rounds if asked.rounds is None else asked.rounds
    points = [] if asked.no_points else asked.points or points_of(store, profile.passages)
    if asked.shared:
        points = shared(store, points)
    options = Options(
        seed=asked.seed,
        rounds=rounds,
        load_s=profile.load_s,
        points=[],
        ways=asked.ways or (),
        mutant=asked.mutant,
        reach_s=asked.reach_s,
        stops_at_finding=asked.first,
    )
    chapters = [
        replace(options, seed=f"{asked.seed} {at}", rounds=0, points=points[at : at + CHAPTER])
        for at in range(0, len(points), CHAPTER)
    ]
    return [*chapters, options] if rounds else chapters


async def _chapter(
    store: Store, options: Options, folder: Path, model_url: str, zygote: Zygote
) -> results.Row:
    ledger = Ledger(folder / "ledger.jsonl")
    campaign = Campaign(
        store, ledger, options=options, folder=folder, model_url=model_url, zygote=zygote
    )
    try:
        await campaign.run()
    finally:
        await store.remove()
        ledger.close()
    return campaign.row()


def _store(name: str, folder: Path) -> Store:
    folder.mkdir()
    return SqliteFile(folder) if name == "sqlite" else PostgresSchema()


async def _is_there(name: str) -> bool:
    if name == "sqlite" or await PostgresSchema().is_there():
        return True
    print("NO POSTGRESQL: set FAMULUS_TEST_POSTGRES to the dsn of a server for tests")
    return False


def _point(text: str) -> str:
    if text.partition(":")[0] not in POINTS:
        raise argparse.ArgumentTypeError(f"there is no point {text!r}")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__)
    parser.add_argument("--seed", default="1", help="What chance follows from.")
    parser.add_argument("--full", action="store_true", help="25 kills a store, under longer load.")
    parser.add_argument("--store", action="append", choices=STORES)
    parser.add_argument("--rounds", type=int, help="Kills at random times, for each store.")
    parser.add_argument("--points", nargs="+", type=_point, help="Only these; `name` or `name:n`.")
    parser.add_argument("--ways", nargs="+", choices=WAYS["postgres"], help="Of ending servers.")
    parser.add_argument("--shared", action="store_true", help="A point on one of the stores only.")
    parser.add_argument("--no-points", action="store_true", help="Only kills at random times.")
    parser.add_argument("--reach-s", type=float, default=90, help="For a point to be reached.")
    parser.add_argument("--first", action="store_true", help="Stop at the first finding.")
    parser.add_argument("--mutant", choices=MUTANTS, default="", help="A promise to break.")
    parser.add_argument("--keep", action="store_true", help="Write a good result to RESULTS.md.")
    parser.add_argument("--dir", type=Path, help="The disk to work on.")
    return parser


if __name__ == "__main__":
    sys.exit(main())
