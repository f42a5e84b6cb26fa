"""An engine with everything held still: one run, a scripted model, counted ids, a fixed clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from msgspec import UNSET

from famulus import NoSettings, Plugin, hookimpl
from famulus.testing import (
    FixedClock,
    NumberedIds,
    Script,
    ScriptedBackend,
    TestServer,
    kernel_with,
)
from famulus_runs.answer import Prompt
from famulus_runs.call_drafts import Forms
from famulus_runs.drafts import Batch
from famulus_runs.engine import Engine, PromptTooLong
from famulus_runs.settings import RunSettings
from famulus_runs.toolbox import Toolbox
from famulus_runs.turns import Turn
from famulus_schemas.inference import ChatRequest, OfferedFunction, PromptMessage, TokenUsage
from famulus_schemas.notices import Notice
from famulus_schemas.runs import Run, RunUsage
from famulus_schemas.tooling import (
    RunResources,
    ToolCall,
    ToolKind,
    ToolOutput,
    ToolScope,
    no_resources,
)
from famulus_schemas.tools import FunctionDefinition, FunctionTool


class PlainPrompter:
    """Shows the model one question, and the outputs of earlier turns."""

    def __init__(self, *, too_long: bool = False) -> None:
        self.too_long = too_long

    async def request(
        self,
        run: Run,
        toolbox: Toolbox,
        turns: Sequence[Turn],
        spent: RunUsage,
        *,
        refused: Prompt | None = None,
    ) -> Prompt:
        if self.too_long:
            raise PromptTooLong
        told = [
            PromptMessage(role="tool", content=out) for t in turns for out in t.outputs.values()
        ]
        messages = (PromptMessage(role="user", content="hi"), *told)
        request = ChatRequest(model=run.model, messages=messages, tools=toolbox.offered())
        return Prompt(request=request, tokens=7)


class Weather:
    """A server-run function: knows the weather everywhere but in Atlantis."""

    type = "function"
    place = "server"

    def offers(self, definition: Mapping[str, Any]) -> Sequence[OfferedFunction]:
        name = definition["function"]["name"]
        return [_as_defined(definition)] if name == "get_weather" else []

    async def run(self, call: ToolCall, scope: ToolScope) -> AsyncIterator[ToolOutput]:
        if "Atlantis" in call.arguments:
            raise LookupError("no such city")
        yield ToolOutput(text="sunny")


class Client:
    """Every other function is the client's to run."""

    type = "function"
    place = "client"

    def offers(self, definition: Mapping[str, Any]) -> Sequence[OfferedFunction]:
        return [_as_defined(definition)]

    def run(self, call: ToolCall, scope: ToolScope) -> AsyncIterator[ToolOutput]:
        raise AssertionError("the server must not run a client's function")


def _as_defined(definition: Mapping[str, Any]) -> OfferedFunction:
    function = definition["function"]
    return OfferedFunction(
        name=function["name"],
        parameters=function.get("parameters"),
        strict=function.get("strict"),
    )


def function(name: str, parameters: dict[str, Any] | None = None) -> FunctionTool:
    """A function as an assistant lists it."""
    return FunctionTool(function=FunctionDefinition(name=name, parameters=parameters or UNSET))


