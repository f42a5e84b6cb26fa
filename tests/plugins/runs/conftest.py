"""An engine with everything held still: one run, a scripted model, counted ids, a fixed clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from famulus.testing import FixedClock, NumberedIds, Script, ScriptedBackend
from famulus_runs.drafts import Batch
from famulus_runs.engine import Engine, PromptTooLong, Turn
from famulus_runs.settings import RunSettings
from famulus_runs.toolbox import Toolbox
from famulus_schemas.inference import ChatRequest, OfferedFunction, PromptMessage, TokenUsage
from famulus_schemas.runs import Run, RunUsage
from famulus_schemas.tooling import ToolCall, ToolOutput, ToolScope
from famulus_schemas.tools import FunctionDefinition, FunctionTool


class PlainPrompter:
    """Shows the model one question, and the outputs of earlier turns."""

    def __init__(self, *, too_long: bool = False) -> None:
        self.too_long = too_long

    async def request(
        self, run: Run, toolbox: Toolbox, turns: Sequence[Turn], spent: RunUsage
    ) -> ChatRequest:
        if self.too_long:
            raise PromptTooLong
        told = [PromptMessage(role="tool", content=out) for t in turns for out in t.outputs.values()]
        messages = (PromptMessage(role="user", content="hi"), *told)
        return ChatRequest(model=run.model, messages=messages, tools=toolbox.offered())


class Weather:
    """A server-run function: knows the weather everywhere but in Atlantis."""

    type = "function"
    place = "server"

    def offers(self, definition: Mapping[str, Any]) -> Sequence[OfferedFunction]:
        name = definition["function"]["name"]
        return [OfferedFunction(name=name)] if name == "get_weather" else []

    async def run(self, call: ToolCall, scope: ToolScope) -> AsyncIterator[ToolOutput]:
        if "Atlantis" in call.arguments:
            raise LookupError("no such city")
        yield ToolOutput(text="sunny")


class Client:
    """Every other function is the client's to run."""

    type = "function"
    place = "client"

    def offers(self, definition: Mapping[str, Any]) -> Sequence[OfferedFunction]:
        return [OfferedFunction(name=definition["function"]["name"])]

    def run(self, call: ToolCall, scope: ToolScope) -> AsyncIterator[ToolOutput]:
        raise AssertionError("the server must not run a client's function")


def function(name: str) -> FunctionTool:
    """A function as an assistant lists it."""
    return FunctionTool(function=FunctionDefinition(name=name))


class EngineHarness:
    """Makes engines, and collects what they yield."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.ids = NumberedIds()

    def engine(
        self,
        script: Script | ScriptedBackend,
        *,
        functions: Sequence[str] = ("get_weather", "book_table"),
        settings: RunSettings | None = None,
        prompter: PlainPrompter | None = None,
        **changes: Any,
    ) -> Engine:
        run = Run(
            id=self.ids("run_"),
            created_at=int(self.clock()),
            thread_id="thread_1",
            assistant_id="asst_1",
            status="queued",
            expires_at=int(self.clock()) + 600,
            model="scripted",
            tools=[function(name) for name in functions],
            truncation_strategy=None,
            **changes,
        )
        backend = script if isinstance(script, ScriptedBackend) else ScriptedBackend(script)
        return Engine(
            run,
            model=backend,
            prompter=prompter or PlainPrompter(),
            toolbox=Toolbox([Client(), Weather()], run),  # type: ignore[list-item]
            project="default",
            limits=settings or RunSettings(),
            now=lambda: int(self.clock()),
            new_id=self.ids,
            count_usage=_estimate,
        )

    def too_long_prompter(self) -> PlainPrompter:
        """A prompter to which no prompt fits."""
        return PlainPrompter(too_long=True)

    async def all(self, engine: Engine) -> list[Batch]:
        """Every batch until the engine stops by itself."""
        return [batch async for batch in engine.work()]


async def _estimate(request: ChatRequest, answer: str) -> TokenUsage:
    return TokenUsage(prompt_tokens=7, completion_tokens=3, total_tokens=10)


@pytest.fixture
def harness() -> EngineHarness:
    return EngineHarness()
