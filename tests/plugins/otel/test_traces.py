"""What a collector is told of requests, runs, models and tools, and what it is never told."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.plugins.metrics.conftest import run_of
from tests.plugins.otel.collector import Collector, Span, collecting

from famulus import Plugin, hookimpl, tracing
from famulus.mistakes import ConfigError
from famulus.plugin import NoSettings
from famulus.testing import Script, ScriptedBackend, TestServer, faults, kernel_with, tool
from famulus.tools import tool as served_tool
from famulus.tools import tools
from famulus_otel.finished import finished
from famulus_schemas.notices import RequestServed
from famulus_schemas.tooling import ToolKind

pytestmark = pytest.mark.anyio

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
CHAT = {"model": "scripted", "messages": [{"role": "user", "content": "the-secret-question"}]}


class Kitchen(Plugin[NoSettings]):
    """Has a tool that a server runs."""

    name = "kitchen"

    @hookimpl
    def register_tools(self) -> list[ToolKind]:
        """The tools."""
        return tools(self)

    @served_tool
    async def boil(self, egg: str) -> str:
        """Boil an egg."""
        return "the-secret-result"


RUNS = ("sqlite", "events", "jobs", "assistants", "threads", "models", "runs", "functions", "chat")


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector."""
    with collecting() as made:
        yield made


@asynccontextmanager
async def traced(
    collector: Collector,
    backend: ScriptedBackend,
    *more: Any,
    data_dir: Path | None = None,
    **settings: Any,
) -> AsyncIterator[TestServer]:
    """A server whose traces go there, and whose model is behind HTTP."""
    otel = {"endpoint": collector.url, "pause_s": 0.01, "retry_s": 0.01, **settings}
    async with backend.serve() as url:
        tables = {"otel": otel, "openai_compatible": {"backend": [url], "discover": False}}
        plugins = (*RUNS, "openai_compatible", "otel", *more)
        async with kernel_with(*plugins, settings=tables, data_dir=data_dir) as server:
            yield server


async def named(collector: Collector, *names: str) -> list[Span]:
    return await asyncio.to_thread(collector.named, *names)


async def test_a_request_goes_on_with_its_clients_trace_to_the_model_server(
    collector: Collector,
) -> None:
    backend = ScriptedBackend(Script().says("hello").uses(11, 7, cached=3))
    async with traced(collector, backend) as server:
        headers = {"traceparent": TRACEPARENT, "x-request-id": "req-of-the-client"}
        answer = await server.client.post("/v1/chat/completions", json=CHAT, headers=headers)
        assert answer.status_code == 200
        request, chat = await named(collector, "POST /v1/chat/completions", "chat scripted")
    assert (request.trace, request.parent, request.kind) == (TRACE, PARENT, "server")
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
        "famulus.operation": request.attributes["famulus.operation"],
        "famulus.request.id": "req-of-the-client",
        "famulus.project.id": "default",
    }
    assert (chat.trace, chat.parent, chat.kind) == (TRACE, request.id, "client")
    first = chat.attributes.pop("gen_ai.response.time_to_first_chunk")
    assert first >= 0
    assert chat.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": chat.attributes["gen_ai.provider.name"],
        "gen_ai.request.model": "scripted",
        "gen_ai.response.model": "scripted",
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 3,
    }
    assert request.begins <= chat.begins <= chat.ends
    assert not request.failed
    assert not chat.failed
    [asked] = [each for each in backend.requests if each.endpoint == "chat/completions"]
    assert asked.headers["traceparent"] == f"00-{TRACE}-{chat.id}-01"
    assert request.resource["service.name"] == "famulus"
    assert request.resource["service.version"]


async def test_a_run_is_part_of_the_request_that_created_it(collector: Collector) -> None:
    backend = ScriptedBackend(Script().calls(tool("boil", {"egg": "the-secret-egg"})).says("done"))
    function = {"type": "function", "function": {"name": "boil"}}
    async with traced(collector, backend, Kitchen) as server:
        run = await run_of(server, tools=[function])
        assert run["status"] == "completed"
        agent = f"invoke_agent {run['assistant_id']}"
        chats = await named(collector, agent, "chat scripted", "chat scripted")
        [created, ran, boiled] = await named(
            collector, "POST /v1/threads/runs", agent, "execute_tool boil"
        )
    assert {created.trace} == {each.trace for each in (ran, boiled, *chats)}
    assert ran.parent == created.id
    assert [each.parent for each in (boiled, *chats[1:])] == [ran.id] * 3
    for span in (ran, boiled, *chats):
        assert span.attributes["gen_ai.conversation.id"] == run["thread_id"]
        assert span.attributes["gen_ai.agent.id"] == run["assistant_id"]
    assert ran.attributes["famulus.run.id"] == run["id"]
    assert ran.attributes["famulus.run.status"] == "completed"
    assert ran.attributes["gen_ai.operation.name"] == "invoke_agent"
    assert boiled.attributes["gen_ai.operation.name"] == "execute_tool"
    assert boiled.attributes["gen_ai.tool.name"] == "boil"
    assert boiled.attributes["gen_ai.tool.call.id"].startswith("call_")
    told = {each.headers["traceparent"] for each in backend.requests if each.chat is not None}
    assert told == {f"00-{each.trace}-{each.id}-01" for each in chats[1:]}


