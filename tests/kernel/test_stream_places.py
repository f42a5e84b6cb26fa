"""Streams are so many at once, of each caller and in all; one more is told, and makes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

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
from famulus.server_settings import ServerSettings
from famulus.stream_places import StreamPlaces, wants_stream
from famulus.testing import TestServer, kernel_with
from famulus_schemas.errors import Problem
from famulus_schemas.identity import Principal

pytestmark = pytest.mark.anyio


class Ask(msgspec.Struct):
    stream: bool | None = None


class Streams(Plugin[NoSettings]):
    """Streams until it is told to end; lets everybody in by name."""

    name = "keys"

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        self.made = 0
        self.may_end = asyncio.Event()
        yield

    @hookimpl
    async def authenticate(self, headers: Headers) -> Principal | None:
        return Principal(id=headers.get("x-who", "somebody"), project="default")

    @hookimpl
    def register_operations(self) -> list[Operation]:
        return operations(self)

    @operation("GET", "/stream", action="s.read")
    async def always(self, call: Call) -> EventStream[str]:
        """Stream, always."""
        return EventStream(self._frames())

    @operation("POST", "/ask", action="s.write")
    async def asked(self, call: Call, body: Ask) -> Ask | EventStream[str]:
        """Make something, and stream if asked for it."""
        self.made += 1
        return EventStream(self._frames()) if body.stream else body

    @operation("POST", "/raw", action="s.write")
    async def raw(self, call: Call, body: dict[str, msgspec.Raw]) -> Ask | EventStream[str]:
        """The same, of a body that is kept as it came."""
        return EventStream(self._frames()) if "stream" in body else Ask()

    @operation("POST", "/broken", action="s.write")
    async def broken(self, call: Call, body: Ask) -> Ask | EventStream[str]:
        """A bug, before a stream."""
        raise RuntimeError("a bug")

    async def _frames(self) -> AsyncIterator[bytes]:
        yield encode_event(b'"begun"')
        await self.may_end.wait()


class Room:
    """A server with few places, and the streams that are open."""

    def __init__(self, server: TestServer, opened: AsyncExitStack) -> None:
        self.server = server
        self._opened = opened
        self.plugin: Streams = server.plugin("keys")

    async def open(self, who: str = "a", path: str = "/stream", **body: Any) -> httpx.Response:
        """A stream that has begun, or why it has not."""
        method = "POST" if body else "GET"
        headers = {"x-who": who}
        answer = await self._opened.enter_async_context(
            self.server.client.stream(method, path, headers=headers, json=body or None)
        )
        if answer.status_code != 200:
            await answer.aread()
        return answer

    async def statuses(self, *who: str) -> list[int]:
        return [(await self.open(each)).status_code for each in who]


@asynccontextmanager
async def room(**limits: int) -> AsyncIterator[Room]:
    settings = {"server": limits}
    async with kernel_with(Streams, settings=settings) as server, AsyncExitStack() as opened:
        yield Room(server, opened)


async def test_a_caller_has_so_many_streams_and_others_have_theirs() -> None:
    async with room(streams_per_key_max=2) as here:
        assert await here.statuses("a", "a", "a", "b", "b", "b") == [200, 200, 429, 200, 200, 429]
        refused = await here.open("a")
        assert refused.json()["error"] == {
            "message": "Your API key has 2 streams open already, which is the limit. "
            "Read some to their end, or close them.",
            "type": "requests",
            "param": None,
            "code": "rate_limit_exceeded",
        }
        assert refused.headers["retry-after"] == "5"


async def test_all_callers_together_have_so_many() -> None:
    async with room(streams_max=3) as here:
        assert await here.statuses("a", "b", "c", "d") == [200, 200, 200, 429]
        assert "This server has 3 streams" in (await here.open("d")).json()["error"]["message"]


async def test_what_is_refused_has_made_nothing() -> None:
    async with room(streams_per_key_max=1) as here:
        for path in ("/ask", "/raw"):
            assert (await here.open("a", path, stream=True)).status_code in (200, 429)
        assert (await here.open("a", "/ask", stream=True)).status_code == 429
        assert here.plugin.made == 1


async def test_answers_that_are_no_streams_need_no_place() -> None:
    async with room(streams_per_key_max=1) as here:
        assert await here.statuses("a") == [200]
        for body in ({"stream": False}, {"stream": None}):
            assert (await here.open("a", "/ask", **body)).status_code == 200


async def test_a_place_is_free_once_its_stream_has_ended_or_its_reader_has_left() -> None:
    async with kernel_with(Streams, settings={"server": {"streams_per_key_max": 1}}) as server:
        for _ in range(4):
            status = 0
            while status != 200:
                # The one before is over once the server has seen that nobody reads.
                async with server.client.stream("GET", "/stream") as left:
                    status = left.status_code
        server.plugin("keys").may_end.set()
        for _ in range(4):
            status = 0
            while status != 200:
                status = (await server.get("/stream")).status_code


async def test_what_breaks_before_its_stream_leaves_its_place() -> None:
    async with room(streams_per_key_max=1) as here:
        for _ in range(3):
            assert (await here.open("a", "/broken", stream=True)).status_code == 500
        assert await here.statuses("a") == [200]


async def test_a_new_world_knows_the_streams_of_the_old_one() -> None:
    async with room(streams_per_key_max=1) as here:
        assert await here.statuses("a") == [200]
        here.server.kernel._rebuild()
        assert await here.statuses("a", "b") == [429, 200]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60))
def test_places_are_counted_whatever_comes_and_goes(steps: list[tuple[str, bool]]) -> None:
    places = StreamPlaces(ServerSettings(streams_max=5, streams_per_key_max=3))
    taken: list[str] = []
    for caller, comes in steps:
        if comes:
            fits = len(taken) < 5 and taken.count(caller) < 3
            try:
                places.take(caller)
            except Problem:
                assert not fits
            else:
                assert fits
                taken.append(caller)
        elif caller in taken:
            places.give_back(caller)
            taken.remove(caller)
        assert len(places) == len(taken)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (None, False),
        (Ask(), False),
        (Ask(stream=True), True),
        ({}, False),
        ({"stream": msgspec.Raw(b"true")}, True),
        ({"stream": msgspec.Raw(b"false")}, False),
        (object(), False),
    ],
)
def test_a_body_says_whether_it_wants_a_stream(body: object, wanted: bool) -> None:
    assert wants_stream(body) is wanted
