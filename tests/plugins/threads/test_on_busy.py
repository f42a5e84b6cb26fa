"""Messages for a thread that a run has: behind the run, or instead of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tests.plugins.threads.conftest import Worker

from famulus.testing import TestServer, kernel_with
from famulus_schemas.messages import CreateMessage

CANCEL = {"X-Famulus-On-Busy": "cancel"}
QUEUE = {"X-Famulus-On-Busy": "queue"}


class Guest:
    """Leaves when it is asked to, and notes what it is told."""

    def __init__(self, worker: Any, *, is_stubborn: bool = False) -> None:
        self._worker = worker
        self._is_stubborn = is_stubborn
        self.evicted: list[str] = []
        self.gone: list[str] = []

    async def evict(self, project: str, thread_id: str) -> None:
        self.evicted.append(thread_id)
        if not self._is_stubborn:
            await self._worker.vacate(thread_id)

    def orphaned(self, project: str, runs: Sequence[str]) -> None:
        self.gone += runs

    def picture_refusal(self, url: str) -> str | None:
        return None


async def post(server: TestServer, thread_id: str, headers: dict[str, str]) -> Any:
    body = {"role": "user", "content": "hi"}
    return await server.post(f"/v1/threads/{thread_id}/messages", body, headers=headers)


async def test_whoever_has_the_thread_is_asked_to_leave(
    server: TestServer, worker: Any, thread_id: str
) -> None:
    await worker.occupy(thread_id)
    guest = Guest(worker)
    with worker.threads.let_to(guest):
        assert (await post(server, thread_id, {})).status_code == 400
        assert guest.evicted == []
        assert (await post(server, thread_id, CANCEL)).status_code == 200
        assert guest.evicted == [thread_id]
        assert (await post(server, thread_id, CANCEL)).status_code == 200
        assert guest.evicted == [thread_id]


async def test_one_that_never_leaves_is_not_asked_for_ever(
    server: TestServer, worker: Any, thread_id: str
) -> None:
    await worker.occupy(thread_id)
    with worker.threads.let_to(Guest(worker, is_stubborn=True)):
        refused = await post(server, thread_id, CANCEL)
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "overloaded"


async def test_where_nobody_can_be_asked_the_message_is_refused(
    server: TestServer, worker: Any, thread_id: str
) -> None:
    await worker.occupy(thread_id)
    first, second = Guest(worker), Guest(worker)
    with worker.threads.let_to(second):
        leaving = worker.threads.let_to(first)
        leaving.__enter__()
        with worker.threads.let_to(second):
            # The first one goes only when another has come in its place.
            leaving.__exit__(None, None, None)
            assert (await post(server, thread_id, CANCEL)).status_code == 200
    await worker.occupy(thread_id)
    assert (await post(server, thread_id, CANCEL)).status_code == 400
    assert (first.evicted, second.evicted) == ([], [thread_id])


async def test_runs_whose_thread_is_deleted_are_told_of(
    server: TestServer, worker: Any, thread_id: str
) -> None:
    await worker.occupy(thread_id, "run_1")
    occupancy = await worker.threads.occupancy("default", thread_id)
    await worker.commit(worker.threads.line_up(occupancy, "run_2"))
    guest = Guest(worker)
    with worker.threads.let_to(guest):
        assert (await server.delete(f"/v1/threads/{thread_id}")).status_code == 200
    assert guest.gone == ["run_1", "run_2"]


@pytest.mark.parametrize("ordered_max", [1, 2, 3, 7])
async def test_a_thread_that_is_never_free_is_told_whole_however_much_is_put_in_order_at_once(
    ordered_max: int,
) -> None:
    tables = {"threads": {"history_messages_ordered_max": ordered_max}}
    async with kernel_with("sqlite", "threads", Worker, settings=tables) as server:
        worker: Any = server.plugin("worker")
        thread_id = (await server.post("/v1/threads")).json()["id"]
        await worker.occupy(thread_id)
        posted = [(await post(server, thread_id, QUEUE)).json()["id"] for _ in range(6)]
        _, unit = worker.threads.append(thread_id, [CreateMessage(role="user", content="x")])
        await worker.commit(unit)
        told = [message.id async for message in worker.threads.history("default", thread_id)]
        assert len(told) == 7
        assert [id for id in told if id in posted] == posted[::-1]
