"""The model of a seed, and its tools: what they answer is up to chance, and all of it is noted."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from msgspec.structs import replace

from famulus.testing.faults import ScriptedFault
from famulus.testing.script import BEFORE_HEADERS, ScriptedCall, Turn, tool
from famulus.testing.scripted import ScriptedBackend, faults
from famulus_schemas.assistants import FullAssistant
from famulus_schemas.inference import ChatRequest, FinishReason, OfferedFunction
from famulus_schemas.messages import ImageFile, ImageFileContentBlock
from famulus_schemas.steps import (
    CodeInterpreterImage,
    CodeInterpreterImageFile,
    CodeInterpreterLogs,
    CodeInterpreterOutput,
    CodeInterpreterToolCall,
    FileSearchCall,
    FileSearchResult,
    FileSearchResultContent,
    FileSearchToolCall,
)
from famulus_schemas.tooling import (
    CallForm,
    Citer,
    Equipment,
    Mark,
    Source,
    SourceSpan,
    ToolCall,
    ToolOutput,
    ToolScope,
    ToolUnusable,
)
from famulus_schemas.tools import (
    CodeInterpreterTool,
    FileSearchTool,
    FunctionDefinition,
    FunctionTool,
)

if TYPE_CHECKING:
    from tests.simulation.server import Server
    from tests.simulation.world import World

ON_SERVER = "get_weather"
ON_CLIENT = "book_table"
SEARCH = "search"
CODE = "python"
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


class Cites:
    """Cites the newest passage in every other sentence."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._mark = sources[-1].mark

    def cite(self, sentence: str) -> Sequence[Mark]:
        return [self._mark] if "w2" in sentence else []


class SearchTool:
    """A search, by whose mark messages may cite what it found, and do where they forget to."""

    type = "file_search"
    place: Literal["server", "client"] = "server"
    form = CallForm(call=FileSearchToolCall)
    may_repeat = True

    def __init__(self, server: Server) -> None:
        self._server = server

    def offers(self, definition: Mapping[str, Any]) -> Sequence[OfferedFunction]:
        return [OfferedFunction(name=SEARCH)]

    async def equip(self, scope: ToolScope) -> Equipment:
        await scope.resources()
        return Equipment(functions=self.offers(scope.definition))

    async def run(self, call: ToolCall, scope: ToolScope) -> AsyncIterator[ToolOutput]:
        world = self._server.world
        self._server.note("tool", call.id)
        world.watch.tool_begins(self._server.worker, scope.run, call.id)
        await self._server.point()
        if world.rng.random() < 0.1:
            raise LookupError("no index")
        mark = Mark(text=f"【{scope.number}:0†f】", file_id="file_1")
        content = [FileSearchResultContent(text="a passage")]
        found = FileSearchResult(file_id="file_1", file_name="f", score=0.5, content=content)
        text = f"{mark.text} {world.make_id('s')}"
        span = SourceSpan(start=len(mark.text), end=len(text), mark=mark)
        yield ToolOutput(
            text=text, shown=FileSearchCall(results=[found]), marks=(mark,), sources=(span,)
        )

    async def citer(self, sources: Sequence[Source]) -> Citer | None:
        return Cites(sources)


class CodeTool:
    """Code that puts things out while it runs, and may not be run twice at some servers."""

    type = "code_interpreter"
    place: Literal["server", "client"] = "server"
    form = CallForm(call=CodeInterpreterToolCall, input_argument="code")

    def __init__(self, server: Server, *, may_repeat: bool) -> None:
        self._server = server
        self.may_repeat = may_repeat

    def offers(self, definition: Mapping[str, Any]) -> Sequence[OfferedFunction]:
        return [OfferedFunction(name=CODE)]

    async def run(self, call: ToolCall, scope: ToolScope) -> AsyncIterator[ToolOutput]:
        world, rng = self._server.world, self._server.world.rng
        self._server.note("tool", call.id)
        world.watch.tool_begins(self._server.worker, scope.run, call.id, may_repeat=self.may_repeat)
        outputs: list[CodeInterpreterOutput] = []
        content: list[ImageFileContentBlock] = []
        logs = ""
        for number in range(rng.choice((0, 1, 4))):
            await self._server.point()
            await asyncio.sleep(rng.random() * world.profile.pause_s)
            if rng.random() < 0.3:
                image = CodeInterpreterImageFile(file_id=f"file_{number}")
                outputs.append(CodeInterpreterImage(image=image))
                part = ImageFileContentBlock(image_file=ImageFile(file_id=image.file_id))
                content, logs = [*content, part], ""
            else:
                if logs:
                    outputs.pop()
                logs += f"line {number}\n"
                outputs.append(CodeInterpreterLogs(logs=logs))
            yield ToolOutput(text="so far", shown=tuple(outputs))
        roll = rng.random()
        if roll < 0.03:
            raise ToolUnusable("there is no sandbox")
        if roll < 0.1:
            raise LookupError("no such module")
        text = f"ran {world.make_id('c')}"
        yield ToolOutput(text=text, shown=tuple(outputs), content=tuple(content))


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
                FunctionTool(function=FunctionDefinition(name=ON_SERVER)),
                FunctionTool(function=FunctionDefinition(name=ON_CLIENT)),
                FileSearchTool(),
                CodeInterpreterTool(),
            ],
        )
        self._may_repeat = world.rng.random() < 0.5

    def tools(self, server: Server) -> Sequence[Any]:
        """The kinds of tool at a server."""
        code = CodeTool(server, may_repeat=self._may_repeat)
        return [ClientTool(), ServerTool(server), SearchTool(server), code]

    def _answer(self, request: ChatRequest) -> Turn:
        world, rng, profile = self._world, self._world.rng, self._world.profile
        self._look_at(request)
        rounds = sum(message.tool_calls is not None for message in request.messages)
        is_to_call = rounds < ROUNDS_MAX and rng.random() < 0.45
        turn = self._calls() if is_to_call else self._text(request)
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

    def _text(self, request: ChatRequest) -> Turn:
        rng = self._world.rng
        roll = rng.random()
        words = " ".join(f"w{number}" for number in range(rng.choice((0, 1, 3, 6))))
        words = words.replace("w2 w3", "w2. W3")
        marks = [text for message in request.messages for text in _marks(message.content)]
        if words and marks and rng.random() < 0.7:
            words = f"{words}{rng.choice(marks)} and {rng.choice(marks)}"
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
        names = (ON_SERVER, ON_CLIENT, ON_CLIENT, "unknown", SEARCH, CODE, CODE)
        calls: list[ScriptedCall] = [
            tool(rng.choice(names), {"code": f"run\n{number}"})
            for number in range(rng.choice((1, 1, 2, 3)))
        ]
        return Turn(
            text="Let me see." if rng.random() < 0.3 else "",
            calls=tuple(calls),
            argument_chars=rng.choice((None, 3)),
            interleaved=rng.random() < 0.5,
            pause_s=rng.random() * self._world.profile.pause_s,
            together=rng.choice((1, 3)),
        )


def _marks(content: object) -> list[str]:
    return re.findall("【[0-9]+:0†f】", content) if isinstance(content, str) else []


def _changed(turn: Turn, **changes: Any) -> Turn:
    return replace(turn, **changes)
