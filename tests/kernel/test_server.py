"""The server on a real socket: what it refuses before it is a request, and how it stops."""

from __future__ import annotations

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from famulus import (
    Call,
    EventStream,
    NoSettings,
    Operation,
    Plugin,
    encode_event,
    hookimpl,
    operation,
    operations,
)
from famulus.kernel import Kernel
from famulus.lifecycle import BootError
from famulus.log import make_log
from famulus.mistakes import ConfigError
from famulus.server import Server
from famulus.testing import live_server, make_kernel

pytestmark = pytest.mark.anyio


class Text(msgspec.Struct):
    """A body, and an answer."""

    text: str


class Echo(Plugin[NoSettings]):
    """Says what it is told, and streams as long as it is told."""

    name = "echo"

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        self.is_streaming = asyncio.Event()
        self.may_end = asyncio.Event()
        yield

    @hookimpl
    def register_operations(self) -> list[Operation]:
        return operations(self)

    @operation("POST", "/echo", action="echo.write")
    async def echo(self, call: Call, body: Text) -> Text:
        """Say it."""
        return body

    @operation("GET", "/stream", action="echo.read")
    async def stream(self, call: Call) -> EventStream[Text]:
        """Stream."""
        return EventStream(self._frames())

    async def _frames(self) -> AsyncIterator[bytes]:
        yield encode_event(b'"begun"')
        self.is_streaming.set()
        await self.may_end.wait()
        yield encode_event(b'"ended"')


class Nobody(Plugin[NoSettings]):
    """Takes the place of the keys, and knows none."""

    name = "keys"


class Connection:
    """A client that says what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *lines: str, end: bool = True) -> None:
        self.writer.write("\r\n".join(lines).encode() + (b"\r\n\r\n" if end else b""))

    async def rest(self) -> tuple[int, dict[str, Any]]:
        """Status and JSON of the answer after which the server closes."""
        data = await self.reader.read()
        head, _, body = data.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), json.loads(body)

    async def answer(self) -> int:
        """The status of an answer after which the connection stays open."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if b"content-length" in line
        )
        await self.reader.readexactly(length)
        return int(head.split(b" ")[1])


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()
        await asyncio.wait([asyncio.ensure_future(writer.wait_closed())])


@asynccontextmanager
async def serving(
    tmp_path: Path, *plugins: type[Plugin[Any]], **limits: Any
) -> AsyncIterator[tuple[str, Kernel]]:
    chosen = plugins or (Echo,)
    kernel = make_kernel(*chosen, data_dir=tmp_path, settings={"server": limits})
    async with live_server(kernel) as url:
        yield url, kernel


# --- before it is a request ----------------------------------------------------------------------


@pytest.mark.parametrize("sent", ["", "GET /echo HT", "GET /echo HTTP/1.1\r\nhost: x\r\nx-half: "])
async def test_headers_that_never_end_are_answered_408_and_closed(
    sent: str, tmp_path: Path
) -> None:
    async with serving(tmp_path, header_s=0.1) as (url, _), connected(url) as client:
        client.send(sent, end=False)
        status, body = await client.rest()
        assert (status, body["error"]["code"]) == (408, "request_timeout")
        assert "within 0.1 seconds" in body["error"]["message"]


async def test_the_headers_of_a_second_request_have_the_same_limit(tmp_path: Path) -> None:
    async with serving(tmp_path, header_s=0.1) as (url, _), connected(url) as client:
        client.send("GET /health/live HTTP/1.1", "host: x")
        assert await client.answer() == 200
        client.send("GET /health/live HTTP/1.1", "x-half: ", end=False)
        assert (await client.rest())[0] == 408


async def test_a_kept_connection_may_idle_longer_than_headers_may_take(tmp_path: Path) -> None:
    async with serving(tmp_path, header_s=0.05) as (url, _), connected(url) as client:
        client.send("GET /health/live HTTP/1.1", "host: x")
        assert await client.answer() == 200
        await asyncio.sleep(0.15)
        client.send("GET /health/live HTTP/1.1", "host: x")
        assert await client.answer() == 200


@pytest.mark.parametrize(
    "lines",
    [
        ["GET /health/live HTTP/1.1", "x-large: " + "x" * 2000],
        ["GET /health/live HTTP/1.1", *(f"x-many-{at}: y" for at in range(200))],
        ["GET /health/live?" + "x" * 2000 + " HTTP/1.1", "host: x"],
    ],
)
async def test_headers_over_the_limit_are_431(lines: list[str], tmp_path: Path) -> None:
    async with serving(tmp_path, header_bytes_max=1000) as (url, _), connected(url) as client:
        client.send(*lines)
        status, body = await client.rest()
        assert (status, body["error"]["code"]) == (431, "headers_too_large")


