"""What clients get over HTTP, byte for byte, on every path that a stream can take.

With a clock that stands still and ids that are counted. The transcripts in `golden_http/` are read
by people: to change one on purpose, set FAMULUS_WRITE_GOLDEN=1, run this module, and review the
difference like code.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.file_search.conftest import STORE, Searches
from tests.plugins.runs.formed_tools import Code

from famulus import NoSettings, Plugin, hookimpl
from famulus.testing import (
    FixedClock,
    NumberedIds,
    Script,
    ScriptedBackend,
    TestServer,
    faults,
    kernel_with,
    tool,
)
from famulus_schemas.events import EVENT_NAMES
from famulus_schemas.inference import OfferedFunction
from famulus_schemas.tooling import ToolCall, ToolKind, ToolOutput, ToolScope

GOLDEN = Path(__file__).parent / "golden_http"
PLUGINS = ("sqlite", "events", "jobs", "assistants", "threads", "models", "functions", "runs")
SERVES = ("get_weather", "get_stuck")

weather = tool("get_weather", {"city": "Oslo"})
stuck = tool("get_stuck", {})
booking = tool("book_table", {"seats": 2})
code = tool("python", {"code": "print one\nprint two\nplot\nprint three"})
search = tool("file_search", {"queries": ["holiday", "days off"]})

SEARCHES = ("file_search", Searches)
FOUND = "You have 28 days of paid holiday a year. If you are ill, see 【0:1】. Enjoy them."
"""What is found says the first, and the model cites for the second."""


class ServerTools:
    """One function that answers, and one that never does."""

    type = "function"
    place = "server"

    def __init__(self) -> None:
        self.is_stuck = asyncio.Event()
        self.never = asyncio.Event()

    def offers(self, definition: Mapping[str, Any]) -> Sequence[OfferedFunction]:
        name = definition["function"]["name"]
        return [OfferedFunction(name=name)] if name in SERVES else []

    async def run(self, call: ToolCall, scope: ToolScope) -> AsyncIterator[ToolOutput]:
        if call.name == "get_stuck":
            self.is_stuck.set()
            await self.never.wait()
        yield ToolOutput(text="sunny")


class Client:
    """A client of one server after the other, and all that it was told."""

    def __init__(self, folder: Path) -> None:
        self.told: list[bytes] = []
        self.clock = FixedClock()
        self.ids = NumberedIds()
        self.tools = ServerTools()
        self._folder = folder
        self.server: TestServer
        self.backend: ScriptedBackend

    @asynccontextmanager
    async def at(
        self, script: Script, *, also: Sequence[Any] = (), **runs: Any
    ) -> AsyncIterator[None]:
        """A server that lives on the same data as those before it."""
        tools = self.tools

        class Tools(Plugin[NoSettings]):
            """Brings the server's functions."""

            name = "a_tools"

            @hookimpl
            def register_tools(self) -> list[ToolKind]:
                return [tools, Code()]  # type: ignore[list-item]

        self.backend = ScriptedBackend(script)
        settings = {"runs": {"finish_s": 0.0, "expiry_poll_s": 0.01, **runs}}
        async with kernel_with(
            Tools,
            *PLUGINS,
            *also,
            backend=self.backend,
            settings=settings,
            data_dir=self._folder,
            clock=self.clock,
            make_id=self.ids,
        ) as self.server:
            yield

    # --- what is told -------------------------------------------------------------------------

    async def stream(self, path: str, body: Any = None, **headers: str) -> None:
        """Read a stream to its end."""
        async with self._stream(path, body, headers) as response:
            self.told.append(await response.aread())

    @asynccontextmanager
    async def streaming(self, path: str, body: Any, until: str) -> AsyncIterator[None]:
        """Read a stream until an event of that name; then do something; then read the rest."""
        async with self._stream(path, body, {}) as response:
            chunks = response.aiter_raw()
            got = b""
            while f"event: {until}\n".encode() not in got:
                got += await anext(chunks)
            yield
            self.told.append(got + b"".join([chunk async for chunk in chunks]))

    def _stream(self, path: str, body: Any, headers: Mapping[str, str]) -> Any:
        method = "POST" if body is not None else "GET"
        self.told.append(f": {method} {path} {json.dumps(body) if body else ''}".strip().encode())
        self.told.append(b"\n")
        return self.server.client.stream(method, path, json=body, headers=dict(headers))

    # --- what is done beside it ---------------------------------------------------------------

    async def done(self, method: str, path: str, body: Any = None) -> Any:
        """Something that is no stream, and its answer."""
        self.told.append(f": {method} {path}\n".encode())
        response = await self.server.client.request(method, path, json=body)
        assert response.status_code == 200, response.text
        return response.json()

    async def assistant(self, *functions: str, runs_code: bool = False) -> str:
        """A new assistant's id."""
        tools: list[Any] = [{"type": "function", "function": {"name": name}} for name in functions]
        tools += [{"type": "code_interpreter"}] if runs_code else []
        response = await self.server.post("/v1/assistants", {"model": "scripted", "tools": tools})
        return str(response.json()["id"])

    async def thread(self) -> str:
        """A new thread's id, with a question on it."""
        messages = [{"role": "user", "content": "What about Oslo?"}]
        response = await self.server.post("/v1/threads", {"messages": messages})
        return str(response.json()["id"])

    async def becomes(self, status: str, run: str = "run_1", thread: str = "thread_1") -> None:
        """Return once the run is so."""
        async with asyncio.timeout(20):
            while (await self.run(run, thread))["status"] != status:
                await asyncio.sleep(0.005)

    async def run(self, run: str = "run_1", thread: str = "thread_1") -> Any:
        """The run as it is."""
        return (await self.server.get(f"/v1/threads/{thread}/runs/{run}")).json()


