"""Another configuration while serving: what changes, what goes on, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest

from famulus import (
    Call,
    EventStream,
    Operation,
    Plugin,
    Settings,
    encode_event,
    hookimpl,
    need,
    operation,
    operations,
)
from famulus.config import Config, load_config
from famulus.discover import found_class
from famulus.kernel import Kernel
from famulus.lifecycle import BootError
from famulus.mistakes import ConfigError
from famulus.testing.kit import Everyone, InProcess, TestServer, quiet_log
from famulus_schemas.ports import Port

pytestmark = pytest.mark.anyio

WATER: Port[str] = Port("water")
STORY: list[str] = []


class Wet(Settings, frozen=True):
    """What a reload can change."""

    taste: str = "fresh"


class Said(msgspec.Struct):
    """An answer."""

    text: str


class Told(Plugin[Wet]):
    """Writes down when it starts and stops."""

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        if self.settings.taste == "poison":
            raise OSError("nobody drinks that")
        for port in self.provides:
            self.provide(port, self.settings.taste)
        STORY.append(f"{self.name} up")
        yield
        STORY.append(f"{self.name} down")


class River(Told):
    """Provides water of a taste."""

    name = "river"
    provides = (WATER,)


class Miller(Told):
    """Serves an answer and a stream made of water."""

    name = "miller"
    water = need(WATER)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.flows = asyncio.Event()
        self.may_end = asyncio.Event()

    @hookimpl
    def register_operations(self) -> list[Operation]:
        return operations(self)

    @operation("GET", "/flour", action="flour.read")
    async def flour(self, call: Call) -> Said:
        """Say what the water tastes of."""
        return Said(text=self.water)

    @operation("GET", "/stream", action="flour.read")
    async def stream(self, call: Call) -> EventStream[Said]:
        """Stream the water."""
        return EventStream(self._frames())

    async def _frames(self) -> AsyncIterator[bytes]:
        yield encode_event(self.water.encode())
        self.flows.set()
        await self.may_end.wait()
        yield encode_event(self.water.encode())


class Baker(Told):
    """Stands apart from the others."""

    name = "baker"

    @hookimpl
    def register_operations(self) -> list[Operation]:
        return operations(self)

    @operation("GET", "/bread", action="bread.read")
    async def bread(self, call: Call) -> Said:
        """Say what it tastes of."""
        return Said(text=self.settings.taste)


class Mayfly(Told):
    """Runs until it is told to die."""

    name = "mayfly"

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        self.doom = asyncio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(self._die)
            yield
            group.cancel_scope.cancel()

    async def _die(self) -> None:
        await self.doom.wait()
        raise OSError("the day is over")


def config(tmp_path: Path, **tables: dict[str, Any]) -> Config:
    server = {"data_dir": str(tmp_path), "drain_s": 5.0} | tables.pop("server", {})
    return load_config(None, environment={}, flags={"server": server, **tables})


@asynccontextmanager
async def village(tmp_path: Path, **tables: dict[str, Any]) -> AsyncIterator[TestServer]:
    STORY.clear()
    classes: tuple[type[Plugin[Any]], ...] = (River, Miller, Baker, Mayfly, Everyone)
    found = [found_class(each) for each in classes]
    kernel = Kernel(config(tmp_path, **tables), found=found, log=quiet_log())
    await kernel.start()
    STORY.clear()
    try:
        transport = InProcess(kernel)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield TestServer(kernel, client)
    finally:
        await kernel.stop()


@asynccontextmanager
async def reading(server: TestServer) -> AsyncIterator[AsyncIterator[str]]:
    """The lines of the miller's stream, which has begun."""
    async with server.client.stream("GET", "/stream") as response:
        lines = response.aiter_lines()
        assert await anext(lines) == "data: fresh"
        yield lines


async def test_only_what_changed_is_started_again(tmp_path: Path) -> None:
    async with village(tmp_path) as server:
        before = {name: server.plugin(name) for name in ("river", "miller", "baker")}
        await server.kernel.reload(config(tmp_path, baker={"taste": "rye"}))
        assert STORY == ["baker down", "baker up"]
        assert server.plugin("river") is before["river"]
        assert server.plugin("miller") is before["miller"]
        assert server.plugin("baker") is not before["baker"]
        assert (await server.get("/bread")).json() == {"text": "rye"}


async def test_whoever_needs_what_changed_is_started_again_with_it(tmp_path: Path) -> None:
    async with village(tmp_path) as server:
        await server.kernel.reload(config(tmp_path, river={"taste": "salty"}))
        assert STORY == ["miller down", "river down", "river up", "miller up"]
        assert (await server.get("/flour")).json() == {"text": "salty"}


async def test_the_same_configuration_again_touches_nothing(tmp_path: Path) -> None:
    async with village(tmp_path) as server:
        await server.kernel.reload(config(tmp_path))
        assert STORY == []
        assert (await server.get("/flour")).json() == {"text": "fresh"}


async def test_a_plugin_can_be_disabled_and_enabled_again(tmp_path: Path) -> None:
    async with village(tmp_path) as server:
        await server.kernel.reload(config(tmp_path, baker={"enabled": False}))
        assert server.state("baker") == ("disabled", "by configuration")
        assert (await server.get("/bread")).status_code == 404
        assert (await server.get("/flour")).status_code == 200
        await server.kernel.reload(config(tmp_path))
        assert (await server.get("/bread")).status_code == 200
        assert STORY == ["baker down", "baker up"]


async def test_disabling_a_provider_blocks_whoever_needs_it(tmp_path: Path) -> None:
    async with village(tmp_path) as server:
        await server.kernel.reload(config(tmp_path, river={"enabled": False}))
        assert server.state("miller")[0] == "blocked"
        assert (await server.get("/flour")).status_code == 503


