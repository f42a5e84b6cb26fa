"""What goes by its age, what waits, and where a sweep goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from famulus import NoSettings, Plugin, hookimpl
from famulus.plugin import Host
from famulus.testing import FixedClock, TestServer, kernel_with
from famulus_retention.background import Background
from famulus_retention.lease import Lease, LeaseLost
from famulus_schemas.identity import Principal
from famulus_schemas.ports import THREADS
from famulus_schemas.records import Unit, Write

pytestmark = pytest.mark.anyio

DAY_S = 86_400
PLUGINS = ("sqlite", "events", "jobs", "local_blobs", "files", "threads", "retention")
STORES = ("extraction", "models", "builtin", "embeddings", "exact_vectors", "vector_stores")


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@asynccontextmanager
async def server_of(clock: FixedClock, *more: Any, **retention: Any) -> AsyncIterator[TestServer]:
    """A server whose sweeps are due whenever a day has passed."""
    settings = {"retention": {"pause_s": 0.0, **retention}}
    async with kernel_with(*PLUGINS, *more, settings=settings, clock=clock) as server:
        # The first sweep is made at the start: it must not be taken for that of a test.
        while background(server) is not None and not background(server).ended_at:
            await asyncio.sleep(0.01)
        yield server


def background(server: TestServer) -> Background:
    found: Background = server.plugin("retention").background
    return found


async def after(server: TestServer, clock: FixedClock, days: float) -> dict[str, int]:
    """What a sweep deletes so many days later."""
    clock.move(days * DAY_S)
    assert await background(server).sweep()
    return background(server).last.deleted()


async def thread(server: TestServer, *words: str, project: str = "default") -> str:
    messages = [{"role": "user", "content": word} for word in words]
    headers = {"x-test-project": project}
    response = await server.post("/v1/threads", {"messages": messages}, headers=headers)
    return str(response.json()["id"])


async def file(server: TestServer, text: bytes = b"text") -> str:
    form = {"purpose": "assistants"}
    response = await server.post("/v1/files", data=form, files={"file": ("a.txt", text)})
    return str(response.json()["id"])


async def status(server: TestServer, path: str, project: str = "default") -> int:
    return (await server.get(path, headers={"x-test-project": project})).status_code


async def blobs(server: TestServer) -> int:
    return len([blob async for blob in server.plugin("retention").blobs.stored()])


async def test_without_settings_everything_is_kept(clock: FixedClock) -> None:
    async with server_of(clock) as server:
        assert server.plugin("retention").background is None
        assert server.plugin("retention").gauges() is not None


async def test_a_thread_goes_so_long_after_its_newest_message(clock: FixedClock) -> None:
    async with server_of(clock, threads_days=30) as server:
        old, empty = await thread(server, "Hello."), await thread(server)
        assert await after(server, clock, 29) == {}
        message = {"role": "user", "content": "Are you still there?"}
        assert (await server.post(f"/v1/threads/{old}/messages", message)).status_code == 200
        assert await after(server, clock, 2) == {"threads": 1}
        assert await status(server, f"/v1/threads/{empty}") == 404
        assert await status(server, f"/v1/threads/{old}") == 200
        assert await after(server, clock, 29) == {"threads": 1}
        assert await status(server, f"/v1/threads/{old}/messages") == 404


async def test_a_thread_that_a_run_has_waits(clock: FixedClock) -> None:
    async with server_of(clock, threads_days=1) as server:
        id = await thread(server, "Hello.")
        service = server.kernel.lifecycle.services.get(THREADS)
        records = server.plugin("retention").records.of("default")
        await records.commit(service.occupy(id, "run_1"))
        assert await after(server, clock, 2) == {}
        assert background(server).last["threads"].in_use == 1
        occupancy = await service.occupancy("default", id)
        unit, _ = service.leave(occupancy, "run_1")
        await records.commit(unit)
        assert await after(server, clock, 1) == {"threads": 1}


class Meanwhile(Plugin[NoSettings]):
    """Does something once between the last look at what is old and the commit that deletes it."""

    name = "meanwhile"
    actions = ("threads.delete", "files.delete", "vector_stores.delete", "containers.delete")

    def __init__(self, settings: NoSettings, host: Host) -> None:
        super().__init__(settings, host)
        self.does: Callable[[], Awaitable[Any]] | None = None

    @hookimpl
    async def join_unit(self, principal: Principal, action: str, unit: Unit) -> list[Write]:
        does = self.does
        if does is not None and principal.id == "retention" and action in self.actions:
            self.does = None
            await does()
        return []


async def test_a_message_that_was_taken_is_not_swept_away(clock: FixedClock) -> None:
    async with server_of(clock, Meanwhile, threads_days=1) as server:
        id, other = await thread(server, "Hello."), await thread(server)
        clock.move(2 * DAY_S)

        async def post() -> None:
            message = {"role": "user", "content": "Are you still there?"}
            response = await server.post(f"/v1/threads/{id}/messages", message)
            assert response.status_code == 200

        server.plugin("meanwhile").does = post
        assert await after(server, clock, 0) == {"threads": 1}
        assert background(server).last["threads"].in_use == 1
        assert await status(server, f"/v1/threads/{other}") == 404
        messages = (await server.get(f"/v1/threads/{id}/messages")).json()["data"]
        said = [message["content"][0]["text"]["value"] for message in messages]
        assert said == ["Are you still there?", "Hello."]
        assert await after(server, clock, 2) == {"threads": 1}


async def test_a_message_for_a_thread_that_is_swept_just_then_is_refused(clock: FixedClock) -> None:
    class First(Plugin[NoSettings]):
        """Has the sweep be faster than a message."""

        name = "first"

        @hookimpl
        async def join_unit(self, principal: Principal, action: str, unit: Unit) -> list[Write]:
            if action == "messages.create":
                assert await after(server, clock, 2) == {"threads": 1}
            return []

    async with server_of(clock, First, threads_days=1) as server:
        id = await thread(server, "Hello.")
        message = {"role": "user", "content": "Are you still there?"}
        assert (await server.post(f"/v1/threads/{id}/messages", message)).status_code == 404


async def test_a_file_that_comes_into_a_store_just_then_stays(clock: FixedClock) -> None:
    async with server_of(clock, *STORES, Meanwhile, files_days=7) as server:
        id = await file(server)
        store = (await server.post("/v1/vector_stores", {})).json()["id"]

        async def attach() -> None:
            where = f"/v1/vector_stores/{store}/files"
            assert (await server.post(where, {"file_id": id})).status_code == 200

        server.plugin("meanwhile").does = attach
        assert await after(server, clock, 8) == {}
        assert background(server).last["files"].in_use == 1
        assert await status(server, f"/v1/files/{id}") == 200
        assert await status(server, f"/v1/vector_stores/{store}/files/{id}") == 200


@pytest.mark.parametrize("kind", ["vector_stores", "containers"])
async def test_a_store_or_container_that_gets_a_file_just_then_stays(
    clock: FixedClock, kind: str
) -> None:
    ages = {f"{kind}_days": 1}
    week = {"anchor": "last_active_at"}
    week |= {"days": 7} if kind == "vector_stores" else {"minutes": 7 * 24 * 60}
    async with server_of(clock, *STORES, "containers", Meanwhile, **ages) as server:
        response = await server.post(f"/v1/{kind}", {"name": "mine", "expires_after": week})
        assert response.status_code == 200, response.text
        id = response.json()["id"]
        new = await file(server)

        async def fill() -> None:
            where = f"/v1/{kind}/{id}/files"
            assert (await server.post(where, {"file_id": new})).status_code == 200

        server.plugin("meanwhile").does = fill
        assert await after(server, clock, 2) == {}
        assert background(server).last[kind].in_use == 1
        assert len((await server.get(f"/v1/{kind}/{id}/files")).json()["data"]) == 1


async def test_a_file_goes_with_its_content(clock: FixedClock) -> None:
    async with server_of(clock, files_days=7) as server:
        id = await file(server, b"12345")
        assert await after(server, clock, 6) == {}
        assert await after(server, clock, 2) == {"files": 1}
        assert background(server).last["files"].bytes == 5
        assert await status(server, f"/v1/files/{id}") == 404
        while await blobs(server):
            await asyncio.sleep(0.01)


async def test_a_file_waits_until_no_vector_store_has_it(clock: FixedClock) -> None:
    async with server_of(clock, *STORES, files_days=7) as server:
        id = await file(server)
        store = (await server.post("/v1/vector_stores", {"file_ids": [id]})).json()["id"]
        assert await after(server, clock, 8) == {}
        assert background(server).last["files"].in_use == 1
        assert await status(server, f"/v1/files/{id}") == 200
        gone = await server.delete(f"/v1/vector_stores/{store}/files/{id}")
        assert gone.status_code == 200
        assert await after(server, clock, 1) == {"files": 1}


async def test_a_vector_store_goes_so_long_after_its_last_use(clock: FixedClock) -> None:
    async with server_of(clock, *STORES, vector_stores_days=7) as server:
        used, unused = [
            (await server.post("/v1/vector_stores", {"name": "a store"})).json()["id"]
            for _ in range(2)
        ]
        clock.move(6 * DAY_S)
        attached = {"file_id": await file(server)}
        assert (await server.post(f"/v1/vector_stores/{used}/files", attached)).status_code == 200
        assert await after(server, clock, 2) == {"vector_stores": 1}
        assert await status(server, f"/v1/vector_stores/{unused}") == 404
        assert await status(server, f"/v1/vector_stores/{used}") == 200


async def test_projects_may_have_ages_of_their_own(clock: FixedClock) -> None:
    projects = {"short": {"threads_days": 1}, "ever": {"threads_days": 0}}
    async with server_of(clock, threads_days=30, projects=projects) as server:
        ids = {each: await thread(server, project=each) for each in ("short", "ever", "default")}

        async def there() -> set[str]:
            return {
                each
                for each, id in ids.items()
                if await status(server, f"/v1/threads/{id}", each) == 200
            }

        assert await after(server, clock, 2) == {"threads": 1}
        assert await there() == {"ever", "default"}
        assert await after(server, clock, 29) == {"threads": 1}
        assert await there() == {"ever"}


async def test_a_project_alone_may_have_an_age(clock: FixedClock) -> None:
    async with server_of(clock, projects={"short": {"threads_days": 1}}) as server:
        await thread(server, project="short")
        await thread(server)
        assert await after(server, clock, 900) == {"threads": 1}


async def test_a_sweep_looks_at_no_more_than_a_batch_at_once(clock: FixedClock) -> None:
    async with server_of(clock, threads_days=1, batch_max=3) as server:
        for _ in range(10):
            await thread(server)
        assert await after(server, clock, 2) == {"threads": 10}


async def test_what_is_young_ends_the_look(clock: FixedClock) -> None:
    async with server_of(clock, threads_days=1, batch_max=2) as server:
        for _ in range(3):
            await thread(server)
        clock.move(DAY_S)
        for _ in range(20):
            await thread(server)
        assert await after(server, clock, 0.5) == {"threads": 3}
        assert background(server).last["threads"].looked_at == 3


async def test_a_sweep_goes_on_where_it_was(clock: FixedClock, tmp_path: Path) -> None:
    settings = {"retention": {"pause_s": 0.0, "threads_days": 1, "batch_max": 2}}
    async with kernel_with(*PLUGINS, settings=settings, clock=clock, data_dir=tmp_path) as server:
        for _ in range(6):
            await thread(server)
        clock.move(2 * DAY_S)
        lease: Lease = server.plugin("retention").lease
        place = await lease.take(due_s=0)
        assert place is not None
        # As if four had been looked at, and then the process had died.
        records = await server.plugin("retention").records.scan("thread")
        await lease.note(kind="threads", after_seq=records[3].seq)
    async with kernel_with(*PLUGINS, settings=settings, clock=clock, data_dir=tmp_path) as server:
        while background(server).ended_at == 0:
            await asyncio.sleep(0.01)
        assert background(server).last.deleted() == {"threads": 2}
        # What was left behind is found by the next.
        assert await after(server, clock, 1) == {"threads": 4}


async def test_one_process_sweeps_at_a_time(clock: FixedClock) -> None:
    async with kernel_with("sqlite", "retention", clock=clock) as server:
        records = server.plugin("retention").records
        shared = _Shared(records)
        one = Lease(shared, holder="one", lease_s=60)
        two = Lease(shared, holder="two", lease_s=60)
        assert await one.take(due_s=10) is not None
        assert await two.take(due_s=10) is None
        clock.move(50)
        await one.note(kind="threads", after_seq=7)
        clock.move(50)
        assert await two.take(due_s=10) is None
        clock.move(11)
        taken = await two.take(due_s=10)
        assert taken is not None
        assert (taken.kind, taken.after_seq) == ("threads", 7)
        with pytest.raises(LeaseLost):
            await one.note(kind="threads", after_seq=9)
        await two.end()
        assert await one.take(due_s=10) is None
        clock.move(11)
        assert await one.take(due_s=10) is not None
        await one.let_go()
        assert await two.take(due_s=10) is not None


class _Shared:
    """The same store, as one that other processes have open."""

    exclusive = False

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


async def test_gauges_tell_what_went_and_what_waits(clock: FixedClock) -> None:
    async with server_of(clock, threads_days=1, files_days=1) as server:
        await thread(server)
        await file(server, b"123")
        await after(server, clock, 2)
        gauges = {gauge.name: gauge.read() for gauge in background(server).gauges()}
        assert gauges["famulus_retention_deleted_total"] == {("threads",): 1, ("files",): 1}
        assert gauges["famulus_retention_freed_bytes_total"] == 3
        assert gauges["famulus_retention_last_sweep_seconds"] == clock()
        assert gauges["famulus_retention_sweeping"] == 0


async def test_who_deletes_is_told_to_those_who_join(clock: FixedClock) -> None:
    heard: list[tuple[str, str]] = []

    class Listener(Plugin[NoSettings]):
        """Joins every unit."""

        name = "listener"

        @hookimpl
        async def join_unit(self, principal: Principal, action: str, unit: Any) -> list[Any]:
            heard.append((principal.id, action))
            return []

    async with server_of(clock, Listener, threads_days=1) as server:
        await thread(server)
        await after(server, clock, 2)
        assert heard[-1] == ("retention", "threads.delete")