async def test_one_header_without_an_end_is_431_before_its_time_is_over(tmp_path: Path) -> None:
    limits = {"header_bytes_max": 1000, "header_s": 300}
    async with serving(tmp_path, **limits) as (url, _), connected(url) as client:
        client.send("GET / HTTP/1.1", "x-endless: " + "x" * 2000, end=False)
        assert (await client.rest())[0] == 431


async def test_a_body_is_no_header(tmp_path: Path) -> None:
    async with serving(tmp_path, header_bytes_max=1000) as (url, _):
        async with httpx.AsyncClient(base_url=url) as client:
            answer = await client.post("/echo", json={"text": "x" * 5000})
        assert (answer.status_code, len(answer.json()["text"])) == (200, 5000)


async def test_what_is_not_http_is_400_in_the_one_error_form(tmp_path: Path) -> None:
    async with serving(tmp_path) as (url, _), connected(url) as client:
        client.send("\x16\x03\x01 not http")
        status, body = await client.rest()
        assert (status, body["error"]["code"]) == (400, "invalid_http")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("GET /echo HTTP/1.1\r\nx-half: ", 408),
        ("GET /echo HTTP/1.1\r\nx-large: " + "x" * 2000 + "\r\n\r\n", 431),
        ("\x16\x03\x01 not http\r\n\r\n", 400),
    ],
)
async def test_what_is_refused_before_it_is_a_request_has_an_id_too_under_which_it_is_logged(
    sent: str, status: int, tmp_path: Path
) -> None:
    out = io.StringIO()
    limits = {"header_s": 0.1, "header_bytes_max": 1000}
    log = make_log("info", "json", stream=out)
    kernel = make_kernel(Echo, data_dir=tmp_path, settings={"server": limits}, log=log)
    async with live_server(kernel) as url, connected(url) as client:
        client.send(sent, end=False)
        head, _, _ = (await client.reader.read()).decode().partition("\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
    [refused] = [json.loads(line) for line in out.getvalue().splitlines() if "refused" in line]
    assert headers["x-request-id"].startswith("req_")
    assert (refused["event"], refused["status"]) == ("request_refused", status)
    assert refused["request_id"] == headers["x-request-id"]


async def test_a_refused_request_keeps_the_id_that_its_client_gave_it(tmp_path: Path) -> None:
    async with serving(tmp_path, header_bytes_max=1000) as (url, _), connected(url) as client:
        client.send("GET / HTTP/1.1", "x-request-id: mine-1", "x-large: " + "x" * 2000)
        assert b"x-request-id: mine-1\r\n" in await client.reader.read()


async def test_connections_over_the_limit_are_503_and_the_others_go_on(tmp_path: Path) -> None:
    async with serving(tmp_path, connections_max=1) as (url, _), connected(url) as first:
        first.send("GET /health/live HTTP/1.1", "host: x")
        assert await first.answer() == 200
        async with connected(url) as second:
            second.send("GET /health/live HTTP/1.1", "host: x")
            status, body = await second.rest()
        assert (status, body["error"]["code"]) == (503, "overloaded")
        first.send("GET /health/live HTTP/1.1", "host: x")
        assert await first.answer() == 200


# --- bodies --------------------------------------------------------------------------------------


async def test_a_huge_body_of_a_stranger_is_refused_before_any_of_it_is_sent(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, Echo, Nobody) as (url, _), connected(url) as client:
        client.send("POST /echo HTTP/1.1", "host: x", f"content-length: {1 << 30}")
        status, body = await client.rest()
        assert status == 401
        assert "API key" in body["error"]["message"]


async def test_a_body_that_stops_arriving_is_408(tmp_path: Path) -> None:
    async with serving(tmp_path, body_s=0.1) as (url, _), connected(url) as client:
        client.send("POST /echo HTTP/1.1", "host: x", "content-length: 100", "", '{"te', end=False)
        assert (await client.rest())[0] == 408


async def test_a_chunked_body_over_the_limit_is_413_though_it_has_no_length(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, body_bytes_max=1000) as (url, _), connected(url) as client:
        client.send("POST /echo HTTP/1.1", "host: x", "transfer-encoding: chunked")
        client.writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
        assert (await client.rest())[0] == 413


async def test_a_connection_is_kept_after_an_answer_to_a_whole_request(tmp_path: Path) -> None:
    async with serving(tmp_path) as (url, _), connected(url) as client:
        body = '{"text":"x"}'
        for _ in range(3):
            client.send(
                "POST /echo HTTP/1.1",
                "host: x",
                f"content-length: {len(body)}",
                "",
                body,
                end=False,
            )
            assert await client.answer() == 200


async def test_head_has_no_body_on_the_wire(tmp_path: Path) -> None:
    async with serving(tmp_path) as (url, _), connected(url) as client:
        client.send("HEAD /health/live HTTP/1.1", "host: x")
        await client.reader.readuntil(b"\r\n\r\n")
        client.send("GET /health/live HTTP/1.1", "host: x")
        assert await client.answer() == 200


# --- stopping ------------------------------------------------------------------------------------


async def test_a_stop_lets_a_stream_end_by_itself(tmp_path: Path) -> None:
    kernel = make_kernel(Echo, data_dir=tmp_path)
    serving = live_server(kernel)
    url = await serving.__aenter__()
    echo = kernel.lifecycle.slots["echo"].plugin
    async with httpx.AsyncClient(base_url=url) as client, client.stream("GET", "/stream") as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == 'data: "begun"'
        stopping = asyncio.create_task(serving.__aexit__(None, None, None))
        await asyncio.sleep(0.2)
        assert kernel.lifecycle.slots["echo"].state == "running"
        echo.may_end.set()  # type: ignore[union-attr]
        assert 'data: "ended"' in [line async for line in lines]
    await stopping
    assert kernel.lifecycle.slots["echo"].state == "stopped"


async def test_a_stream_that_does_not_end_holds_a_stop_no_longer_than_the_drain_and_is_ended_whole(
    tmp_path: Path,
) -> None:
    kernel = make_kernel(Echo, data_dir=tmp_path, settings={"server": {"drain_s": 1}})
    async with live_server(kernel) as url:
        client = httpx.AsyncClient(base_url=url, timeout=30)
        answer = await client.send(client.build_request("GET", "/stream"), stream=True)
        lines = answer.aiter_lines()
        assert await anext(lines) == 'data: "begun"'
    assert kernel.lifecycle.slots["echo"].state == "stopped"
    # Ended after a whole event, as an answer ends: a broken one would raise here.
    assert [line async for line in lines] == [""]
    await client.aclose()


# --- starting ------------------------------------------------------------------------------------


async def test_a_port_that_is_taken_stops_the_server_without_ending_the_process(
    tmp_path: Path,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        kernel = make_kernel(
            Echo, data_dir=tmp_path, settings={"server": {"port": taken.getsockname()[1]}}
        )
        ready: list[str] = []
        server = Server(kernel, on_ready=ready.append)
        with pytest.raises(BootError, match="address already in use"):
            await server._serve()
        assert (server.started, ready) == (False, [])
        assert kernel.lifecycle.slots == {}


async def test_a_name_that_is_no_host_of_this_machine_is_told(tmp_path: Path) -> None:
    kernel = make_kernel(Echo, data_dir=tmp_path, settings={"server": {"host": "no.invalid"}})
    with pytest.raises(BootError, match=r"could not listen on no\.invalid:8400: .*--host"):
        await Server(kernel, on_ready=print)._serve()


async def test_localhost_is_served_at_every_address_that_it_has(tmp_path: Path) -> None:
    kernel = make_kernel(Echo, data_dir=tmp_path, settings={"server": {"host": "localhost"}})
    async with live_server(kernel) as url, httpx.AsyncClient() as client:
        assert (await client.get(f"{url}/health/live")).status_code == 200


async def test_a_boot_that_is_refused_keeps_its_reason(tmp_path: Path) -> None:
    settings = {"echo": {"required": True, "enabled": False}}
    kernel = make_kernel(Echo, data_dir=tmp_path, settings=settings)
    with pytest.raises(RuntimeError, match="plugin echo is required, but disabled"):
        async with live_server(kernel):
            pass
    assert isinstance(kernel.failure, BootError)


async def test_a_data_dir_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    kernel = make_kernel(Echo, data_dir=tmp_path / "file" / "data")
    with pytest.raises(ConfigError, match=r"data_dir .* cannot be made: Not a directory"):
        await kernel.start()
