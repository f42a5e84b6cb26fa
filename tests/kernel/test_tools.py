"""Functions of a plugin that models may call, from the signature to the model's next request."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest

from famulus import NoSettings, Plugin, hookimpl, tool, tools
from famulus.testing import Script, ScriptedBackend, TestServer, kernel_with
from famulus.testing import tool as call_of
from famulus.tools import ToolError
from famulus_schemas.runs import Run
from famulus_schemas.tooling import ToolCall, ToolKind, ToolOutput, ToolScope

pytestmark = pytest.mark.anyio


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where somebody is."""

    city: str
    floor: int = 0


City = Annotated[str, msgspec.Meta(description="A city, such as Oslo.")]


class Toys:
    """One tool of every kind."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.stop = threading.Event()
        self.at_work = 0
        self.seen: list[ToolScope] = []

    @tool
    async def get_weather(
        self, city: City, days: int = 1, unit: Literal["celsius", "fahrenheit"] = "celsius"
    ) -> str:
        """The weather of a city.

        For at most a week.
        """
        return f"{city} {days} {unit}"

    @tool(name="find-place")
    async def find(self, place: Place) -> dict[str, Any]:
        return {"at": place.city, "floor": place.floor}

    @tool
    async def whose(self, scope: ToolScope, word: str = "") -> str:
        self.seen.append(scope)
        return scope.project + word

    @tool
    def add(self, a: int, b: int) -> int:
        return a + b

    @tool
    async def keep(self, value: Any) -> None:
        return

    @tool
    def thread_name(self) -> str:
        return threading.current_thread().name

    @tool
    async def nothing(self) -> None:
        return

    @tool
    async def refuse(self) -> ToolOutput:
        return ToolOutput(text="not today", is_error=True)

    @tool
    async def fail(self) -> str:
        raise LookupError("no such thing")

    @tool(timeout_s=0.01)
    async def never(self) -> str:
        await asyncio.Event().wait()
        return "unreachable"

    @tool(timeout_s=60)
    async def gives_up_itself(self) -> str:
        raise TimeoutError("the database is slow")

    @tool(at_once_max=2)
    async def hold(self) -> str:
        self.at_work += 1
        await self.go_on.wait()
        self.at_work -= 1
        return "held"

    @tool(at_once_max=1, timeout_s=0.05)
    def block(self) -> str:
        assert self.stop.wait(30)
        return "let go"


SCOPE = ToolScope(
    project="alpha",
    run=Run(
        id="run_1",
        created_at=1,
        thread_id="thread_1",
        assistant_id="asst_1",
        status="in_progress",
        expires_at=601,
        model="m",
        truncation_strategy=None,
    ),
    definition={"type": "function", "function": {"name": "whose"}},
)


@pytest.fixture
def toys() -> Toys:
    return Toys()


@pytest.fixture
def kinds(toys: Toys) -> dict[str, Any]:
    return {kind.name: kind for kind in tools(toys)}  # type: ignore[attr-defined]


def offered(kinds: dict[str, Any], name: str, **definition: Any) -> Any:
    given = {"type": "function", "function": {"name": name, **definition}}
    (function,) = kinds[name].offers(given)
    return function


async def result(kind: Any, arguments: str = "{}") -> ToolOutput:
    call = ToolCall(id="call_1", name=kind.name, arguments=arguments)
    outputs = [output async for output in kind.run(call, SCOPE)]
    assert len(outputs) == 1
    return outputs[0]


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(2000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it does not come about")


# --- what the model is told --------------------------------------------------------------------


def test_the_signature_becomes_the_schema(kinds: dict[str, Any]) -> None:
    assert offered(kinds, "get_weather").parameters == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "A city, such as Oslo."},
            "days": {"type": "integer", "default": 1},
            "unit": {"enum": ["celsius", "fahrenheit"], "default": "celsius"},
        },
        "required": ["city"],
        "additionalProperties": False,
    }


def test_the_docstring_becomes_the_description(kinds: dict[str, Any]) -> None:
    description = offered(kinds, "get_weather").description
    assert description == "The weather of a city.\n\nFor at most a week."


def test_a_struct_within_the_arguments_is_described_too(kinds: dict[str, Any]) -> None:
    parameters = offered(kinds, "find-place").parameters
    assert parameters["properties"] == {"place": {"$ref": "#/$defs/Place"}}
    assert parameters["$defs"]["Place"]["required"] == ["city"]


def test_the_scope_is_no_argument(kinds: dict[str, Any]) -> None:
    assert list(offered(kinds, "whose").parameters["properties"]) == ["word"]


def test_what_the_definition_says_goes_before_the_plugins_own(kinds: dict[str, Any]) -> None:
    own = {"type": "object", "properties": {"city": {"enum": ["Oslo"]}}}
    function = offered(kinds, "get_weather", description="Ours", parameters=own, strict=True)
    assert (function.description, function.parameters, function.strict) == ("Ours", own, True)


def test_a_definition_of_another_name_is_not_taken(kinds: dict[str, Any]) -> None:
    assert kinds["add"].offers({"type": "function", "function": {"name": "subtract"}}) == []
    assert kinds["add"].offers({"type": "file_search"}) == []


def test_tools_come_in_the_order_of_the_class(kinds: dict[str, Any]) -> None:
    assert list(kinds)[:4] == ["get_weather", "find-place", "whose", "add"]


# --- calls -------------------------------------------------------------------------------------


async def test_a_text_is_told_as_it_is(kinds: dict[str, Any]) -> None:
    output = await result(kinds["get_weather"], '{"city": "Oslo", "days": 3}')
    assert output == ToolOutput(text="Oslo 3 celsius")


async def test_anything_else_is_told_as_json(kinds: dict[str, Any]) -> None:
    output = await result(kinds["find-place"], '{"place": {"city": "Oslo", "floor": 2}}')
    assert output.text == '{"at":"Oslo","floor":2}'
    assert (await result(kinds["nothing"])).text == "null"


async def test_a_tool_may_say_itself_that_it_failed(kinds: dict[str, Any]) -> None:
    assert await result(kinds["refuse"]) == ToolOutput(text="not today", is_error=True)


async def test_no_arguments_may_be_written_as_nothing(kinds: dict[str, Any]) -> None:
    assert await result(kinds["nothing"], " ") == ToolOutput(text="null")


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("get_weather", '{"city": 5}', "Expected `str`, got `int` - at `$.city`"),
        ("get_weather", "{}", "missing required field `city`"),
        ("get_weather", '{"city": "Oslo", "mood": 1}', "unknown field `mood`"),
        ("get_weather", '{"city": "Oslo", "unit": "kelvin"}', "Invalid enum value 'kelvin'"),
        ("get_weather", '["Oslo"]', "Expected `object`, got `array`"),
        ("get_weather", '{"city": "Os', "truncated"),
        ("find-place", '{"place": {"floor": 1}}', "missing required field `city` - at `$.place`"),
        pytest.param("keep", '{"value":' * 100_000, "depth", id="too deep"),
    ],
)
async def test_arguments_that_do_not_fit_are_told_to_the_model(
    kinds: dict[str, Any], name: str, arguments: str, told: str
) -> None:
    output = await result(kinds[name], arguments)
    assert output.is_error
    assert output.text.startswith(f"Error: the arguments of {name} do not fit: ")
    assert told in output.text


async def test_a_tool_learns_on_whose_behalf_it_is_called(
    toys: Toys, kinds: dict[str, Any]
) -> None:
    assert (await result(kinds["whose"], '{"word": "!"}')).text == "alpha!"
    assert toys.seen == [SCOPE]


async def test_a_function_that_blocks_runs_in_a_thread(kinds: dict[str, Any]) -> None:
    assert (await result(kinds["add"], '{"a": 1, "b": 2}')).text == "3"
    assert (await result(kinds["thread_name"])).text == "thread_name"
    assert threading.current_thread().name != "thread_name"


async def test_an_exception_is_left_to_whoever_runs_the_call(kinds: dict[str, Any]) -> None:
    with pytest.raises(LookupError, match="no such thing"):
        await result(kinds["fail"])


# --- limits ------------------------------------------------------------------------------------


async def test_a_call_that_takes_too_long_is_an_error_for_the_model(kinds: dict[str, Any]) -> None:
    output = await result(kinds["never"])
    assert output == ToolOutput(text="Error: never did not end within 0.01 seconds.", is_error=True)


async def test_a_timeout_of_the_tools_own_is_not_taken_for_the_limit(
    kinds: dict[str, Any],
) -> None:
    with pytest.raises(TimeoutError, match="the database is slow"):
        await result(kinds["gives_up_itself"])


async def test_no_more_calls_are_at_work_than_there_are_places(
    toys: Toys, kinds: dict[str, Any]
) -> None:
    calls = [asyncio.ensure_future(result(kinds["hold"])) for _ in range(5)]
    await until(lambda: toys.at_work == 2)
    for _ in range(20):
        await asyncio.sleep(0)
    assert toys.at_work == 2
    toys.go_on.set()
    assert [output.text for output in await asyncio.gather(*calls)] == ["held"] * 5


async def test_a_function_that_hangs_keeps_its_place_and_no_other(
    toys: Toys, kinds: dict[str, Any]
) -> None:
    hung = await result(kinds["block"])
    assert hung.text == "Error: block did not end within 0.05 seconds."
    turned_away = await result(kinds["block"])
    assert turned_away.text == ("Error: all 1 places of block stayed taken within 0.05 seconds.")
    assert (await result(kinds["add"], '{"a": 1, "b": 1}')).text == "2"
    toys.stop.set()
    outputs = [await result(kinds["block"]) for _ in range(100)]
    assert outputs[-1].text == "let go"


async def test_a_cancelled_call_gives_its_place_back(toys: Toys, kinds: dict[str, Any]) -> None:
    calls = [asyncio.ensure_future(result(kinds["hold"])) for _ in range(2)]
    await until(lambda: toys.at_work == 2)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    toys.go_on.set()
    assert (await result(kinds["hold"])).text == "held"


# --- methods that cannot be tools ----------------------------------------------------------------


class Untyped:
    @tool
    async def f(self, city) -> str:  # type: ignore[no-untyped-def]
        return "x"


class Many:
    @tool
    async def f(self, *cities: str) -> str:
        return "x"


class Late:
    @tool
    async def f(self, city: str, scope: ToolScope) -> str:
        return "x"


class Unknown:
    @tool
    async def f(self, where: Missing) -> str:  # type: ignore[name-defined] # noqa: F821
        return "x"


class Foreign:
    @tool
    async def f(self, where: Path | threading.Event) -> str:
        return "x"


class Named:
    @tool(name="two words")
    async def f(self) -> str:
        return "x"


class NoPlace:
    @tool(at_once_max=0)
    async def f(self) -> str:
        return "x"


@pytest.mark.parametrize(
    ("owner", "why"),
    [
        (Untyped, "parameter 'city' needs a type"),
        (Many, "must be one that is given by name"),
        (Late, "the scope must be its first parameter"),
        (Unknown, "its annotations must be importable"),
        (Foreign, "not supported"),
        (Named, "its name must be"),
        (NoPlace, "at_once_max must be 1 or more"),
    ],
)
def test_a_method_that_cannot_be_a_tool_says_why(owner: type, why: str) -> None:
    with pytest.raises(ToolError, match=why) as refused:
        tools(owner())
    assert f"{owner.__name__}.f (tool " in str(refused.value)


# --- in a server ---------------------------------------------------------------------------------


class Weather(Plugin[NoSettings]):
    """A plugin as its author writes it."""

    name = "weather"

    @tool
    async def get_weather(self, city: City) -> str:
        """The weather of a city."""
        if city == "Atlantis":
            raise LookupError("no such city")
        return f"sunny in {city}"

    @hookimpl
    def register_tools(self) -> list[ToolKind]:
        return tools(self)


PLUGINS = ("sqlite", "events", "jobs", "assistants", "threads", "models", "runs", "functions")


@asynccontextmanager
async def served(script: Script) -> AsyncIterator[tuple[TestServer, ScriptedBackend]]:
    backend = ScriptedBackend(script)
    async with kernel_with(*PLUGINS, Weather, backend=backend) as server:
        yield server, backend


async def ran(server: TestServer, function: dict[str, Any]) -> Any:
    body = {"model": "scripted", "tools": [{"type": "function", "function": function}]}
    assistant = (await server.post("/v1/assistants", body)).json()["id"]
    request = {
        "assistant_id": assistant,
        "thread": {"messages": [{"role": "user", "content": "?"}]},
    }
    run = (await server.post("/v1/threads/runs", request)).json()
    path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}"
    for _ in range(2000):
        if run["status"] not in ("queued", "in_progress"):
            return run
        await asyncio.sleep(0.005)
        run = (await server.get(path)).json()
    raise AssertionError(f"the run does not come to rest: {run}")


async def test_a_run_calls_a_plugins_function_on_the_server() -> None:
    script = Script().calls(call_of("get_weather", {"city": "Oslo"})).says("It is sunny.")
    async with served(script) as (server, backend):
        run = await ran(server, {"name": "get_weather"})
        assert run["status"] == "completed"
        assert backend.chats[1].chat.messages[-1].content == "sunny in Oslo"


async def test_the_model_is_told_the_plugins_own_signature() -> None:
    async with served(Script().says("no need")) as (server, backend):
        await ran(server, {"name": "get_weather"})
        ((offered,),) = [request.chat.tools for request in backend.chats]
        assert offered.function.description == "The weather of a city."
        assert offered.function.parameters["required"] == ["city"]


async def test_a_tool_that_fails_does_not_fail_the_run() -> None:
    script = Script().calls(call_of("get_weather", {"city": "Atlantis"})).says("I do not know.")
    async with served(script) as (server, backend):
        run = await ran(server, {"name": "get_weather"})
        assert run["status"] == "completed"
        told = backend.chats[1].chat.messages[-1].content
        assert told == "Error: get_weather failed: LookupError: no such city"


async def test_a_name_that_no_plugin_knows_stays_the_clients() -> None:
    async with served(Script().calls(call_of("open_door"))) as (server, _):
        run = await ran(server, {"name": "open_door"})
        assert run["status"] == "requires_action"
