"""Runs hold under everything: random histories, each from a seed, each judged.

SIMULATION_SEEDS says how many (10000), SIMULATION_FIRST where to begin (0), SIMULATION_PROCESSES
by how many processes (one a core). What a failing seed went through is printed, and
`python -m tests.simulation.simulate --first SEED --seeds 1` goes through it again.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tests.simulation.mutants import ALL, Mutant
from tests.simulation.simulate import ROOT, broken_among, broken_in_processes
from tests.simulation.world import simulate

MUTANT_SEEDS = 1_000


@pytest.mark.timeout(3600)
def test_promises_hold_whatever_happens() -> None:
    first = int(os.environ.get("SIMULATION_FIRST", "0"))
    count = int(os.environ.get("SIMULATION_SEEDS", "10000"))
    processes = int(os.environ.get("SIMULATION_PROCESSES", str(os.cpu_count() or 1)))
    broken = list(broken_in_processes(range(first, first + count), processes))
    if broken:
        shortest = min(broken, key=lambda one: len(one.story))
        listed = "\n".join(map(str, broken[:20]))
        pytest.fail(f"{shortest.story}\n\n{len(broken)} of {count} seeds:\n{listed}", pytrace=False)


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_a_broken_promise_is_noticed(mutant: type[Mutant]) -> None:
    found = next(broken_among(range(MUTANT_SEEDS), mutant()), None)
    assert found is not None, f"{mutant.name}: no seed of {MUTANT_SEEDS} has noticed"


@pytest.mark.parametrize("seed", range(10))
def test_a_seed_always_gives_the_same_history(seed: int) -> None:
    assert simulate(seed).story() == simulate(seed).story()


def test_a_seed_gives_the_same_history_in_every_process() -> None:
    # Sets of strings are walked in another order in each process.
    command = [sys.executable, "-m", "tests.simulation.simulate", "--seeds", "20", "--trace"]
    stories = [
        subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert stories[0] == stories[1]
    assert stories[0].count(b"\nseed ") >= 19


def test_histories_have_runs_that_wait_for_their_turn() -> None:
    wanted = {"lined up": 20, "in place": 10, "expired": 3, "cancelled": 3, "too many": 1}
    seen = dict.fromkeys(wanted, 0)
    for seed in range(100):
        world = simulate(seed)
        for run_id, log in world.watch.log.items():
            events = [log[seq].event.rpartition(".")[2] for seq in sorted(log)]
            for end, event in (("expired", "expired"), ("cancelled", "cancelling")):
                seen[end] += events[1:3] == ["queued", event] and run_id in world.watch.waited
        seen["lined up"] += len(world.watch.waited)
        records = world.store.records.values()
        seen["in place"] += sum(one.kind == "message" and bool(one.extra) for one in records)
        seen["too many"] += "waiting for their turn already" in world.story()
    assert {what: count for what, count in seen.items() if count < wanted[what]} == {}


def test_histories_have_every_kind_of_misfortune() -> None:
    seen: dict[str, int] = {}
    for seed in range(100):
        for _, _, what, _ in simulate(seed).trace:
            seen[what] = seen.get(what, 0) + 1
    wanted = {
        "crashed": 20,
        "frozen": 20,
        "refused": 20,
        "unknown": 20,
        "cut off": 10,
        "leaves": 10,
        "worker_lost": 10,
        "lease_lost": 3,
        "job_interrupted": 10,
    }
    assert {what: seen.get(what, 0) for what in wanted if seen.get(what, 0) < wanted[what]} == {}
