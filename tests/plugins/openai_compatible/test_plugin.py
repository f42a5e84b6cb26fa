"""Servers that are named are reached, and where none is, this machine is looked at."""

from __future__ import annotations

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, ClassVar

import pytest

from famulus.log import make_log
from famulus.testing.kit import TestServer, kernel_with, serves
from famulus.testing.scripted import Script, ScriptedBackend, ScriptedFault, faults
from famulus_models import Models
from famulus_openai_compatible import OpenAICompatible
from famulus_openai_compatible.discovery import HOST, USUAL_PORTS, listening
from famulus_schemas.inference import ModelCard

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def started(
    *further: Any, ports: Mapping[str, int] | None = None, **settings: Any
) -> AsyncIterator[tuple[TestServer, io.StringIO]]:
    class Looking(OpenAICompatible):
        usual_ports: ClassVar[Mapping[str, int]] = ports or {}

    lines = io.StringIO()
    async with kernel_with(
        *further,
        Looking,
        Models,
        settings={"openai_compatible": settings, "models": {"refresh_min_s": 0.0}},
        log=make_log("info", "json", stream=lines),
    ) as server:
        yield server, lines


async def ids(server: TestServer) -> list[str]:
    return [model["id"] for model in (await server.get("/v1/models")).json()["data"]]


def logged(lines: io.StringIO, event: str) -> list[dict[str, Any]]:
    entries = [json.loads(line) for line in lines.getvalue().splitlines()]
    return [entry for entry in entries if entry["event"] == event]


def port_of(url: str) -> int:
    return int(url.removesuffix("/v1").rpartition(":")[2])


async def test_named_servers_are_served_in_their_order():
    a, b = ScriptedBackend(models=("m1",)), ScriptedBackend(models=("m2",))
    async with a.serve() as one, b.serve() as two:
        named = {"backend": [two], "backends": [{"name": "a", "url": one}]}
        async with started(**named) as (server, _):
            assert await ids(server) == ["m2", "m1"]


async def test_a_server_that_is_down_does_not_stop_the_start_and_is_found_later():
    scripted = ScriptedBackend(Script().says("Hi"), models=("m1",))
    async with scripted.serve() as url, AsyncExitStack() as stack:
        async with scripted.refusing():
            server, lines = await stack.enter_async_context(started(backend=[url]))
            assert server.state("openai_compatible") == ("running", "")
            assert await ids(server) == []
        assert (await server.get("/v1/models/m1")).status_code == 200
        assert len(logged(lines, "model_server_silent")) == 1


async def test_a_wrong_tokenizer_is_told_at_the_start(tmp_path):
    named = {"backends": [{"url": "http://127.0.0.1:9", "tokenizer": str(tmp_path / "gone.json")}]}
    async with started(**named) as (server, _):
        state, reason = server.state("openai_compatible")
    assert state == "failed"
    assert "gone.json" in reason


async def test_a_server_at_a_usual_port_is_found():
    scripted = ScriptedBackend(models=("m1",))
    async with (
        scripted.serve() as url,
        started(ports={"vllm": port_of(url), "ollama": closed_port()}) as (server, lines),
    ):
        assert await ids(server) == ["m1"]
        [entry] = logged(lines, "model_servers_looked_for")
    assert (entry["found"], entry["not_found"]) == (["vllm"], ["ollama"])


def closed_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        port: int = free.getsockname()[1]
        return port


async def test_what_is_no_model_server_is_not_taken_for_one():
    page = ScriptedFault(
        manner="raw_body", kind="broken", message="", content_type="text/html", data=b"<html>"
    )
    scripted = ScriptedBackend()
    scripted.faults["models"] = page
    async with scripted.serve() as url, started(ports={"vllm": port_of(url)}) as (server, lines):
        assert await ids(server) == []
        [entry] = logged(lines, "model_servers_looked_for")
    assert (entry["found"], entry["advice"]) == ([], "name a server with --backend URL")
    assert len(logged(lines, "port_is_no_model_server")) == 1


async def test_a_port_that_accepts_and_never_answers_holds_up_nobody_for_long():
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(silent, HOST, 0)
    port = listener.sockets[0].getsockname()[1]
    async with started(ports={"vllm": port}, discover_timeout_s=0.05) as (server, lines):
        assert await ids(server) == []
        assert logged(lines, "model_servers_looked_for")[0]["not_found"] == ["vllm"]
    listener.close()


async def test_nobody_looks_where_a_server_is_named():
    found, named = ScriptedBackend(models=("m1",)), ScriptedBackend(models=("m2",))
    async with (
        found.serve() as url,
        named.serve() as other,
        started(ports={"vllm": port_of(url)}, backend=[other]) as (server, lines),
    ):
        assert await ids(server) == ["m2"]
    assert logged(lines, "model_servers_looked_for") == []
    assert list(found.requests) == []


async def test_nobody_looks_where_another_plugin_names_a_server():
    found = ScriptedBackend(models=("m1",))
    other = serves(ScriptedBackend(name="other", models=("m2",)))
    async with (
        found.serve() as url,
        started(other, ports={"vllm": port_of(url)}) as (server, _),
    ):
        assert await ids(server) == ["m2"]
    assert list(found.requests) == []


async def test_the_stand_in_is_no_reason_not_to_look():
    found = ScriptedBackend(models=("m1",))
    stand_in = serves(ScriptedBackend(name="builtin", models=("famulus-builtin",)))
    async with (
        found.serve() as url,
        started(stand_in, ports={"vllm": port_of(url)}) as (server, _),
    ):
        assert await ids(server) == ["m1"]


async def test_what_only_embeds_is_no_reason_not_to_look():
    class OnlyEmbeds(ScriptedBackend):
        async def models(self) -> list[ModelCard]:
            return [ModelCard(id="e1", backend=self.name, chats=False)]

    found = ScriptedBackend(models=("m1",))
    async with (
        found.serve() as url,
        started(serves(OnlyEmbeds(name="e")), ports={"vllm": port_of(url)}) as (server, _),
    ):
        assert await ids(server) == ["e1", "m1"]


async def test_nobody_looks_where_another_plugin_names_a_server_that_is_down():
    found, down = ScriptedBackend(models=("m1",)), ScriptedBackend(name="other", models=("m2",))
    down.faults["models"] = faults.reset()
    async with (
        found.serve() as url,
        started(serves(down), ports={"vllm": port_of(url)}) as (server, _),
    ):
        assert await ids(server) == []
    assert list(found.requests) == []


async def test_nobody_looks_where_it_is_switched_off():
    found = ScriptedBackend(models=("m1",))
    async with (
        found.serve() as url,
        started(ports={"vllm": port_of(url)}, discover=False) as (server, _),
    ):
        state, reason = server.state("openai_compatible")
    assert state == "off"
    assert "--backend" in reason
    assert list(found.requests) == []


async def test_only_this_machine_is_looked_at():
    assert HOST == "127.0.0.1"
    assert set(USUAL_PORTS.values()) == {8000, 11434, 8080, 1234}
    scripted = ScriptedBackend()
    async with scripted.serve() as url:
        [server] = await listening({"vllm": port_of(url)}, 1.0)
    assert server.url.startswith("http://127.0.0.1:")
