"""Live through many seeds: `python -m tests.simulation.simulate --seeds 10000 --processes 2`.

A seed whose history breaks a promise is printed with all of it, and makes the exit status 1.
`--first 4711 --seeds 1` lives through one seed again; `--trace` prints it whatever comes of it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
from tests.simulation.mutants import ALL, Mutant
from tests.simulation.watch import Violation
from tests.simulation.world import simulate

ROOT = Path(__file__).parents[2]
STORIES_MAX = 3
"""Histories that are printed; of further seeds only the promise that was broken."""


class Broken(msgspec.Struct, frozen=True, kw_only=True):
    """A seed that broke promises."""

    seed: int
    violations: list[Violation]
    story: str

    def __str__(self) -> str:
        broken = "\n".join(f"  {one.promise}: {one.detail}" for one in self.violations)
        return f"seed {self.seed} broke a promise:\n{broken}"


def broken_among(seeds: range, mutant: Mutant | None = None) -> Iterator[Broken]:
    """The seeds that break a promise."""
    for seed in seeds:
        world = simulate(seed, mutant)
        if violations := world.watch.violations:
            yield Broken(seed=seed, violations=violations, story=world.story())


def broken_in_processes(seeds: range, processes: int) -> Iterator[Broken]:
    """As `broken_among`, by several processes that share the seeds."""
    command = [sys.executable, "-m", "tests.simulation.simulate", "--json"]
    workers = [
        subprocess.Popen(
            [
                *command,
                "--first",
                str(part.start),
                "--seeds",
                str(len(part)),
                "--step",
                str(part.step),
            ],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        for part in (seeds[number::processes] for number in range(processes))
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            for line in worker.stdout:
                yield msgspec.json.decode(line, type=Broken)
            if worker.wait() not in (0, 1):
                raise RuntimeError(f"a process of the simulation ended with {worker.returncode}")
    finally:
        for worker in workers:
            with suppress(ProcessLookupError):
                worker.kill()
            worker.communicate()


def _tell(broken: Iterator[Broken], *, as_json: bool) -> int:
    count = 0
    for one in broken:
        count += 1
        if as_json:
            sys.stdout.buffer.write(msgspec.json.encode(one) + b"\n")
            sys.stdout.buffer.flush()
        else:
            print(one.story if count <= STORIES_MAX else one, flush=True)
    return count


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--step", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--processes", type=int, default=1, help="processes that share the seeds")
    parser.add_argument("--mutant", choices=[each.name for each in ALL], help="break a promise")
    parser.add_argument("--trace", action="store_true", help="print every history")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.seeds * given.step, given.step)
    mutant = next((each() for each in ALL if each.name == given.mutant), None)
    if given.trace:
        for seed in seeds:
            print(simulate(seed, mutant).story())
        return 0
    if given.processes > 1 and mutant is None:
        broken = broken_in_processes(seeds, given.processes)
    else:
        broken = broken_among(seeds, mutant)
    count = _tell(broken, as_json=given.json)
    if not given.json:
        print(f"{len(seeds)} seeds, {count} of them broke a promise")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