async def test_a_run_that_waited_for_its_client_is_told_twice(collector: Collector) -> None:
    backend = ScriptedBackend(Script().calls(tool("lookup", {})).says("done"))
    function = {"type": "function", "function": {"name": "lookup"}}
    async with traced(collector, backend) as server:
        run = await run_of(server, tools=[function])
        [call] = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}/submit_tool_outputs"
        outputs = [{"tool_call_id": call["id"], "output": "the-secret-result"}]
        await server.post(path, {"tool_outputs": outputs})
        agent = f"invoke_agent {run['assistant_id']}"
        [created, first, second] = await named(collector, "POST /v1/threads/runs", agent, agent)
    assert first.parent == second.parent == created.id
    statuses = [each.attributes["famulus.run.status"] for each in (first, second)]
    assert statuses == ["requires_action", "completed"]


async def test_a_run_stays_part_of_its_request_whoever_works_on_it_in_the_end(
    collector: Collector, tmp_path: Path
) -> None:
    endless = ScriptedBackend(Script().says("and on ").without_end().pauses(0.01))
    thread = {"messages": [{"role": "user", "content": "?"}]}
    async with traced(collector, endless, data_dir=tmp_path) as server:
        made = (await server.post("/v1/assistants", {"model": "scripted"})).json()
        body = {"assistant_id": made["id"], "thread": thread}
        run = (await server.post("/v1/threads/runs", body)).json()
        path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}"
        async with asyncio.timeout(60):
            while not endless.requests or run["status"] == "queued":
                await asyncio.sleep(0.01)
                run = (await server.get(path)).json()
    [created] = await named(collector, "POST /v1/threads/runs")
    other = ScriptedBackend(Script().says("done"))
    async with traced(collector, other, data_dir=tmp_path):
        [ran] = await named(collector, f"invoke_agent {made['id']}")
    assert ran.resource["service.instance.id"] != created.resource["service.instance.id"]
    assert (ran.trace, ran.parent) == (created.trace, created.id)
    assert ran.attributes["famulus.run.status"] == "completed"


async def test_nothing_that_is_said_and_no_credential_is_told(collector: Collector) -> None:
    backend = ScriptedBackend(
        Script().calls(tool("boil", {"egg": "the-secret-egg"})).says("the-secret-answer")
    )
    function = {
        "type": "function",
        "function": {"name": "boil", "description": "the-secret-description"},
    }
    async with traced(collector, backend, Kitchen) as server:
        run = await run_of(
            server,
            tools=[function],
            name="the-secret-name",
            instructions="the-secret-instructions",
            metadata={"key": "the-secret-metadata"},
        )
        headers = {"authorization": "Bearer sk-the-secret-key", "x-other": "the-secret-header"}
        path = "/v1/threads/the-secret-path?the-secret=query"
        await server.client.get(path, headers=headers)
        agent = f"invoke_agent {run['assistant_id']}"
        await named(collector, agent, "execute_tool boil", "GET /v1/threads/{thread_id}")
    assert collector.bodies
    for body in collector.bodies:
        assert b"secret" not in body


async def test_what_fails_is_marked(collector: Collector) -> None:
    backend = ScriptedBackend(Script().fails(faults.status(500)).forever())
    async with traced(collector, backend) as server:
        answer = await server.post("/v1/chat/completions", CHAT)
        assert answer.status_code >= 500
        [request, chat, *_] = await named(collector, "POST /v1/chat/completions", "chat scripted")
        assert request.failed
        assert chat.failed
        assert request.attributes["error.type"] == str(answer.status_code)
        assert chat.attributes["error.type"] in ("broken", "overloaded", "unreachable")
        # A client's mistake is none of the server's.
        await server.get("/v1/threads/thread_none")
        [missing] = await named(collector, "GET /v1/threads/{thread_id}")
        assert (missing.failed, missing.attributes["http.response.status_code"]) == (False, 404)


