from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from famulus_postgres.pool import Pool
from famulus_schemas.records import StoreUnavailable

pytestmark = pytest.mark.anyio


class Connection:
    """A connection whose statements last until the test lets them end."""

    def __init__(self, number: int, server: Server) -> None:
        self.number = number
        self.is_ended = False
        self._server = server

    async def fetch(self, statement: str, *values: Any) -> Sequence[Any]:
        self._server.begun.append(statement)
        await self._server.may_end.wait()
        if statement == "wrong":
            raise asyncpg.UndefinedColumnError("no such column")
        if statement == "cut":
            self.is_ended = True
            raise ConnectionResetError
        return [self.number]

    def is_closed(self) -> bool:
        return self.is_ended

    def terminate(self) -> None:
        self.is_ended = True


class Server:
    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self.begun: list[str] = []
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.is_down = False

    async def connect(self) -> Connection:
        await asyncio.sleep(0)
        if self.is_down:
            raise ConnectionRefusedError
        self.connections.append(Connection(len(self.connections), self))
        return self.connections[-1]

    def pool(self, **changes: Any) -> Pool:
        limits = {"size_min": 0, "size_max": 2, "waiting_max": 100, "idle_s": 60.0} | changes
        return Pool(self.connect, **limits)


@pytest.fixture
async def server() -> Server:
    return Server()


async def begin(pool: Pool, *statements: str) -> list[asyncio.Task[Sequence[Any]]]:
    """Start reads, one after the other, and let each come as far as it can."""
    tasks = []
    for statement in statements:
        tasks.append(asyncio.create_task(pool.fetch(statement, ())))
        for _ in range(10):
            await asyncio.sleep(0)
    return tasks


async def test_a_connection_is_used_again(server: Server) -> None:
    async with server.pool().opened() as pool:
        for _ in range(5):
            assert await pool.fetch("a", ()) == [0]
    assert len(server.connections) == 1


async def test_the_first_connections_are_there_before_the_first_read(server: Server) -> None:
    async with server.pool(size_min=2).opened():
        assert len(server.connections) == 2


async def test_no_more_connections_are_open_than_allowed(server: Server) -> None:
    server.may_end.clear()
    async with server.pool(size_max=3).opened() as pool:
        tasks = await begin(pool, *"abcdefgh")
        assert server.begun == ["a", "b", "c"]
        server.may_end.set()
        await asyncio.gather(*tasks)
    assert len(server.connections) == 3


async def test_who_waits_is_served_in_turn_and_before_who_comes_later(server: Server) -> None:
    server.may_end.clear()
    async with server.pool(size_max=1).opened() as pool:

        async def twice() -> None:
            await pool.fetch("first", ())
            await pool.fetch("again", ())

        eager = asyncio.create_task(twice())
        waiting = await begin(pool, "a", "b")
        server.may_end.set()
        await asyncio.gather(eager, *waiting)
    assert server.begun == ["first", "a", "b", "again"]


async def test_reads_beyond_what_may_wait_are_refused(server: Server) -> None:
    server.may_end.clear()
    async with server.pool(size_max=1, waiting_max=2).opened() as pool:
        tasks = await begin(pool, "a", "b", "c")
        with pytest.raises(StoreUnavailable, match="2 reads wait"):
            await pool.fetch("d", ())
        server.may_end.set()
        await asyncio.gather(*tasks)


async def test_a_reader_that_gives_up_while_it_waits_harms_nobody(server: Server) -> None:
    server.may_end.clear()
    async with server.pool(size_max=1).opened() as pool:
        first, second, third = await begin(pool, "a", "b", "c")
        second.cancel()
        server.may_end.set()
        assert await first == await third == [0]
        assert await pool.fetch("d", ()) == [0]
    assert server.begun == ["a", "c", "d"]


async def test_a_reader_that_gives_up_just_as_its_turn_comes_passes_it_on(server: Server) -> None:
    server.may_end.clear()
    async with server.pool(size_max=1).opened() as pool:

        async def read_and_cancel_the_next() -> None:
            await pool.fetch("a", ())
            second.cancel()

        first = asyncio.create_task(read_and_cancel_the_next())
        await asyncio.sleep(0)
        second, third = await begin(pool, "b", "c")
        server.may_end.set()
        await first
        assert await third == [0]
    assert "b" not in server.begun


async def test_a_statement_that_is_given_up_costs_its_connection_and_no_other(
    server: Server,
) -> None:
    server.may_end.clear()
    async with server.pool(size_max=1).opened() as pool:
        (task,) = await begin(pool, "slow")
        (waiting,) = await begin(pool, "a")
        task.cancel()
        server.may_end.set()
        assert await waiting == [1]
    assert server.connections[0].is_ended


async def test_a_wrong_statement_leaves_its_connection_usable(server: Server) -> None:
    async with server.pool().opened() as pool:
        with pytest.raises(asyncpg.UndefinedColumnError):
            await pool.fetch("wrong", ())
        assert await pool.fetch("a", ()) == [0]


async def test_a_cut_connection_is_replaced(server: Server) -> None:
    async with server.pool(size_max=1).opened() as pool:
        with pytest.raises(ConnectionResetError):
            await pool.fetch("cut", ())
        assert await pool.fetch("a", ()) == [1]


async def test_a_connection_that_ended_while_idle_is_not_used(server: Server) -> None:
    async with server.pool(size_max=1).opened() as pool:
        await pool.fetch("a", ())
        server.connections[0].is_ended = True
        assert await pool.fetch("b", ()) == [1]


async def test_a_connection_that_was_idle_too_long_is_not_used(server: Server) -> None:
    async with server.pool(size_min=1, idle_s=0.0).opened() as pool:
        assert await pool.fetch("a", ()) == [1]
    assert server.connections[0].is_ended


async def test_connections_that_a_burst_left_are_closed(server: Server) -> None:
    server.may_end.clear()
    async with server.pool(size_max=3, size_min=1, idle_s=0.0).opened() as pool:
        tasks = await begin(pool, "a", "b", "c")
        server.may_end.set()
        await asyncio.gather(*tasks)
        assert sum(not connection.is_ended for connection in server.connections) == 1


async def test_a_failed_connect_gives_its_place_to_the_next(server: Server) -> None:
    server.is_down = True
    async with server.pool(size_max=1).opened() as pool:
        outcomes = await asyncio.gather(
            *(pool.fetch("a", ()) for _ in range(5)), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [ConnectionRefusedError] * 5
        server.is_down = False
        assert await pool.fetch("b", ()) == [0]


async def test_nothing_is_open_after_the_end(server: Server) -> None:
    server.may_end.clear()
    async with server.pool().opened() as pool:
        tasks = await begin(pool, "a", "b", "c")
    server.may_end.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(outcomes[2], StoreUnavailable)
    assert all(connection.is_ended for connection in server.connections)
    with pytest.raises(StoreUnavailable):
        await pool.fetch("late", ())
