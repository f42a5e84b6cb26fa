"""One store under load, killed again and again, and looked at after each time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit import Audit
from client import Client
from cluster import LEASE_S, Cluster, NotReady, Server, Zygote
from ledger import Ledger
from load import Worker
from points import ALONE, ENDING, EXPIRING, FRESH, KEYS, STARTING
from results import Row
from stores import PostgresSchema, SqliteFile, Store

MUTANTS = ("", "no_fence", "publish_first", "answer_first")

WAYS = {
    "sqlite": ("kill", "kill", "end"),
    "postgres": ("kill_one", "freeze_one", "kill", "end"),
}
"""How servers end at random, by turns."""

CLIENTS = 8
LEAVE_S = 1.5
ENDS_MAX = 3
"""Whether a run is at work there when a server is told to end is chance."""
WARM_S = 0.3
THAWED_S = 1.2
SHORT_RUNS = {"FAMULUS_RUNS__RUN_S": "1"}


@dataclass(frozen=True)
class Options:
    """What to do."""

    seed: str
    rounds: int
    load_s: tuple[float, float]
    points: Sequence[str]
    ways: Sequence[str] = ()
    """How servers are ended at random; every way of the store where it is empty."""
    mutant: str = ""
    reach_s: float = 40.0
    """How long it may take to reach a point."""
    stops_at_finding: bool = False


class Campaign:
    """Everything that is done to one store."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        *,
        options: Options,
        folder: Path,
        model_url: str,
        zygote: Zygote,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._options = options
        self._folder = folder
        self._model_url = model_url
        self._zygote = zygote
        self._is_stopping = False
        self._deaths = 0
        self._random = random.Random(f"{options.seed} {store.name}")
        servers = [self._server(number, store, folder) for number in range(store.servers)]
        self._cluster = Cluster(servers, options.seed)
        self._workers = [
            Worker(self._client(f"{options.seed} {number}"), number) for number in range(CLIENTS)
        ]
        self._auditor = self._client("audit", is_told=False)
        self._audit = Audit(
            ledger,
            self._auditor,
            store,
            effects=folder / "effects",
            lease_s=LEASE_S,
            stood_still=lambda: self._cluster.stood_still(),
        )

    def _server(self, number: int, store: Store, folder: Path) -> Server:
        return Server(
            number,
            zygote=self._zygote,
            folder=folder,
            store=store,
            model_url=self._model_url,
            mutant=self._options.mutant,
        )

    def _client(self, seed: str, *, is_told: bool = True) -> Client:
        return Client(
            self._ledger,
            url=self._cluster.url,
            seed=seed,
            stopping=lambda: is_told and self._is_stopping,
        )

    def row(self) -> Row:
        """What came of it."""
        ledger = self._ledger
        return Row(
            store=self._store.name,
            processes=self._store.servers,
            deaths=self._deaths,
            points=len(self._options.points),
            acknowledged=ledger.acknowledged,
            unanswered=ledger.unanswered,
            failed_by_loss=self._audit.failed_by_loss,
            findings=ledger.findings,
        )

    async def run(self) -> None:
        """All of it."""
        try:
            await self._cluster.start()
            for deed in self._deeds():
                await deed
                if self._options.stops_at_finding and self._ledger.findings:
                    return
        finally:
            await self._cluster.kill()

    def _deeds(self) -> Iterator[Coroutine[Any, Any, None]]:
        for point in self._options.points:
            yield self._at_point(point)
        for number in range(self._options.rounds):
            yield self._at_random(number)
        yield self._look_at_all()

    async def _look_at_all(self) -> None:
        self._ledger.round = "the whole"
        await self._look(is_whole=True)

    # --- points -------------------------------------------------------------------------------

    async def _at_point(self, point: str) -> None:
        self._ledger.round = point
        if point in FRESH:
            await self._at_first_start(point)
        elif point in KEYS:
            await self._at_key(point)
        elif point in STARTING:
            await self._at_start(point, STARTING[point])
        elif point in ENDING:
            await self._at_end(point)
        elif point in EXPIRING:
            await self._at_expiry(point)
        else:
            await self._under_load(point)

    async def _under_load(self, point: str) -> None:
        server = self._cluster.servers[0]
        await server.arm(point)
        await self._load(server.ended(self._options.reach_s))
        await self._reached(server, point)
        await self._look()

    async def _at_start(self, point: str, before: str) -> None:
        """Die at a start that has to take up what a crash left."""
        server = self._cluster.servers[0]
        if before:
            await server.arm(before)
            await self._load(server.ended(self._options.reach_s))
            await self._reached(server, before)
        else:
            await self._load(asyncio.sleep(WARM_S))
            await server.kill()
        await self._leave_alone(server, point)
        await server.start(point=point)
        await server.ended(self._options.reach_s)
        await self._reached(server, point)
        await self._look()

    async def _leave_alone(self, server: Server, point: str) -> None:
        """Kill the others, where they might do what leads to the point instead."""
        for other in self._cluster.servers:
            if point in ALONE and other is not server and other.is_alive:
                await other.kill()

    async def _at_end(self, point: str) -> None:
        """Die while ending in good order."""
        server = self._cluster.servers[0]
        for _ in range(ENDS_MAX):
            await server.arm(point)
            await self._load(self._told_to_end(server), is_patient=True)
            if server.died_at() == point:
                break
            await self._look()
        await self._reached(server, point)
        await self._look()

    async def _told_to_end(self, server: Server) -> None:
        await asyncio.sleep(WARM_S)
        server.ask_to_end()
        await server.ended(self._options.reach_s)

    async def _at_expiry(self, point: str) -> None:
        server = self._cluster.servers[0]
        await self._leave_alone(server, point)
        await server.kill()
        await server.start(settings=SHORT_RUNS)
        await server.arm(point)
        await self._load(server.ended(self._options.reach_s), is_patient=True)
        await self._reached(server, point)
        await self._look()

    async def _at_first_start(self, point: str) -> None:
        """Die at the very first start: the next one must find nothing in its way."""
        folder = self._folder / point
        folder.mkdir()
        store = SqliteFile(folder) if self._store.name == "sqlite" else PostgresSchema()
        server = self._server(0, store, folder)
        try:
            await server.start(point=point)
            await self._reached(server, point)
            await server.start()
            status, _ = await self._one_request(server)
            if status != 200:
                self._ledger.find("wrong", f"after {point} a server answers {status}")
        except NotReady as error:
            self._ledger.find("stuck", f"after {point} no server starts: {error}")
        finally:
            if server.is_alive:
                await server.kill()
            await store.remove()

    async def _at_key(self, point: str) -> None:
        """Die while making a key: it is there and listed, or not; the next one works."""
        folder = self._folder / point
        folder.mkdir()
        server = self._server(0, SqliteFile(folder), folder)
        code, printed = await server.run("keys", "create", point=point)
        if code != -9 or printed:
            self._ledger.find("unreached", f"{point}: exit code {code}, {printed!r}")
        self._deaths += 1
        _, listed = await server.run("keys", "list")
        if listed.count("key_") != (point == "key_added"):
            self._ledger.find("half-made", f"after {point} there are these keys: {listed!r}")
        code, printed = await server.run("keys", "create")
        if code != 0:
            self._ledger.find("stuck", f"after {point} no key can be made")
            return
        await server.start()
        status, _ = await self._one_request(server, key=printed.strip())
        if status != 200:
            self._ledger.find("lost", f"after {point} a new key is answered {status}")
        await server.kill()

    async def _one_request(self, server: Server, **named: str) -> tuple[int, bytes]:
        client = Client(
            self._ledger, url=lambda: server.url, seed="one", stopping=lambda: False, **named
        )
        async with client:
            return await client.send("POST", "/v1/threads", {})

    async def _reached(self, server: Server, point: str) -> None:
        if server.is_alive:
            self._ledger.find("unreached", f"{point} was not reached on {self._store.name}")
            await server.kill()
        elif server.died_at() != point.partition(":")[0]:
            self._ledger.find("unreached", f"instead of at {point} it ended so: {server.tail()}")
        self._deaths += 1

    # --- chance -------------------------------------------------------------------------------

    async def _at_random(self, number: int) -> None:
        names = self._options.ways or WAYS[self._store.name]
        name = names[number % len(names)]
        self._ledger.round = f"{number} {name}"
        ways = {
            "kill": self._kill_all,
            "kill_one": self._kill_one,
            "freeze_one": self._freeze_one,
            "end": self._end_all,
        }
        await self._load(ways[name]())
        await self._look()

    async def _busy(self) -> None:
        await asyncio.sleep(self._random.uniform(*self._options.load_s))

    async def _kill_all(self) -> None:
        await self._busy()
        self._deaths += len(self._cluster.servers)
        await self._cluster.kill()

    async def _end_all(self) -> None:
        """In good order, with requests and runs under way."""
        await self._busy()
        self._deaths += len(self._cluster.servers)
        for server in self._cluster.servers:
            server.ask_to_end()
        for server in self._cluster.servers:
            if not await server.ended():
                self._ledger.find(
                    "stuck", f"a server that was told to end did not: {server.tail()}"
                )
                await server.kill()

    async def _kill_one(self) -> None:
        """The others take over what it was at."""
        await self._busy()
        self._deaths += 1
        await self._random.choice(self._cluster.servers).kill()
        await asyncio.sleep(self._random.uniform(0.0, 1.5 * LEASE_S))

    async def _freeze_one(self) -> None:
        """It is taken for dead, and then writes on as if nothing had been."""
        await self._busy()
        self._deaths += 1
        server = self._random.choice(self._cluster.servers)
        assert server.process is not None
        self._audit.frozen.add(server.process.pid)
        server.freeze()
        for worker in self._workers:
            if worker.client.asked == server.url:
                await worker.client.begin_anew()
        await asyncio.sleep(self._random.uniform(1.4, 2.2) * LEASE_S)
        server.thaw()
        await asyncio.sleep(THAWED_S)

    # --- load and looking ---------------------------------------------------------------------

    async def _load(self, until: Coroutine[Any, Any, Any], *, is_patient: bool = False) -> None:
        """Have the clients at work until then."""
        self._is_stopping = False
        for worker in self._workers:
            worker.client.open()
        tasks = [
            asyncio.create_task(worker.work(is_patient=is_patient)) for worker in self._workers
        ]
        try:
            await until
        finally:
            self._is_stopping = True
            _, late = await asyncio.wait(tasks, timeout=LEAVE_S)
            for task in late:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            for worker in self._workers:
                await worker.client.leave()
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _look(self, *, is_whole: bool = False) -> None:
        """Start again what is down, and hold what is there against the ledger."""
        self._ledger.note("down")
        try:
            await self._cluster.start()
        except NotReady as error:
            self._ledger.find("stuck", f"no server starts any more: {error}")
            raise
        async with self._auditor:
            await self._audit.run(is_whole=is_whole)
        self._hand_out()

    def _hand_out(self) -> None:
        """Runs that wait for their client are somebody's, whatever became of who left them."""
        known = {id for worker in self._workers for id in worker.left}
        for story in self._ledger.stories.values():
            if story.waits and story.id not in known:
                self._random.choice(self._workers).left.append(story.id)