async def test_an_answer_that_breaks_off_is_one_span(collector: Collector) -> None:
    backend = ScriptedBackend(Script().says("so far and on").breaks(faults.hang_up(), after=2))
    async with traced(collector, backend) as server:
        run = await run_of(server)
        assert run["status"] == "failed"
        agent = f"invoke_agent {run['assistant_id']}"
        [chat, ran] = await named(collector, "chat scripted", agent)
    assert chat.attributes["error.type"] == "broken"
    assert ran.failed
    assert ran.attributes["error.type"] == "server_error"
    assert len({span.id for span in collector.spans}) == len(collector.spans)


async def test_what_clients_do_not_sample_is_passed_on_and_not_told(collector: Collector) -> None:
    backend = ScriptedBackend(Script().says("hello").forever())
    async with traced(collector, backend, sample_as_clients=True) as server:
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-00"}
        await server.client.post("/v1/chat/completions", json=CHAT, headers=headers)
        await server.post("/v1/chat/completions", CHAT)
        await named(collector, "POST /v1/chat/completions", "chat scripted")
    assert TRACE not in {span.trace for span in collector.spans}
    sent = [each.headers["traceparent"] for each in backend.requests if each.chat is not None]
    assert [(each[3:35] == TRACE, each[-2:]) for each in sent] == [(True, "00"), (False, "01")]


async def test_clients_need_not_be_followed(collector: Collector) -> None:
    backend = ScriptedBackend(Script().says("hello"))
    async with traced(collector, backend, follow_clients=False) as server:
        headers = {"traceparent": TRACEPARENT}
        await server.client.post("/v1/chat/completions", json=CHAT, headers=headers)
        [request] = await named(collector, "POST /v1/chat/completions")
    assert (request.trace != TRACE, request.parent) == (True, "")


async def test_of_traces_that_begin_here_a_part_is_told(collector: Collector) -> None:
    backend = ScriptedBackend()
    settings = {"sample_ratio": 0.0, "sample_as_clients": True}
    async with traced(collector, backend, **settings) as server:
        for _ in range(20):
            await server.get("/v1/models")
        headers = {"traceparent": TRACEPARENT}
        await server.client.get("/v1/models", headers=headers)
        [request] = await named(collector, "GET /v1/models")
    assert request.trace == TRACE
    assert len(collector.spans) == 1


@pytest.mark.parametrize(("ratio", "flags"), [(0.0, "01"), (1.0, "00")])
async def test_whether_a_trace_is_told_is_not_for_clients_to_say(
    ratio: float, flags: str, collector: Collector
) -> None:
    async with traced(collector, ScriptedBackend(), sample_ratio=ratio) as server:
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-{flags}"}
        for _ in range(5):
            await server.client.get("/v1/models", headers=headers)
    # What was waiting is sent at the stop.
    assert [span.trace for span in collector.spans] == [TRACE] * (5 if ratio else 0)


async def test_no_choice_of_a_traces_id_has_it_told(collector: Collector) -> None:
    """Ids that end like those which are always told, were they ours: about half of them are."""
    async with traced(collector, ScriptedBackend(), sample_ratio=0.5) as server:
        for number in range(1, 65):
            headers = {"traceparent": f"00-{number:016x}{'0' * 16}-{PARENT}-01"}
            await server.client.get("/v1/models", headers=headers)
    assert 0 < len(collector.spans) < 64


async def test_all_of_a_clients_trace_is_told_or_nothing(collector: Collector) -> None:
    async with traced(collector, ScriptedBackend(), sample_ratio=0.5) as server:
        for _ in range(4):
            for number in range(1, 17):
                headers = {"traceparent": f"00-{number:032x}-{PARENT}-01"}
                await server.client.get("/v1/models", headers=headers)
    assert set(Counter(span.trace for span in collector.spans).values()) <= {4}


async def test_health_is_no_trace_and_takes_over_none(collector: Collector) -> None:
    async with traced(collector, ScriptedBackend()) as server:
        await server.get("/v1/models")
        await server.get("/health/live")
        await server.get("/health/ready")
        await server.get("/v1/assistants")
        await named(collector, "GET /v1/models", "GET /v1/assistants")
    assert len(collector.spans) == 2


async def test_a_collector_that_is_away_harms_nobody_and_is_told_later(
    collector: Collector,
) -> None:
    collector.status = 503
    async with traced(collector, ScriptedBackend(), attempts_max=1000) as server:
        assert (await server.get("/v1/models")).status_code == 200
        async with asyncio.timeout(60):
            while collector.refused < 2:
                await asyncio.sleep(0.01)
        ready = (await server.get("/health/ready")).json()
        assert ready["plugins"]["otel"]["status"] == "degraded"
        collector.status = 200
        await named(collector, "GET /v1/models")
        async with asyncio.timeout(60):
            while "otel" in (await server.get("/health/ready")).json().get("plugins", {}):
                await asyncio.sleep(0.01)