RUNS = "/v1/threads/thread_1/runs"
RUN = f"{RUNS}/run_1"
STREAM = {"assistant_id": "asst_1", "stream": True}


async def thread_and_run(client: Client) -> None:
    async with client.at(Script().says("Hello there, friend.").uses(12, 5)):
        await client.assistant()
        thread = {"messages": [{"role": "user", "content": "Hello"}]}
        await client.stream("/v1/threads/runs", {**STREAM, "thread": thread})


async def server_tool(client: Client) -> None:
    async with client.at(Script().calls(weather).uses(9, 4).says("Sunny.").uses(20, 2)):
        await client.assistant("get_weather")
        await client.thread()
        await client.stream(RUNS, STREAM)


async def asked(client: Client) -> None:
    """A run that asks its client, streamed to there."""
    await client.assistant("get_weather", "book_table", "get_stuck")
    await client.thread()
    await client.stream(RUNS, STREAM)


async def client_tool(client: Client) -> None:
    async with client.at(Script().calls(booking).uses(9, 4).says("Booked.").uses(20, 2)):
        await asked(client)
        client.clock.move(3)
        (call,) = (await client.run())["required_action"]["submit_tool_outputs"]["tool_calls"]
        outputs = [{"tool_call_id": call["id"], "output": "done"}]
        body = {"tool_outputs": outputs, "stream": True}
        await client.stream(f"{RUN}/submit_tool_outputs", body)


async def client_tool_replayed(client: Client) -> None:
    await client_tool(client)
    client.told.clear()
    async with client.at(Script()):
        await client.stream(f"{RUN}/events")
        await client.stream(f"{RUN}/events", **{"last-event-id": "run_1:1.6.0"})


async def code_interpreter(client: Client) -> None:
    says = "See sandbox:/mnt/data/plot.png."
    async with client.at(Script().calls(code).uses(9, 4).says(says).uses(20, 2)):
        await client.assistant(runs_code=True)
        await client.thread()
        await client.stream(RUNS, STREAM)


async def cancelled_while_it_asks(client: Client) -> None:
    async with client.at(Script().calls(booking).uses(9, 4)):
        await asked(client)
        client.clock.move(3)
        await client.done("POST", f"{RUN}/cancel")
        await client.stream(f"{RUN}/events", **{"last-event-id": "run_1:1.6.0"})


