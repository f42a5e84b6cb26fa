"""One seed: some servers on one store, some clients, and every kind of misfortune.

    world = simulate(17)
    assert not world.watch.violations, world.story()

The same seed always gives the same history. It has two parts: a time of faults, and then a calm
in which everything that was begun must come to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from random import Random
from typing import Any

import msgspec
from tests.simulation.client import Hurry, Story
from tests.simulation.lateness import Lateness
from tests.simulation.model import Model
from tests.simulation.mutants import Mutant
from tests.simulation.profile import profile_of
from tests.simulation.server import Server
from tests.simulation.verdict import judge_world
from tests.simulation.virtual_time import Stuck, VirtualLoop
from tests.simulation.watch import Watch

from famulus.testing.memory_records import MemoryStore
from famulus_runs.kinds import ENDS, decode_run
from famulus_schemas.records import Clear

EPOCH = 1_700_000_000.0
FAULTS_S = 15.0
"""How long faults go on."""
CALM_S = 40.0
"""How long everything has to come to its end after that: a lease, a run's own time, and more."""


class World:
    """Everything that one seed is about."""

    def __init__(self, seed: int, mutant: Mutant | None = None) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.profile = profile_of(self.rng)
        self.mutant = mutant or Mutant()
        self.loop = VirtualLoop()
        self.context = copy_context()
        self.store = MemoryStore()
        self.trace: list[tuple[float, str, str, tuple[object, ...]]] = []
        self.watch = Watch(self)
        self.lateness = Lateness(self)
        self.model = Model(self)
        self.servers: list[Server] = []
        self.is_calm = False
        self.is_over = False
        self._ids = 0
        self._servers_made = 0

    # --- what everybody needs -------------------------------------------------------------------

    def now(self) -> float:
        """The store's clock."""
        return EPOCH + self.loop.time()

    def make_id(self, prefix: str) -> str:
        """The next id."""
        self._ids += 1
        return f"{prefix}{self._ids}"

    def note(self, who: str, what: str, *details: object) -> None:
        """Add to the trace."""
        self.trace.append((self.loop.time(), who, what, details))

    def stored(self, project: str, kind: str, parent: str) -> list[Any]:
        """A list's bodies, oldest first, past all faults."""
        records = self.store.lists.get((project, kind, parent), ())
        return [msgspec.json.decode(record.body) for record in records]

    # --- servers --------------------------------------------------------------------------------

    def start_server(self) -> None:
        """Start one more."""
        if self.is_over:
            return
        self._servers_made += 1
        self.servers.append(Server(self, f"server {self._servers_made}"))

    def one_is_gone(self, server: Server) -> None:
        """A server has died: another takes its place after a while."""
        if server in self.servers:
            self.servers.remove(server)
        if not self.is_over:
            seconds = self.rng.random() * 3.0
            self.loop.call_later(seconds, self.start_server, context=self.context)

    async def some_server(self) -> Server:
        """One that takes connections; it may be frozen."""
        while not self.servers:
            await asyncio.sleep(0.2)
        return self.rng.choice(self.servers)

    async def _tend(self) -> None:
        """What operators do: replace servers that are ill, and sometimes those that are well."""
        while True:
            await asyncio.sleep(1.0)
            for server in list(self.servers):
                server.check_health()
            self.lateness.look()
            if not self.is_calm and self.rng.random() < 0.05 and self.servers:
                self.rng.choice(self.servers).leave()

    # --- the course of it -----------------------------------------------------------------------

    def run(self) -> None:
        """Live through it and judge it."""
        try:
            self.loop.run(self._main())
        except Stuck as stuck:
            self.watch.violated("time goes on", str(stuck))
        for complaint in self.loop.complaints:
            self.watch.violated("asyncio has nothing to complain of", repr(complaint))

    async def _main(self) -> None:
        try:
            for _ in range(self.profile.servers):
                self.start_server()
            tending = asyncio.create_task(self._tend())
            stories = [
                Story(
                    self,
                    number,
                    Random(self.seed * 1009 + number),
                    Hurry(Random(f"hurry {self.seed} {number}")),
                )
                for number in range(self.profile.threads)
            ]
            lives = asyncio.create_task(_all_live(stories))
            await self._until(lives.done, FAULTS_S)
            self._calm()
            await self._until(lambda: lives.done() and self._is_at_rest(), CALM_S)
            if not self.watch.violations:
                self.watch.hold("every client comes to its end", lives.done(), "clients still wait")
                judge_world(self, stories)
            tending.cancel()
        finally:
            self.is_over = True

    def _calm(self) -> None:
        self.note("world", "is calm")
        self.is_calm = True
        for server in self.servers:
            server.reconnect()

    async def _until(self, is_so: Callable[[], bool], seconds: float) -> None:
        """Until it is so, or a promise is broken, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not is_so() and not self.watch.violations:
                    await asyncio.sleep(0.5)

    def _is_at_rest(self) -> bool:
        """Whether no run is live, and no job is left."""
        return not any(
            record.kind == "job" or (record.kind == "run" and not _is_over(record.body))
            for record in self.store.records.values()
        )

    def story(self) -> str:
        """The history, to be read by whoever looks for the mistake."""
        lines = [f"seed {self.seed}: {self.profile}"]
        lines += [
            f"{at:9.3f}  {who:10}  {what}  {' '.join(map(_shown, details))}"
            for at, who, what, details in self.trace
        ]
        lines += [f"VIOLATED: {v.promise}: {v.detail}" for v in self.watch.violations]
        return "\n".join(lines)


async def _all_live(stories: list[Story]) -> None:
    await asyncio.gather(*(story.live() for story in stories))


def _is_over(body: bytes) -> bool:
    return decode_run(body).status in ENDS


def _shown(detail: object) -> str:
    if isinstance(detail, list):
        return " | ".join(map(_write, detail))
    return str(detail)


def _write(write: Any) -> str:
    if isinstance(write, Clear):
        return f"Clear {write.kind} of {write.parent}"
    words = [type(write).__name__, write.kind, write.id]
    body = getattr(write, "body", None)
    if body and write.kind in ("run", "step", "message"):
        words.append(msgspec.json.decode(body)["status"])
    elif body and write.kind == "job":
        job = msgspec.json.decode(body)
        words.append(f"{job['state']} {job['worker']} attempt={job['attempt']}")
    elif body and write.kind == "run_event":
        words.append(",".join(entry["event"] for entry in msgspec.json.decode(body)))
    fence = getattr(write, "fence", None)
    return " ".join([*words, f"fence={fence}"] if fence else words)


def simulate(seed: int, mutant: Mutant | None = None) -> World:
    """Live through one seed."""
    world = World(seed, mutant)
    world.run()
    return world