async def test_a_stream_that_began_in_the_old_world_ends_in_it(tmp_path: Path) -> None:
    async with village(tmp_path) as server:
        old = server.plugin("miller")
        async with reading(server) as lines:
            changed = config(tmp_path, river={"taste": "salty"})
            reloading = asyncio.create_task(server.kernel.reload(changed))
            while server.state("miller")[0] == "running":
                await asyncio.sleep(0)
            assert not reloading.done()
            assert STORY == []
            old.may_end.set()
            assert [line async for line in lines if line] == ["data: fresh"]
        await reloading
        assert STORY == ["miller down", "river down", "river up", "miller up"]
        assert (await server.get("/flour")).json() == {"text": "salty"}


async def test_what_is_not_part_of_the_change_serves_while_the_old_world_drains(
    tmp_path: Path,
) -> None:
    async with village(tmp_path) as server:
        old = server.plugin("miller")
        async with reading(server) as lines:
            changed = config(tmp_path, river={"taste": "salty"})
            reloading = asyncio.create_task(server.kernel.reload(changed))
            while server.state("miller")[0] == "running":
                await asyncio.sleep(0)
            assert (await server.get("/bread")).status_code == 200
            down = await server.get("/flour")
            assert down.status_code == 503
            assert "the configuration is being changed" in down.json()["error"]["message"]
            assert not reloading.done()
            old.may_end.set()
            assert [line async for line in lines if line] == ["data: fresh"]
        await reloading


async def test_a_stream_that_does_not_end_holds_a_reload_no_longer_than_the_drain(
    tmp_path: Path,
) -> None:
    async with village(tmp_path, server={"drain_s": 0.05}) as server, reading(server):
        await server.kernel.reload(config(tmp_path, river={"taste": "salty"}))
        assert STORY == ["miller down", "river down", "river up", "miller up"]
        assert (await server.get("/flour")).json() == {"text": "salty"}


async def test_a_stream_of_a_plugin_that_is_kept_outlives_the_drain(tmp_path: Path) -> None:
    async with village(tmp_path, server={"drain_s": 0.05}) as server, reading(server) as lines:
        await server.kernel.reload(config(tmp_path, baker={"taste": "rye"}))
        server.plugin("miller").may_end.set()
        assert [line async for line in lines if line] == ["data: fresh"]


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"baker": {"tast": "rye"}}, r"\[plugins.baker\] has no setting 'tast'"),
        ({"bakr": {}}, "there is no plugin 'bakr'"),
        ({"baker": {"required": True, "enabled": False}}, "baker is required, but disabled"),
    ],
)
async def test_a_configuration_that_cannot_be_is_refused_and_nothing_changes(
    tables: dict[str, dict[str, Any]], message: str, tmp_path: Path
) -> None:
    async with village(tmp_path) as server:
        with pytest.raises((ConfigError, BootError), match=message):
            await server.kernel.reload(config(tmp_path, **tables))
        assert STORY == []
        assert server.state("baker")[0] == "running"
        assert (await server.get("/flour")).status_code == 200


async def test_a_plugin_that_does_not_start_again_is_failed_and_the_others_serve(
    tmp_path: Path,
) -> None:
    async with village(tmp_path) as server:
        await server.kernel.reload(config(tmp_path, baker={"taste": "poison"}))
        assert server.state("baker") == ("failed", "OSError: nobody drinks that")
        assert (await server.get("/bread")).status_code == 503
        assert (await server.get("/flour")).status_code == 200


async def test_a_required_one_that_does_not_start_again_is_told_and_the_others_serve(
    tmp_path: Path,
) -> None:
    async with village(tmp_path) as server:
        changed = config(tmp_path, baker={"taste": "poison", "required": True})
        with pytest.raises(BootError, match="baker is required, but failed: OSError"):
            await server.kernel.reload(changed)
        assert (await server.get("/bread")).status_code == 503
        assert (await server.get("/flour")).status_code == 200
        await server.kernel.reload(config(tmp_path))
        assert (await server.get("/bread")).status_code == 200


async def test_a_plugin_that_failed_is_tried_again(tmp_path: Path) -> None:
    async with village(tmp_path, baker={"taste": "poison"}) as server:
        assert server.state("baker")[0] == "failed"
        await server.kernel.reload(config(tmp_path))
        assert server.state("baker") == ("running", "")


async def test_two_reloads_at_once_come_one_after_the_other(tmp_path: Path) -> None:
    async with village(tmp_path) as server:
        tastes = ("rye", "wheat")
        await asyncio.gather(
            *(server.kernel.reload(config(tmp_path, baker={"taste": taste})) for taste in tastes)
        )
        assert STORY == ["baker down", "baker up"] * 2
        assert (await server.get("/bread")).json() == {"text": "wheat"}


async def test_a_stop_waits_for_the_guests_of_an_older_world(tmp_path: Path) -> None:
    async with village(tmp_path) as server, reading(server) as lines:
        server.plugin("mayfly").doom.set()
        while server.state("mayfly")[0] == "running":
            await asyncio.sleep(0)
        # The stream is now a guest of the world before that death.
        stopping = asyncio.create_task(server.kernel.stop())
        assert (await server.get("/health/ready")).json()["status"] == "draining"
        for _ in range(100):
            await asyncio.sleep(0)
        assert not stopping.done()
        assert server.state("miller")[0] == "running"
        server.plugin("miller").may_end.set()
        assert [line async for line in lines if line] == ["data: fresh"]
        await stopping
        assert server.state("miller")[0] == "stopped"
