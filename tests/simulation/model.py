"""The model of a seed, and its tools: what they answer is up to chance, and all of it is noted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from msgspec.structs import replace

from famulus.testing.faults import ScriptedFault
from famulus.testing.script import BEFORE_HEADERS, ScriptedCall, Turn, tool
from famulus.testing.scripted import ScriptedBackend, faults
from famulus_schemas.assistants import FullAssistant
from famulus_schemas.inference import ChatRequest, FinishReason, OfferedFunction
from famulus_schemas.tooling import ToolCall, ToolOutput, ToolScope
from famulus_schemas.tools import FunctionDefinition, FunctionTool

if TYPE_CHECKING:
    from tests.simulation.server import Server
    from tests.simulation.world import World

ON_SERVER = "get_weather"
ON_CLIENT = "book_table"
ROUNDS_MAX = 3

FAULTS: tuple[ScriptedFault, ...] = (
    faults.status(429),
    faults.status(400),
    faults.status(500),
    faults.error_body(),
    faults.error_event(),
    faults.reset(),
    faults.hang_up(),
    faults.stall(),
)


class ClientTool:
    """A function that the client runs."""

    type = "function"
    place: Literal["client"] = "client"

    def offers(self, definition: Mapping[str, Any]) -> Sequence[OfferedFunction]:
        name = definition["function"]["name"]
        return [OfferedFunction(name=name)] if name == ON_CLIENT else []

    def run(self, call: ToolCall, scope: ToolScope) -> AsyncIterator[ToolOutput]:
        raise AssertionError("the server must not run a client's function")


class ServerTool:
    """A function that a server runs: slowly, or not to its end, or with an error."""

    type = "function"
    place: Literal["server"] = "server"

    def __init__(self, server: Server) -> None:
        self._server = server

    def offers(self, definition: Mapping[str, Any]) -> Sequence[OfferedFunction]:
        name = definition["function"]["name"]
        return [OfferedFunction(name=name)] if name == ON_SERVER else []

    async def run(self, call: ToolCall, scope: ToolScope) -> AsyncIterator[ToolOutput]:
        world = self._server.world
        self._server.note("tool", call.id)
        world.watch.tool_begins(self._server.worker, scope.run, call.id)
        await self._server.point()
        roll = world.rng.random()
        if roll < 0.05 and not world.is_calm:
            await asyncio.sleep(30.0)
        if roll < 0.1:
            raise LookupError("no such city")
        await asyncio.sleep(roll / 2)
        yield ToolOutput(text=f"weather {world.make_id('w')}")


class Model:
    """What is asked, and what is answered."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.backend = ScriptedBackend(self._answer, kept_requests_max=1)
        self.assistant = FullAssistant(
            id="asst_1",
            created_at=0,
            model="scripted",
            tools=[
                FunctionTool(function=FunctionDefinition(name=name))
                for name in (ON_SERVER, ON_CLIENT)
            ],
        )

    def tools(self, server: Server) -> Sequence[Any]:
        """The kinds of tool at a server."""
        return [ClientTool(), ServerTool(server)]

    def _answer(self, request: ChatRequest) -> Turn:
        world, rng, profile = self._world, self._world.rng, self._world.profile
        self._look_at(request)
        rounds = sum(message.tool_calls is not None for message in request.messages)
        turn = self._calls() if rounds < ROUNDS_MAX and rng.random() < 0.45 else self._text()
        if not world.is_calm and rng.random() < profile.model_fails:
            place = rng.choice((BEFORE_HEADERS, 0, 1, 3))
            turn = _changed(turn, fault=rng.choice(FAULTS), fault_after=place)
        if not world.is_calm and rng.random() < profile.model_hangs:
            turn = _changed(turn, waits=((rng.choice((0, 1, 2)), asyncio.Event()),))
        return turn

    def _look_at(self, request: ChatRequest) -> None:
        for message in request.messages:
            if message.role == "tool":
                content = message.content if isinstance(message.content, str) else ""
                self._world.watch.model_is_told(message.tool_call_id or "", content)

    def _text(self) -> Turn:
        rng = self._world.rng
        roll = rng.random()
        words = " ".join(f"w{number}" for number in range(rng.choice((0, 1, 3, 6))))
        finish: FinishReason | None = None
        if roll < 0.1:
            finish = rng.choice(("length", "content_filter"))
        is_endless = roll < 0.02 and bool(words) and not self._world.is_calm
        return Turn(
            text="" if roll > 0.95 else words,
            refusal="I would rather not" if roll > 0.9 else "",
            finish_reason=finish,
            pause_s=0.7 if is_endless else rng.random() * self._world.profile.pause_s,
            together=rng.choice((1, 1, 3)),
            sends_usage=roll < 0.5,
            endless=is_endless,
        )

    def _calls(self) -> Turn:
        rng = self._world.rng
        names = (ON_SERVER, ON_CLIENT, ON_CLIENT, "unknown")
        calls: list[ScriptedCall] = [
            tool(rng.choice(names), {"n": number}) for number in range(rng.choice((1, 1, 2, 3)))
        ]
        return Turn(
            text="Let me see." if rng.random() < 0.3 else "",
            calls=tuple(calls),
            argument_chars=rng.choice((None, 3)),
            interleaved=rng.random() < 0.5,
            pause_s=rng.random() * self._world.profile.pause_s,
            together=rng.choice((1, 3)),
        )


def _changed(turn: Turn, **changes: Any) -> Turn:
    return replace(turn, **changes)