async def expired_while_it_asks(client: Client) -> None:
    async with client.at(Script().calls(weather, booking).uses(9, 4)):
        await asked(client)
        client.clock.move(601)
        await client.becomes("expired")
        await client.stream(f"{RUN}/events", **{"last-event-id": "run_1:1.6.0"})


async def cancelled_in_a_server_tool(client: Client) -> None:
    async with client.at(Script().calls(weather, stuck).uses(9, 4)):
        await client.assistant("get_weather", "get_stuck")
        await client.thread()
        async with client.streaming(RUNS, STREAM, until="thread.run.step.delta"):
            await client.tools.is_stuck.wait()
            client.clock.move(3)
            await client.done("POST", f"{RUN}/cancel")


async def cancelled_in_a_message(client: Client) -> None:
    async with client.at(Script().says("I would go on").waits_for(client.tools.never, after=1)):
        await client.assistant()
        await client.thread()
        async with client.streaming(RUNS, STREAM, until="thread.message.delta"):
            client.clock.move(3)
            await client.done("POST", f"{RUN}/cancel")


async def expired_in_a_message(client: Client) -> None:
    async with client.at(
        Script().says("I would go on").waits_for(client.tools.never, after=1), run_s=1
    ):
        await client.assistant()
        await client.thread()
        await client.stream(RUNS, STREAM)


async def failed_in_a_message(client: Client) -> None:
    async with client.at(Script().says("This is cut short").breaks(faults.reset(), after=2)):
        await client.assistant()
        await client.thread()
        await client.stream(RUNS, STREAM)


async def failed_before_its_first_word(client: Client) -> None:
    async with client.at(Script().fails(faults.status(400))):
        await client.assistant()
        await client.thread()
        await client.stream(RUNS, STREAM)


async def incomplete(client: Client) -> None:
    script = Script().says("This goes on and").finishes("length").uses(9, 4)
    async with client.at(script):
        await client.assistant()
        await client.thread()
        await client.stream(RUNS, STREAM)


async def refused(client: Client) -> None:
    async with client.at(Script().refuses("I will not help with that.").uses(9, 4)):
        await client.assistant()
        await client.thread()
        await client.stream(RUNS, STREAM)


async def resumed_in_a_message(client: Client) -> None:
    script = Script().says("Half of it all").waits_for(client.tools.never, after=3)
    async with client.at(script, checkpoint_ms=0):
        await client.assistant()
        await client.thread()
        await client.done("POST", RUNS, {"assistant_id": "asst_1"})
        await _says(client, "Half of")
    async with client.at(Script().says("All of it").uses(9, 4)):
        await client.becomes("completed")
        await client.stream(f"{RUN}/events")


async def resumed_in_a_server_tool(client: Client) -> None:
    async with client.at(Script().calls(weather, stuck).uses(9, 4)):
        await client.assistant("get_weather", "get_stuck")
        await client.thread()
        await client.done("POST", RUNS, {"assistant_id": "asst_1"})
        await client.tools.is_stuck.wait()
    async with client.at(Script().says("Neither.").uses(9, 4), tool_s=0.01):
        await client.becomes("completed")
        await client.stream(f"{RUN}/events")


async def file_search(client: Client) -> None:
    script = Script().calls(search).uses(9, 4).says(FOUND).uses(90, 20)
    async with client.at(script, also=SEARCHES):
        await searching(client)
        await client.stream(RUNS, STREAM)
        await client.stream(f"{RUN}/events", **{"last-event-id": "run_1:1.10.40"})


async def file_search_resumed(client: Client) -> None:
    script = Script().calls(search).uses(9, 4).says(FOUND).waits_for(client.tools.never, after=8)
    async with client.at(script, also=SEARCHES, checkpoint_ms=0):
        await searching(client)
        await client.done("POST", RUNS, {"assistant_id": "asst_1"})
        await _says(client, "28 days")
    async with client.at(Script().says(FOUND).uses(90, 20), also=SEARCHES):
        await client.becomes("completed")
        await client.stream(f"{RUN}/events")


