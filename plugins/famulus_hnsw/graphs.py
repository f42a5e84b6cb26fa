"""The graphs of all stores: read where there are some, and else built, in the background."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from famulus.log import Log
from famulus_hnsw.graph_file import GraphKey, graph_path
from famulus_hnsw.questions import Drop, Load, Loaded, Task
from famulus_hnsw.searcher import Gone, Searcher
from famulus_hnsw.settings import HnswSettings

if TYPE_CHECKING:
    from famulus_hnsw.store import HnswStore

TOLD_BYTES_MAX: Final = 2000
"""Of what a process says that fails, the end is logged."""


class NotBuilt(Exception):
    """The process that builds a graph has failed."""


class Line:
    """Stores that wait for something to be done, one at a time, each once."""

    def __init__(self, serve: Callable[[HnswStore], Awaitable[None]]) -> None:
        self._serve = serve
        self._waiting: dict[HnswStore, None] = {}
        self._any = asyncio.Event()

    def add(self, store: HnswStore) -> None:
        """Have something done for it."""
        self._waiting[store] = None
        self._any.set()

    async def run(self) -> None:
        """Do it, until cancelled."""
        while True:
            await self._any.wait()
            self._any.clear()
            while self._waiting:
                store = next(iter(self._waiting))
                del self._waiting[store]
                await self._serve(store)


class Graphs:
    """Made by `open_graphs`."""

    def __init__(self, settings: HnswSettings, *, log: Log) -> None:
        self.settings = settings
        self.searcher = Searcher()
        self.is_able = find_spec("hnswlib") is not None
        self.fault = ""
        """Why the last graph was not built or searched; empty where it was."""
        self.answered = 0
        """Searches that a graph has answered."""
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._loads = Line(self._load_for)
        self._builds = Line(self._build_for)
        self._dropped: list[int] = []
        self._numbers = 0

    def consider(self, store: HnswStore) -> None:
        """Have a graph read or built for the store, if it lacks one. From any thread."""
        if self.is_able and store.lacks_graph():
            # The loop is closed where the server has stopped meanwhile.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._loads.add, store)

    def drop(self, number: int) -> None:
        """Let go of a graph, some time. From any thread."""
        self._dropped.append(number)

    def failed(self, store: HnswStore, error: Exception) -> None:
        """Do without a graph for a while."""
        self.fault = str(error)
        self._log.warning("graph_failed", file=store.path.name, reason=self.fault)
        store.postpone(self.settings.retry_s)

    async def run(self) -> None:
        """Read and build what is wanted, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._loads.run())
            tasks.create_task(self._builds.run())

    async def _load_for(self, store: HnswStore) -> None:
        try:
            if not store.has_graph():
                await self._load(store)
            if store.lacks_graph():
                self._builds.add(store)
        except Gone as error:
            self.failed(store, error)

    async def _build_for(self, store: HnswStore) -> None:
        key = store.key()
        if key is None or not store.lacks_graph():
            return
        try:
            await self._build(store.path, key)
            await self._load(store)
            if store.key() == key and not store.has_graph():
                raise NotBuilt("what was built could not be read")
            self.fault = ""
        except (NotBuilt, Gone, OSError) as error:
            self.failed(store, error)

    async def _load(self, store: HnswStore) -> None:
        key = store.key()
        if key is None:
            return
        self._numbers += 1
        number = self._numbers
        question = Load(number=number, graph=str(graph_path(store.path)), key=key)
        ask = partial(self.searcher.ask, answer_s=self.settings.load_s)
        while self._dropped:
            await asyncio.to_thread(ask, Drop(number=self._dropped.pop()))
        answer = await asyncio.to_thread(ask, question)
        if not isinstance(answer, Loaded):
            return
        self._log.info("graph_read", file=store.path.name, chunks=answer.chunks)
        if not store.take(number, key, answer):
            self.drop(number)

    async def _build(self, path: Path, key: GraphKey) -> None:
        task = Task(
            store=str(path),
            graph=str(graph_path(path)),
            key=key,
            threads=self.settings.build_threads,
            removed_max=self.settings.removed_max,
        )
        self._log.info("graph_being_built", file=path.name)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "famulus_hnsw.build"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            _, told = await process.communicate(msgspec.json.encode(task))
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            text = told[-TOLD_BYTES_MAX:].decode(errors="replace").strip()
            raise NotBuilt(f"building ended with {process.returncode}: {text}")


@asynccontextmanager
async def open_graphs(settings: HnswSettings, *, log: Log) -> AsyncIterator[Graphs]:
    """Read and build graphs, and search them, until left."""
    graphs = Graphs(settings, log=log)
    background = asyncio.create_task(graphs.run())
    try:
        yield graphs
    finally:
        background.cancel()
        with suppress(asyncio.CancelledError):
            await background
        await asyncio.to_thread(graphs.searcher.close)
