"""The server of the machine: in this process, on one data folder, stopped, killed and started."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import httpx
from tests.stateful.listener import Listener
from tests.stateful.plans import OUTPUT, SERVER_FUNCTION, Gates, backend_of

from famulus import NoSettings, Plugin, hookimpl
from famulus.testing import FixedClock, NumberedIds, TestServer, kernel_with
from famulus_schemas.inference import OfferedFunction
from famulus_schemas.tooling import ToolCall, ToolKind, ToolOutput, ToolScope

PLUGINS: tuple[str, ...] = (
    "sqlite",
    "threads",
    "assistants",
    "runs",
    "jobs",
    "events",
    "idempotency",
    "functions",
    "models",
)
AT_ONCE_MAX = 2
"""So few, that some runs wait for their turn."""
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "server": {"drain_s": 0.05},
    # A lost power supply is not among what happens here.
    "sqlite": {"synchronous": "NORMAL"},
    "runs": {
        "runs_at_once_max": AT_ONCE_MAX,
        "finish_s": 0.0,
        "expiry_poll_s": 0.01,
        "attempts_max": 1_000,
        "checkpoint_ms": 10,
    },
    # Each answer is asked for once: that others are tried is not what this is about.
    "models": {"attempts_max": 1, "circuit_failures_max": 1_000_000},
}
RULE_S = 60.0
"""How long one thing that the machine does may take, before the server is called stuck."""

T = TypeVar("T")
Product = Mapping[str, type[Plugin[Any]]]
"""Plugins to have instead of those of these names; None of them, and the product is as it is."""


class Weather:
    """The function that the server runs."""

    type = "function"
    place: Literal["server"] = "server"

    def offers(self, definition: Mapping[str, Any]) -> Sequence[OfferedFunction]:
        """Only the one."""
        name = definition["function"]["name"]
        return [OfferedFunction(name=name)] if name == SERVER_FUNCTION else []

    async def run(self, call: ToolCall, scope: ToolScope) -> AsyncIterator[ToolOutput]:
        """Always the same."""
        yield ToolOutput(text=OUTPUT)


class WeatherTool(Plugin[NoSettings]):
    """Brings it."""

    name: ClassVar[str] = "weather"

    @hookimpl
    def register_tools(self) -> list[ToolKind]:
        """The one kind."""
        return [Weather()]


class Place:
    """A server, and the loop that it lives in: it stands still while the machine thinks."""

    def __init__(
        self, folder: Path, *, instead: Product | None = None, without: Sequence[str] = ()
    ) -> None:
        self._folder = folder
        self._instead = instead or {}
        self._without = without
        self._starts = 0
        self._loop = asyncio.new_event_loop()
        self._context: AbstractAsyncContextManager[TestServer] | None = None
        self.clock = FixedClock()
        self.gates = Gates()
        self._ids = NumberedIds()
        self.client: httpx.AsyncClient
        self.do(self._start())

    @property
    def now(self) -> int:
        """The server's time."""
        return int(self.clock())

    def do(self, what: Coroutine[Any, Any, T]) -> T:
        """Let the server live until this is done."""
        return self._loop.run_until_complete(asyncio.wait_for(what, RULE_S))

    @property
    def _data(self) -> Path:
        return self._folder / f"data-{self._starts}"

    async def _start(self) -> None:
        self.gates.forget()
        plugins = [self._instead.get(name, name) for name in PLUGINS if name not in self._without]
        self._context = kernel_with(
            *plugins,
            WeatherTool,
            backend=backend_of(self.gates),
            settings=SETTINGS,
            data_dir=self._data,
            clock=self.clock,
            make_id=self._ids,
        )
        self.client = (await self._context.__aenter__()).client

    async def _stop(self) -> None:
        context, self._context = self._context, None
        assert context is not None
        await context.__aexit__(None, None, None)

    def restart(self) -> None:
        """Stop in peace, and start again."""
        self.do(self._stop())
        self.do(self._start())

    def kill(self) -> None:
        """Go on from what is on the disk at this moment, as if the process were gone."""
        before = self._data
        self._starts += 1
        shutil.copytree(before, self._data)
        # What it still does ends in its own copy, which nobody looks at again.
        self.do(self._stop())
        shutil.rmtree(before)
        self.do(self._start())

    def close(self) -> None:
        """Stop for good."""
        try:
            if self._context is not None:
                self.do(self._stop())
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    # --- what clients do ----------------------------------------------------------------------

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> httpx.Response:
        """One request and its answer."""
        headers = {} if key is None else {"idempotency-key": key}
        given: dict[str, Any] = {"headers": headers, "params": params}
        if body is not None:
            given["json"] = body
        return self.do(self.client.request(method, path, **given))

    def listen(self, method: str, path: str, body: Any = None, **headers: str) -> Listener:
        """Begin to read a stream."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        listener = Listener()
        self.do(listener.begin(self.client, method, path, body, sent))
        return listener