class EngineHarness:
    """Makes engines, and collects what they yield."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.ids = NumberedIds()
        self.logged: list[dict[str, Any]] = []
        self.log = structlog.wrap_logger(None, processors=[self._note])
        self.told: list[Notice] = []
        """Notices of what its engines did."""

    def _note(self, _: Any, __: str, event: Any) -> Any:
        self.logged.append(dict(event))
        raise structlog.DropEvent

    def engine(
        self,
        script: Script | ScriptedBackend,
        *,
        functions: Sequence[str | FunctionTool] = ("get_weather", "book_table"),
        settings: RunSettings | None = None,
        prompter: PlainPrompter | None = None,
        tools: Sequence[Any] = (),
        kinds: Sequence[Any] = (),
        resources: Callable[[], Awaitable[RunResources]] = no_resources,
        with_contents: bool = False,
        lease_held: Callable[[], Awaitable[None]] | None = None,
        **changes: Any,
    ) -> Engine:
        named = [function(each) if isinstance(each, str) else each for each in functions]
        run = Run(
            id=self.ids("run_"),
            created_at=int(self.clock()),
            thread_id="thread_1",
            assistant_id="asst_1",
            status="queued",
            expires_at=int(self.clock()) + 600,
            model="scripted",
            tools=[*named, *tools],
            truncation_strategy=None,
            **changes,
        )
        backend = script if isinstance(script, ScriptedBackend) else ScriptedBackend(script)
        toolbox = Toolbox([Client(), Weather(), *kinds], run)  # type: ignore[list-item]
        return Engine(
            run,
            model=backend,
            prompter=prompter or PlainPrompter(),
            toolbox=toolbox,
            forms=Forms(of=toolbox.form_of, with_contents=with_contents),
            resources=resources,
            project="default",
            limits=settings or RunSettings(),
            now=lambda: int(self.clock()),
            new_id=self.ids,
            count_usage=_estimate,
            tell=self.told.append,
            log=self.log,
            lease_held=lease_held or _held,
        )

    def too_long_prompter(self) -> PlainPrompter:
        """A prompter to which no prompt fits."""
        return PlainPrompter(too_long=True)

    async def all(self, engine: Engine) -> list[Batch]:
        """Every batch until the engine stops by itself."""
        return [batch async for batch in engine.work()]


async def _held() -> None:
    """Nobody else is there to take a run over."""


async def _estimate(request: ChatRequest, answer: str) -> TokenUsage:
    return TokenUsage(prompt_tokens=7, completion_tokens=3, total_tokens=10, is_estimate=True)


@pytest.fixture
def harness() -> EngineHarness:
    return EngineHarness()


class ToolPlugin(Plugin[NoSettings]):
    """Brings the two kinds of tool to a server."""

    name = "test_tools"

    @hookimpl
    def register_tools(self) -> list[ToolKind]:
        return [Client(), Weather()]


PLUGINS = ("sqlite", "events", "jobs", "assistants", "threads", "models", "runs")


class Api:
    """A whole server on a scripted model, and the calls that its tests make again and again."""

    def __init__(self, server: TestServer, backend: ScriptedBackend) -> None:
        self.server = server
        self.backend = backend

    async def ok(self, response: Any) -> Any:
        """The JSON of a success."""
        assert response.status_code == 200, response.text
        return response.json()

    async def assistant(self, **fields: Any) -> str:
        """A new assistant's id."""
        body = {"model": "scripted", **fields}
        return str((await self.ok(await self.server.post("/v1/assistants", body)))["id"])

    async def thread(self, *texts: str, **fields: Any) -> str:
        """A new thread's id, with these user messages."""
        messages = [{"role": "user", "content": text} for text in texts]
        body = {"messages": messages, **fields}
        return str((await self.ok(await self.server.post("/v1/threads", body)))["id"])

    async def run(self, thread: str, assistant: str, **fields: Any) -> Any:
        """A new run, as answered."""
        body = {"assistant_id": assistant, **fields}
        return await self.ok(await self.server.post(f"/v1/threads/{thread}/runs", body))

    async def ended(self, run: Any) -> Any:
        """The run once it is at rest."""
        path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}"
        for _ in range(2000):
            now = await self.ok(await self.server.get(path))
            if now["status"] not in ("queued", "in_progress", "cancelling"):
                return now
            await asyncio.sleep(0.005)
        raise AssertionError(f"the run does not end: {now}")

    async def ran(self, thread: str, assistant: str, **fields: Any) -> Any:
        """A new run, at rest."""
        return await self.ended(await self.run(thread, assistant, **fields))

    async def submit(self, run: Any, **outputs: str) -> Any:
        """The answer to submitting these outputs by call id."""
        path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}/submit_tool_outputs"
        listed = [{"tool_call_id": id, "output": text} for id, text in outputs.items()]
        return await self.server.post(path, {"tool_outputs": listed})

    async def cancel(self, run: Any) -> Any:
        """The answer to cancelling."""
        path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}/cancel"
        return await self.server.post(path)

    async def messages(self, thread: str, **query: Any) -> list[Any]:
        """A thread's messages, oldest first."""
        params = {"order": "asc", **query}
        response = await self.server.get(f"/v1/threads/{thread}/messages", params=params)
        data: list[Any] = (await self.ok(response))["data"]
        return data

    async def steps(self, run: Any) -> list[Any]:
        """A run's steps, oldest first."""
        path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}/steps"
        data: list[Any] = (await self.ok(await self.server.get(path, params={"order": "asc"})))[
            "data"
        ]
        return data


@pytest.fixture
def open_api(
    tmp_path: Path,
) -> Callable[..., AbstractAsyncContextManager[Api]]:
    """Opens a server; one opened again in the same test finds the same data."""

    @asynccontextmanager
    async def opened(
        script: Any = None,
        *,
        settings: Mapping[str, Any] | None = None,
        models: Mapping[str, Any] | None = None,
        threads: Mapping[str, Any] | None = None,
        tables: Mapping[str, Any] | None = None,
        also: Sequence[type[Plugin[Any]] | str] = (),
        **arguments: Any,
    ) -> AsyncIterator[Api]:
        backend = script if isinstance(script, ScriptedBackend) else ScriptedBackend(script)
        # What a test leaves at work is not waited for.
        given = {"runs": {"finish_s": 0.1, **(settings or {})}, "models": dict(models or {})}
        given |= {"threads": dict(threads or {}), **(tables or {})}
        plugins = (*PLUGINS, ToolPlugin, *also)
        async with kernel_with(
            *plugins, backend=backend, settings=given, data_dir=tmp_path, **arguments
        ) as server:
            yield Api(server, backend)

    return opened


@pytest.fixture
def make_api() -> Callable[[TestServer, ScriptedBackend], Api]:
    """Wraps a server that the test itself has opened."""
    return Api
