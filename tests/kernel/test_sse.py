"""Streams: one send an item, a sign of life in silence, and an end for every reader and source."""

from __future__ import annotations

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
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
from famulus.log import make_log
from famulus.sse import HEARTBEAT, OpenStreams, serve_frames
from famulus.testing import kernel_with, live_server, make_kernel

pytestmark = pytest.mark.anyio

TICK = encode_event(b"{}", name="tick")
LONG_S = 60.0


class Reader:
    """The other end of a stream: what it got, and when it leaves or stops reading."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.is_whole = False
        self.left = asyncio.Event()
        self.stops_reading: Callable[[bytes], bool] = lambda data: False

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if self.stops_reading(message["body"]):
            await asyncio.Event().wait()
        if message["more_body"]:
            self.got.append(message["body"])
        else:
            self.is_whole = True

    async def read(
        self,
        frames: AsyncIterator[bytes],
        *,
        heartbeat_s: float | None = None,
        send_s: float = LONG_S,
        among: OpenStreams | None = None,
    ) -> None:
        await serve_frames(
            frames, self.receive, self.send, heartbeat_s=heartbeat_s, send_s=send_s, among=among
        )


class Source:
    """Frames that a test hands out, and whether they were closed."""

    def __init__(self, *items: bytes) -> None:
        self.items: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.is_closed = False
        for item in items:
            self.items.put_nowait(item)

    async def frames(self) -> AsyncIterator[bytes]:
        try:
            while (item := await self.items.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.is_closed = True

    def end(self) -> None:
        self.items.put_nowait(None)


# --- frames --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "frame"),
    [
        ({}, b'data: {"a":1}\n\n'),
        ({"name": "thread.created"}, b'event: thread.created\ndata: {"a":1}\n\n'),
        ({"position": "r:1.2"}, b'id: r:1.2\ndata: {"a":1}\n\n'),
        ({"name": "n", "position": "p"}, b'id: p\nevent: n\ndata: {"a":1}\n\n'),
    ],
)
def test_a_frame_is_id_event_data(arguments: dict[str, str], frame: bytes) -> None:
    assert encode_event(b'{"a":1}', **arguments) == frame


def test_the_end_marker_has_no_name() -> None:
    assert encode_event(b"[DONE]") == b"data: [DONE]\n\n"


# --- sending -------------------------------------------------------------------------------------


async def test_streams_that_are_ended_together_are_whole_as_far_as_they_go() -> None:
    reader, source, streams = Reader(), Source(TICK), OpenStreams()
    reading = asyncio.create_task(reader.read(source.frames(), among=streams))
    async with asyncio.timeout(LONG_S):
        while not reader.got:
            await asyncio.sleep(0)
        streams.end()
        await reading
    assert reader.got == [TICK]
    assert reader.is_whole
    assert source.is_closed


async def test_an_event_that_is_being_sent_when_its_stream_is_ended_is_sent_whole() -> None:
    source, streams = Source(TICK, TICK), OpenStreams()
    taking, may_take = asyncio.Event(), asyncio.Event()

    class Slow(Reader):
        async def send(self, message: Any) -> None:
            taking.set()
            await may_take.wait()
            await super().send(message)

    reader = Slow()
    reading = asyncio.create_task(reader.read(source.frames(), among=streams))
    async with asyncio.timeout(LONG_S):
        await taking.wait()
        streams.end()
        may_take.set()
        await reading
    assert reader.got == [TICK]
    assert reader.is_whole


async def test_a_stream_that_is_over_is_not_ended_again() -> None:
    reader, source, streams = Reader(), Source(TICK), OpenStreams()
    source.end()
    await reader.read(source.frames(), among=streams)
    streams.end()
    assert reader.is_whole


async def test_each_item_is_one_send_however_many_events_it_holds() -> None:
    source, reader = Source(TICK * 3, TICK), Reader()
    source.end()
    await reader.read(source.frames())
    assert reader.got == [TICK * 3, TICK]
    assert reader.is_whole
    assert source.is_closed


async def test_a_large_item_is_sent_in_pieces_with_nothing_between() -> None:
    item = encode_event(b"x" * 300_000, name="tick")
    source, reader = Source(item), Reader()
    source.end()
    await reader.read(source.frames(), heartbeat_s=0.001)
    assert b"".join(reader.got) == item
    assert max(map(len, reader.got)) == 65_536


async def test_a_reader_that_stops_in_the_middle_of_an_item_is_dropped() -> None:
    source, reader = Source(b"x" * 300_000), Reader()
    reader.stops_reading = lambda data: len(reader.got) == 2
    await reader.read(source.frames(), send_s=0.01)
    assert len(reader.got) == 2
    assert source.is_closed


async def test_a_silent_stream_sends_a_comment_again_and_again() -> None:
    source, reader = Source(), Reader()
    reading = asyncio.create_task(reader.read(source.frames(), heartbeat_s=0.01))
    while len(reader.got) < 3:
        await asyncio.sleep(0.005)
    source.end()
    await reading
    assert reader.got == [HEARTBEAT] * len(reader.got)
    assert HEARTBEAT.startswith(b":")


async def test_a_heartbeat_never_comes_into_an_item() -> None:
    source, reader = Source(TICK), Reader()
    free = asyncio.Event()
    send = reader.send

    async def slowly(message: Any) -> None:
        if message["body"] == TICK:
            await free.wait()
        await send(message)

    reader.send = slowly  # type: ignore[method-assign]
    reading = asyncio.create_task(reader.read(source.frames(), heartbeat_s=0.005))
    await asyncio.sleep(0.05)
    assert reader.got == []
    free.set()
    source.end()
    await reading
    assert reader.got[0] == TICK


async def test_other_bodies_get_no_heartbeat() -> None:
    source, reader = Source(), Reader()
    reading = asyncio.create_task(reader.read(source.frames(), heartbeat_s=None, send_s=0.005))
    await asyncio.sleep(0.05)
    source.end()
    await reading
    assert reader.got == []
    assert reader.is_whole


async def test_a_reader_that_leaves_ends_the_stream_and_closes_its_source() -> None:
    source, reader = Source(TICK), Reader()
    reading = asyncio.create_task(reader.read(source.frames()))
    while not reader.got:
        await asyncio.sleep(0)
    reader.left.set()
    await reading
    assert source.is_closed
    assert not reader.is_whole


async def test_a_reader_that_takes_nothing_is_dropped_and_the_source_closed() -> None:
    source, reader = Source(TICK), Reader()
    reader.stops_reading = lambda data: data == TICK
    await reader.read(source.frames(), send_s=0.01)
    assert source.is_closed
    assert not reader.is_whole


async def test_a_reader_that_takes_no_heartbeat_is_dropped_too() -> None:
    source, reader = Source(TICK), Reader()
    reader.stops_reading = lambda data: data == HEARTBEAT
    await reader.read(source.frames(), heartbeat_s=0.005, send_s=0.01)
    assert reader.got == [TICK]
    assert source.is_closed


async def test_a_slow_source_is_not_a_slow_reader() -> None:
    source, reader = Source(), Reader()
    reading = asyncio.create_task(reader.read(source.frames(), send_s=0.01))
    await asyncio.sleep(0.05)
    source.items.put_nowait(TICK)
    source.end()
    await reading
    assert (reader.got, reader.is_whole) == ([TICK], True)


async def test_a_failure_in_the_middle_is_raised_and_the_source_closed() -> None:
    source, reader = Source(TICK), Reader()
    source.items.put_nowait(ConnectionError("the model is gone"))
    with pytest.raises(ConnectionError, match="the model is gone"):
        await reader.read(source.frames())
    assert reader.got == [TICK]
    assert not reader.is_whole
    assert source.is_closed


async def test_a_source_that_takes_time_to_close_is_waited_for() -> None:
    closed = asyncio.Event()

    async def frames() -> AsyncIterator[bytes]:
        try:
            yield TICK
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            closed.set()

    reader = Reader()
    reader.left.set()
    await reader.read(frames())
    assert closed.is_set()


# --- through the server --------------------------------------------------------------------------


class Streams(Plugin[NoSettings]):
    """Streams whatever the test hands out."""

    name = "streams"

    @hookimpl
    def register_operations(self) -> list[Operation]:
        return operations(self)

    @operation("POST", "/stream", action="streams.read")
    async def stream(self, call: Call) -> EventStream[dict[str, str]]:
        """Stream."""
        return EventStream(self.source.frames())

    source: Source


async def test_a_stream_says_that_nobody_may_hold_it_back() -> None:
    async with kernel_with(Streams) as server:
        source = server.plugin("streams").source = Source(TICK)
        source.end()
        async with server.stream("/stream", {}) as events:
            assert [event.name for event in await events.all()] == ["tick"]
        assert events.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert events.headers["cache-control"] == "no-store"
        assert events.headers["x-accel-buffering"] == "no"
        assert "content-length" not in events.headers
        assert source.is_closed


async def test_heartbeats_come_by_the_servers_setting() -> None:
    settings = {"server": {"heartbeat_s": 0.01}}
    async with kernel_with(Streams, settings=settings) as server:
        server.plugin("streams").source = Source()
        async with server.client.stream("POST", "/stream") as response:
            async for chunk in response.aiter_raw():
                assert chunk == HEARTBEAT
                break


async def test_leaving_closes_the_source() -> None:
    async with kernel_with(Streams) as server:
        source = server.plugin("streams").source = Source(TICK)
        async with server.stream("/stream", {}) as events:
            async for event in events:
                assert event.name == "tick"
                break
        assert source.is_closed


async def test_a_failure_in_the_middle_breaks_the_connection_and_is_logged(tmp_path: Any) -> None:
    log = io.StringIO()
    kernel = make_kernel(Streams, data_dir=tmp_path, log=make_log("info", "json", stream=log))
    async with live_server(kernel) as url, httpx.AsyncClient(base_url=url) as client:
        source = kernel.lifecycle.slots["streams"].plugin.source = Source(TICK)  # type: ignore
        source.items.put_nowait(ConnectionError("the model is gone"))
        async with client.stream("POST", "/stream") as response:
            request_id = response.headers["x-request-id"]
            chunks = response.aiter_raw()
            assert await anext(chunks) == TICK
            with pytest.raises(httpx.RemoteProtocolError):
                await anext(chunks)
        assert (await client.get("/health/live")).status_code == 200
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    [told] = [line for line in lines if line["event"] == "stream_failed"]
    assert (told["request_id"], told["plugin"]) == (request_id, "streams")


async def test_a_client_that_hangs_up_closes_the_source(tmp_path: Any) -> None:
    kernel = make_kernel(Streams, data_dir=tmp_path)
    async with live_server(kernel) as url:
        source = kernel.lifecycle.slots["streams"].plugin.source = Source(TICK)  # type: ignore
        client = httpx.AsyncClient(base_url=url)
        async with client, client.stream("POST", "/stream") as response:
            assert await anext(response.aiter_raw()) == TICK
        while not source.is_closed:
            await asyncio.sleep(0.005)


async def test_a_client_that_stops_reading_is_cut_off(tmp_path: Any) -> None:
    settings = {"server": {"send_s": 0.1, "heartbeat_s": 0.05}}
    kernel = make_kernel(Streams, data_dir=tmp_path, settings=settings)
    async with live_server(kernel) as url:
        source = kernel.lifecycle.slots["streams"].plugin.source = Source()  # type: ignore
        # More than all buffers between the two ends can hold.
        for _ in range(64):
            source.items.put_nowait(b":" + b"x" * (1 << 20) + b"\n\n")
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"POST /stream HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
            while not source.is_closed:
                await asyncio.sleep(0.005)
            # Closing politely would wait for the reader for ever; the connection is gone instead.
            with pytest.raises(ConnectionError):
                await _until_gone(client)


async def _until_gone(client: socket.socket) -> None:
    for _ in range(500):
        client.send(b"still here")
        await asyncio.sleep(0.01)