async def searching(client: Client) -> None:
    """An assistant and a thread with something to search."""
    body = {"model": "scripted", "tools": [{"type": "file_search"}]}
    await client.server.post("/v1/assistants", body)
    messages = [{"role": "user", "content": "How many days?"}]
    await client.server.post("/v1/threads", {"messages": messages, "tool_resources": STORE})


async def waited_for_its_turn(client: Client) -> None:
    async with client.at(Script().calls(booking).uses(9, 4).says("My turn.").uses(9, 4)):
        await asked(client)
        client.told.clear()
        body = {"assistant_id": "asst_1", "additional_messages": []}
        response = await client.server.post(RUNS, body, headers={"x-famulus-on-busy": "queue"})
        assert response.status_code == 200
        client.clock.move(3)
        await client.done("POST", f"{RUN}/cancel")
        await client.becomes("completed", "run_2")
        await client.stream(f"{RUNS}/run_2/events")


async def cancelled_before_its_turn(client: Client) -> None:
    async with client.at(Script().calls(booking).uses(9, 4)):
        await asked(client)
        client.told.clear()
        response = await client.server.post(
            RUNS, {"assistant_id": "asst_1"}, headers={"x-famulus-on-busy": "queue"}
        )
        assert response.status_code == 200
        client.clock.move(3)
        await client.done("POST", f"{RUNS}/run_2/cancel")
        await client.stream(f"{RUNS}/run_2/events")


async def expired_before_its_turn(client: Client) -> None:
    async with client.at(Script().calls(booking).uses(9, 4), run_s=600):
        await asked(client)
        client.told.clear()
        response = await client.server.post(
            RUNS, {"assistant_id": "asst_1"}, headers={"x-famulus-on-busy": "queue"}
        )
        assert response.status_code == 200
    async with client.at(Script().says("Too late.")):
        client.clock.move(601)
        await client.becomes("expired", "run_2")
        await client.stream(f"{RUNS}/run_2/events")


async def deleted_while_it_is_streamed(client: Client) -> None:
    async with client.at(Script().says("I would go on").waits_for(client.tools.never, after=1)):
        await client.assistant()
        await client.thread()
        async with client.streaming(RUNS, STREAM, until="thread.message.delta"):
            await client.done("DELETE", "/v1/threads/thread_1")


async def _says(client: Client, text: str) -> None:
    async with asyncio.timeout(20):
        while True:
            listed = (await client.server.get("/v1/threads/thread_1/messages")).json()["data"]
            content = listed[0]["content"]
            if listed[0]["role"] == "assistant" and content and text in str(content):
                return
            await asyncio.sleep(0.005)


PATHS: list[Callable[[Client], Awaitable[None]]] = [
    thread_and_run,
    server_tool,
    client_tool,
    client_tool_replayed,
    code_interpreter,
    cancelled_while_it_asks,
    expired_while_it_asks,
    cancelled_in_a_server_tool,
    cancelled_in_a_message,
    expired_in_a_message,
    failed_in_a_message,
    failed_before_its_first_word,
    incomplete,
    refused,
    resumed_in_a_message,
    resumed_in_a_server_tool,
    file_search,
    file_search_resumed,
    waited_for_its_turn,
    cancelled_before_its_turn,
    expired_before_its_turn,
    deleted_while_it_is_streamed,
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.__name__)
async def test_a_client_is_told_exactly_this(
    path: Callable[[Client], Awaitable[None]], tmp_path: Path
) -> None:
    client = Client(tmp_path)
    await path(client)
    got = b"".join(client.told)
    file = GOLDEN / f"{path.__name__}.sse"
    if os.environ.get("FAMULUS_WRITE_GOLDEN"):
        file.write_bytes(got)
    assert got == file.read_bytes()


def test_every_transcript_belongs_to_a_path() -> None:
    assert {file.stem for file in GOLDEN.glob("*.sse")} == {path.__name__ for path in PATHS}


def test_every_event_of_the_contract_is_told_somewhere() -> None:
    lines = [line for file in GOLDEN.glob("*.sse") for line in file.read_text().splitlines()]
    told = {line.removeprefix("event: ") for line in lines if line.startswith("event: ")}
    assert told == set(EVENT_NAMES)
    assert len(told) == 25