async def test_what_does_not_fit_is_dropped_and_counted(collector: Collector) -> None:
    collector.status = 503
    limits = {"queue_max": 5, "batch_max": 2, "attempts_max": 1000, "retry_s": 60}
    async with traced(collector, ScriptedBackend(), "metrics", **limits) as server:
        for _ in range(20):
            assert (await server.get("/v1/models")).status_code == 200
        exporter = server.plugin("otel")._exporter
        async with asyncio.timeout(60):
            # One batch is on its way.
            while exporter.dropped + exporter.waiting < 18:
                await asyncio.sleep(0.01)
        assert exporter.waiting <= 5
        dropped = exporter.dropped
        assert dropped >= 13
        text = (await server.get("/metrics")).text
    assert f'famulus_spans_total{{result="dropped"}} {dropped}.0' in text
    assert 'famulus_spans_total{result="exported"} 0.0' in text


async def test_what_a_collector_refuses_is_not_sent_again(collector: Collector) -> None:
    collector.status = 400
    async with traced(collector, ScriptedBackend()) as server:
        await server.get("/v1/models")
        exporter = server.plugin("otel")._exporter
        async with asyncio.timeout(60):
            while exporter.dropped < 1:
                await asyncio.sleep(0.01)
    assert collector.refused == 1


async def test_the_last_spans_are_sent_when_the_server_stops(collector: Collector) -> None:
    async with traced(collector, ScriptedBackend(), pause_s=3600) as server:
        await server.get("/v1/models")
        async with asyncio.timeout(60):
            while not server.plugin("otel")._exporter.waiting:
                await asyncio.sleep(0.01)
        assert collector.spans == []
    assert [span.name for span in collector.spans] == ["GET /v1/models"]


@pytest.mark.parametrize("compression", ["gzip", "none"])
async def test_headers_are_sent_and_never_shown(collector: Collector, compression: str) -> None:
    more: dict[str, Any] = {
        "headers": {"authorization": "Basic abc"},
        "attributes": {"deployment.environment.name": "test"},
        "compression": compression,
    }
    async with traced(collector, ScriptedBackend(), **more) as server:
        await server.get("/v1/models")
        [span] = await named(collector, "GET /v1/models")
        assert "Basic abc" not in repr(server.plugin("otel").settings)
    assert collector.headers[0]["authorization"] == "Basic abc"
    assert span.resource["deployment.environment.name"] == "test"


@pytest.mark.parametrize("endpoint", ["collector:4318", "grpc://x", "http://u:p@x:4318", "http://"])
async def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="endpoint"):
        async with kernel_with("otel", settings={"otel": {"endpoint": endpoint}}):
            pass


async def test_without_an_endpoint_nothing_is_traced() -> None:
    backend = ScriptedBackend(Script().says("hello"))
    async with backend.serve() as url:
        settings = {"openai_compatible": {"backend": [url], "discover": False}}
        async with kernel_with(*RUNS, "openai_compatible", "otel", settings=settings) as server:
            assert server.state("otel") == ("off", "no endpoint is set")
            headers = {"traceparent": TRACEPARENT}
            await server.client.post("/v1/chat/completions", json=CHAT, headers=headers)
    assert all("traceparent" not in each.headers for each in backend.requests)


# --- what travels --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"00-{TRACE}-{PARENT}",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-01\n",
    ],
)
def test_a_header_that_names_no_span_is_none(header: str) -> None:
    assert tracing.parse(header) is None


def test_a_later_version_of_the_header_is_read_as_far_as_it_is_known() -> None:
    span = tracing.parse(f"cc-{TRACE}-{PARENT}-03-more")
    assert span is not None
    assert (span.trace_id, span.id, span.is_sampled) == (TRACE, PARENT, True)


@given(
    text=st.text("0f-g", max_size=60)
    | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
)
def test_any_header_is_a_span_that_is_told_on_or_none(text: str) -> None:
    span = tracing.parse(text)
    if span is not None:
        again = tracing.parse(span.traceparent)
        assert again is not None
        assert (again.trace_id, again.id) == (span.trace_id, span.id)


async def test_what_is_done_within_a_part_does_not_stay_in_it() -> None:
    whole = tracing.parse(TRACEPARENT)
    assert whole is not None
    tracing.span.set(whole)
    part = tracing.child()
    assert part is not None
    seen = []

    async def items() -> AsyncIterator[int]:
        for number in range(2):
            seen.append(tracing.span.get())
            yield number

    with pytest.raises(KeyError):
        async for _ in tracing.begun_within(part, items()):
            assert tracing.span.get() is whole
            if len(seen) == 2:
                raise KeyError
    assert seen == [part, whole]
    tracing.span.set(None)
    assert tracing.child() is None


def test_what_is_not_traced_is_no_span() -> None:
    notice = RequestServed(operation="x", status=200, seconds=0, request_id="r")
    assert finished(notice) is None
