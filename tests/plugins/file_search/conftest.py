"""A server whose files are found by a stranger's plugin, which finds what a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.runs.conftest import PLUGINS, Api

from famulus.plugin import NoSettings, Plugin
from famulus.testing import Script, ScriptedBackend, kernel_with
from famulus_schemas.identity import Principal
from famulus_schemas.ports import STORES
from famulus_schemas.retrieval import Passage, Predicate, Ranking

LEAVE = "Every employee has 28 days of paid holiday a year. Unused days lapse on 31 March."
SICK = "A doctor's certificate is needed from the third day on."
STORE = {"file_search": {"vector_store_ids": ["vs_thread"]}}
OF_ASSISTANT = {"file_search": {"vector_store_ids": ["vs_assistant"]}}
SEARCH = [{"type": "file_search"}]


def passage(text: str, name: str = "handbook.md", **fields: Any) -> Passage:
    """A passage that is found."""
    start = fields.pop("start", 0)
    given = {
        "store": "vs_thread",
        "file_id": f"file_{name.partition('.')[0]}",
        "attributes": {},
        "number": 0,
        "score": 0.5,
        **fields,
    }
    return Passage(text=text, filename=name, start=start, end=start + len(text), **given)


class Searches(Plugin[NoSettings]):
    """Finds the same whatever is asked, and notes what was."""

    name = "searches"
    provides = (STORES,)
    found: Sequence[Passage] = (passage(LEAVE), passage(SICK, "sickness.md"))
    unread = 0
    asked: list[dict[str, Any]]
    waited: list[float]

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Provide the port."""
        self.asked, self.waited = [], []
        self.provide(STORES, self)  # type: ignore[arg-type]
        yield

    async def require(self, project: str, named: Mapping[str, str]) -> None:
        """All stores are there."""

    async def ready(self, project: str, store_ids: Sequence[str], *, within_s: float) -> int:
        """So many are not."""
        self.waited.append(within_s)
        return self.unread

    async def search(
        self,
        project: str,
        store_ids: Sequence[str],
        queries: Sequence[str],
        *,
        limit: int,
        ranking: Ranking,
        where: Predicate | None = None,
        by: Principal | None = None,
    ) -> Sequence[Passage]:
        """As Stores.search."""
        self.asked.append(
            {
                "project": project,
                "stores": list(store_ids),
                "queries": list(queries),
                "limit": limit,
                "ranking": ranking,
            }
        )
        return self.found[:limit]


def finding(*passages: Passage, unread: int = 0) -> type[Searches]:
    """A plugin that finds these."""

    class Finds(Searches):
        """Finds what a test says."""

        name = "searches"
        found = passages

    Finds.unread = unread
    return Finds


class SearchApi(Api):
    """A server that searches."""

    @property
    def searches(self) -> Searches:
        """The plugin that was asked."""
        plugin: Searches = self.server.plugin("searches")
        return plugin

    async def asked(self, **fields: Any) -> tuple[str, str]:
        """A thread with something to search, and an assistant that may."""
        thread = await self.thread("How many days?", tool_resources=STORE)
        return thread, await self.assistant(tools=SEARCH, **fields)

    def told(self, request: int = -1) -> str:
        """What a search gave, as the model was told it."""
        messages = self.backend.chats[request].chat.messages
        return next(str(m.content) for m in reversed(messages) if m.role == "tool")

    async def answer(self, run: Any) -> Any:
        """The text of the run's last message."""
        messages = await self.messages(run["thread_id"], run_id=run["id"])
        return messages[-1]["content"][-1]["text"]


@pytest.fixture
def open_search(tmp_path: Path) -> Any:
    """Opens a server; one opened again in the same test finds the same data."""

    @asynccontextmanager
    async def opened(
        script: Script | ScriptedBackend,
        *,
        stores: type[Plugin[Any]] = Searches,
        also: Sequence[Any] = (),
        settings: Mapping[str, Any] | None = None,
        runs: Mapping[str, Any] | None = None,
        **arguments: Any,
    ) -> AsyncIterator[SearchApi]:
        backend = script if isinstance(script, ScriptedBackend) else ScriptedBackend(script)
        tables = {"file_search": dict(settings or {}), "runs": dict(runs or {})}
        async with kernel_with(
            *PLUGINS,
            "functions",
            "file_search",
            stores,
            *also,
            backend=backend,
            settings=tables,
            data_dir=tmp_path,
            **arguments,
        ) as server:
            yield SearchApi(server, backend)

    return opened


@pytest.fixture
def open_api(tmp_path: Path) -> Any:
    """Opens a server that finds nothing, because nobody has stores."""

    @asynccontextmanager
    async def opened(script: Script, *, also: Sequence[Any] = ()) -> AsyncIterator[Api]:
        backend = ScriptedBackend(script)
        async with kernel_with(*PLUGINS, *also, backend=backend, data_dir=tmp_path) as server:
            yield Api(server, backend)

    return opened
