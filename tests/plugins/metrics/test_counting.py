"""What happens on a server is counted, under few names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.plugins.metrics.conftest import counted, read, run_of

from famulus import Call, Operation, Plugin, Settings, hookimpl, operation, operations
from famulus.plugin import NoSettings
from famulus.testing import Script, ScriptedBackend, faults, kernel_with, tool
from famulus.tools import tool as served_tool
from famulus.tools import tools
from famulus_schemas.errors import TOO_BUSY, Problem
from famulus_schemas.gauges import Gauge
from famulus_schemas.notices import ModelAnswered, RequestServed
from famulus_schemas.tooling import ToolKind
from famulus_schemas.wire import Answer

pytestmark = pytest.mark.anyio

RUNS = (
    "metrics",
    "sqlite",
    "events",
    "jobs",
    "assistants",
    "threads",
    "models",
    "runs",
    "functions",
    "chat",
)


class Greeting(Answer, frozen=True, kw_only=True):
    """What is said."""

    text: str = "Hello"


class Greeter(Plugin[NoSettings]):
    """Greets, or is too busy for that."""

    name = "greeter"

    @hookimpl
    def register_operations(self) -> list[Operation]:
        """Greetings."""
        return operations(self)

    @operation("GET", "/hello/{who}", action="hello.read")
    async def hello(self, call: Call, who: str) -> Greeting:
        """Greet whoever it is."""
        if who == "busy":
            raise Problem(TOO_BUSY, reason="Later.")
        return Greeting()


# --- requests ------------------------------------------------------------------------------------


async def test_requests_are_counted_by_operation_and_class_of_status() -> None:
    async with kernel_with("metrics", Greeter) as server:
        for who in ("a", "b", "busy"):
            await server.get(f"/hello/{who}")
        await server.get("/nowhere/at/all")
        samples = await counted(
            server, 1, "famulus_requests_total", operation="unknown", status="4xx"
        )
    assert samples.get("famulus_requests_total", operation="hello", status="2xx") == 2
    assert samples.get("famulus_requests_total", operation="hello", status="5xx") == 1
    assert samples.get("famulus_request_seconds_count", operation="hello") == 3
    assert samples.get("famulus_request_seconds_bucket", operation="hello", le="+Inf") == 3


async def test_no_path_and_no_id_becomes_a_label() -> None:
    async with kernel_with("metrics", Greeter) as server:
        for number in range(50):
            await server.get(f"/hello/person-{number}")
            await server.get(f"/odd-{number}")
        samples = await counted(
            server, 50, "famulus_requests_total", operation="unknown", status="4xx"
        )
    assert samples.labels("famulus_requests_total", "operation") == {"hello", "unknown"}


async def test_what_is_under_way_is_told_at_that_moment() -> None:
    backend = ScriptedBackend(Script().says("so far").forever())
    async with kernel_with(*RUNS, backend=backend) as server:
        body = {"model": "scripted", "messages": [{"role": "user", "content": "?"}]}
        async with server.stream("/v1/chat/completions", {**body, "stream": True}) as events:
            await anext(aiter(events))
            samples = await read(server)
            assert samples.get("famulus_requests_in_flight") == 1
            assert samples.get("famulus_streams_open") == 1
        samples = await counted(server, 0, "famulus_requests_in_flight")
        assert samples.get("famulus_streams_open") == 0


# --- runs, models and tools ----------------------------------------------------------------------


async def test_a_run_and_its_models_tokens_are_counted_once_each() -> None:
    backend = ScriptedBackend(Script().says("hello").uses(11, 7, cached=3))
    async with kernel_with(*RUNS, backend=backend) as server:
        assert (await run_of(server))["status"] == "completed"
        samples = await counted(server, 1, "famulus_runs_total", status="completed")
    model = {"model": "scripted"}
    tokens = [
        samples.get("famulus_tokens_total", kind=kind, **model)
        for kind in ("prompt", "cached", "completion")
    ]
    assert tokens == [11, 3, 7]
    assert samples.get("famulus_run_seconds_count") == 1
    assert samples.get("famulus_run_queue_seconds_count") == 1
    assert samples.get("famulus_model_first_token_seconds_count", **model) == 1
    assert samples.get("famulus_model_seconds_count", **model) == 1


async def test_a_run_that_waits_for_its_client_is_no_end_of_one() -> None:
    backend = ScriptedBackend(Script().calls(tool("lookup", {})))
    function = {"type": "function", "function": {"name": "lookup"}}
    async with kernel_with(*RUNS, backend=backend) as server:
        assert (await run_of(server, tools=[function]))["status"] == "requires_action"
        samples = await counted(server, 1, "famulus_runs_total", status="requires_action")
    assert samples.get("famulus_run_seconds_count") == 0
    assert samples.get("famulus_run_queue_seconds_count") == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_tokens_of_answers_that_are_passed_on_are_counted_too(stream: bool) -> None:
    backend = ScriptedBackend(Script().says("hello").uses(11, 7))
    plugins = ("metrics", "models", "chat", "openai_compatible")
    body = {"model": "scripted", "messages": [{"role": "user", "content": "?"}], "stream": stream}
    async with backend.serve() as url:
        settings = {"openai_compatible": {"backend": [url], "discover": False}}
        async with kernel_with(*plugins, settings=settings) as server:
            answer = await server.post("/v1/chat/completions", body)
            assert answer.status_code == 200
            # That the client did not ask for it keeps nobody from counting.
            assert ("usage" in answer.text) is not stream
            samples = await counted(
                server, 7, "famulus_tokens_total", model="scripted", kind="completion"
            )
    assert samples.get("famulus_tokens_total", model="scripted", kind="prompt") == 11
    assert samples.get("famulus_model_first_token_seconds_count", model="scripted") == 1


async def test_faults_of_a_model_server_and_its_circuit_are_told() -> None:
    backend = ScriptedBackend(Script().fails(faults.kind("unreachable")).forever())
    settings = {"models": {"attempts_max": 1, "circuit_failures_max": 1}}
    async with kernel_with(*RUNS, backend=backend, settings=settings) as server:
        body = {"model": "scripted", "messages": [{"role": "user", "content": "?"}]}
        assert (await server.post("/v1/chat/completions", body)).status_code >= 500
        name = {"backend": "scripted"}
        samples = await counted(
            server, 1, "famulus_backend_faults_total", kind="unreachable", **name
        )
        assert samples.get("famulus_backend_circuit_open", **name) == 1
        assert samples.get("famulus_backend_up", **name) == 1


class Kitchen(Plugin[NoSettings]):
    """Has tools that a server runs."""

    name = "kitchen"

    @hookimpl
    def register_tools(self) -> list[ToolKind]:
        """The tools."""
        return tools(self)

    @served_tool
    async def boil(self) -> str:
        """Boil an egg."""
        return "boiled"

    @served_tool
    async def burn(self) -> str:
        """Burn it."""
        raise RuntimeError("smoke")

    @served_tool
    async def wait(self) -> str:
        """Wait for ever."""
        await asyncio.Event().wait()
        return ""


@pytest.mark.parametrize(
    ("name", "result"), [("boil", "ok"), ("burn", "error"), ("wait", "timeout")]
)
async def test_calls_that_the_server_runs_are_counted_by_what_came_of_them(
    name: str, result: str
) -> None:
    backend = ScriptedBackend(Script().calls(tool(name, {})).says("done"))
    function = {"type": "function", "function": {"name": name}}
    settings = {"runs": {"tool_s": 0.2}}
    async with kernel_with(*RUNS, Kitchen, backend=backend, settings=settings) as server:
        assert (await run_of(server, tools=[function]))["status"] == "completed"
        samples = await counted(
            server, 1, "famulus_tool_calls_total", kind="function", result=result
        )
    assert samples.get("famulus_tool_seconds_count", kind="function") == 1


# --- names ---------------------------------------------------------------------------------------


async def test_past_the_limit_all_further_models_are_one() -> None:
    settings = {"metrics": {"models_max": 3}}
    async with kernel_with("metrics", settings=settings) as server:
        for number in range(10):
            server.kernel.tell(
                ModelAnswered(
                    backend="b", model=f"m{number}", seconds=1, first_s=1, completion_tokens=1
                )
            )
        samples = await counted(server, 7, "famulus_tokens_total", model="other", kind="completion")
        assert samples.labels("famulus_tokens_total", "model") == {"m0", "m1", "m2", "other"}
        server.kernel.tell(
            ModelAnswered(backend="b", model="m1", seconds=1, first_s=1, completion_tokens=1)
        )
        # Those that came first keep their own.
        await counted(server, 2, "famulus_tokens_total", model="m1", kind="completion")


async def test_notices_that_are_lost_are_counted_as_lost() -> None:
    free = asyncio.Event()

    class Slow(Plugin[Settings]):
        """Hears slowly."""

        name = "a_slow"

        @hookimpl
        async def on_event(self, event: Any) -> None:
            """Wait."""
            await free.wait()

    settings = {"server": {"notices_max": 2}}
    async with kernel_with(Slow, "metrics", settings=settings) as server:
        heard = RequestServed(operation="x", status=200, seconds=0, request_id="r")
        server.kernel.tell(heard)
        while server.kernel.notices.waiting:
            await asyncio.sleep(0)
        for _ in range(5):
            server.kernel.tell(heard)
        samples = await read(server)
        assert samples.get("famulus_notices_lost_total") == 3
        assert samples.get("famulus_notices_waiting") == 2
        free.set()
        await counted(server, 3, "famulus_requests_total", operation="x", status="2xx")


# --- gauges of others ----------------------------------------------------------------------------


def gauged(name: str, read: Any, **fields: Any) -> type[Plugin[Any]]:
    class Gauged(Plugin[NoSettings]):
        """Can be read of."""

        @hookimpl
        def register_gauges(self) -> list[Gauge]:
            """One."""
            return [Gauge(name=f"famulus_{name}", help="A figure.", read=read, **fields)]

    Gauged.name = name
    return Gauged


async def test_a_strangers_figures_are_told_as_they_are_when_they_are_read() -> None:
    figures = {("left",): 1.0, ("right",): 2.0}
    shoes = gauged("shoes", lambda: figures, labels=("foot",))
    steps = gauged("steps_total", lambda: 4)
    async with kernel_with("metrics", shoes, steps) as server:
        samples = await read(server)
        assert samples.get("famulus_shoes", foot="left") == 1
        assert samples.get("famulus_steps_total") == 4
        figures[("left",)] = 7.0
        assert (await read(server)).get("famulus_shoes", foot="left") == 7
    assert samples.families["famulus_shoes"].type == "gauge"
    assert samples.families["famulus_steps"].type == "counter"


async def test_a_figure_that_cannot_be_read_costs_only_itself() -> None:
    def broken() -> float:
        raise RuntimeError("no scales")

    async with kernel_with("metrics", gauged("weight", broken), gauged("height", lambda: 2)) as s:
        samples = await read(s)
        assert samples.get("famulus_weight") is None
        assert samples.get("famulus_height") == 2
        assert samples.get("famulus_gauge_faults_total") == 1
        assert s.state("weight") == ("running", "")


async def test_the_state_of_every_plugin_is_told() -> None:
    class Broken(Plugin[NoSettings]):
        """Cannot start."""

        name = "broken"

        def lifespan(self) -> Any:
            """Fail."""
            raise RuntimeError("no")

    async with kernel_with("metrics", Broken) as server:
        samples = await read(server)
    assert samples.get("famulus_plugin_state", plugin="broken", state="failed") == 1
    assert samples.get("famulus_plugin_state", plugin="metrics", state="running") == 1


async def test_the_event_loop_is_seen_to_be_late() -> None:
    import time

    settings = {"metrics": {"lag_pause_s": 0.01}}
    async with kernel_with("metrics", settings=settings) as server:
        await asyncio.sleep(0.02)
        time.sleep(0.6)  # noqa: ASYNC251 - what a plugin must not do
        async with asyncio.timeout(10):
            while True:
                samples = await read(server)
                late = samples.get("famulus_event_loop_lag_seconds_count") - samples.get(  # type: ignore[operator]
                    "famulus_event_loop_lag_seconds_bucket", le="0.5"
                )
                if late >= 1:
                    return
                await asyncio.sleep(0.01)


async def test_writes_to_sqlite_and_jobs_are_told() -> None:
    backend = ScriptedBackend(Script().says("hello"))
    async with kernel_with(*RUNS, backend=backend) as server:
        await run_of(server)
        samples = await counted(server, 0, "famulus_jobs_at_work", kind="run")
    units = samples.get("famulus_sqlite_units_total")
    commits = samples.get("famulus_sqlite_commits_total")
    assert units is not None
    assert commits is not None
    assert units >= commits > 3
    assert (samples.get("famulus_sqlite_commit_seconds_total") or 0) > 0
    assert samples.get("famulus_sqlite_units_waiting") == 0
    assert samples.get("famulus_jobs_waiting", kind="run") == 0
    assert samples.get("famulus_job_lease_lost") == 0
