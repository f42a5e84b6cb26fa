"""Who gets a kernel, who makes room for whom, and which kernels are kept ready."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web
from tests.plugins.remote_sandbox.played import message, played_gateway
from tests.plugins.remote_sandbox.test_remote_sandbox import opened

from famulus.testing.sandbox_conformance import cell, end
from famulus_schemas.sandbox import BoxGone, SandboxBusy

pytestmark = pytest.mark.anyio


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for it."""
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.001)


async def test_no_more_boxes_are_opened_than_there_may_be(tmp_path: Path) -> None:
    async with (
        played_gateway() as gateway,
        opened(gateway.url, tmp_path, boxes_max=1, wait_s=0.1) as sandbox,
    ):
        first = await sandbox.open("a", project="p")
        with pytest.raises(SandboxBusy, match="all 1 boxes"):
            await sandbox.open("b", project="p")
        await first.close()
        assert (await sandbox.open("b", project="p")).is_alive


async def test_a_session_that_is_opened_again_and_again_has_one_box(tmp_path: Path) -> None:
    async with (
        played_gateway() as gateway,
        opened(gateway.url, tmp_path, boxes_max=2, wait_s=0.5) as sandbox,
    ):
        others = [await sandbox.open(each, project="p") for each in ("a", "b")]
        first, second = (asyncio.create_task(sandbox.open("c", project="p")) for _ in range(2))
        with pytest.raises(SandboxBusy):
            await first
        third = asyncio.create_task(sandbox.open("c", project="p"))
        await asyncio.sleep(0)
        for each in others:
            await each.close()
        assert await second is await third


async def test_a_box_that_is_not_used_makes_room(tmp_path: Path) -> None:
    async with (
        played_gateway() as gateway,
        opened(gateway.url, tmp_path, boxes_max=1, wait_s=60, spare_s=0) as sandbox,
    ):
        first = await sandbox.open("a", project="p")
        await sandbox.open("b", project="p")
        with pytest.raises(BoxGone) as gone:
            await cell(first, "code")
        assert gone.value.why == "evicted"


async def test_a_box_that_nobody_uses_is_closed(tmp_path: Path) -> None:
    async with (
        played_gateway() as gateway,
        opened(gateway.url, tmp_path, idle_s=0.01) as sandbox,
    ):
        box = await sandbox.open("a", project="p")
        await until(lambda: not box.is_alive)
        with pytest.raises(BoxGone) as gone:
            await cell(box, "code")
        assert gone.value.why == "evicted"


async def test_a_place_is_free_again_where_no_kernel_starts(tmp_path: Path) -> None:
    async with (
        played_gateway() as gateway,
        opened(gateway.url, tmp_path, boxes_max=1, wait_s=0.1) as sandbox,
    ):
        await sandbox.probe()

        async def fails(_: web.Request) -> web.Response:
            return web.Response(status=503)

        gateway.instead["post"] = fails
        for _ in range(3):
            with pytest.raises(Exception, match="503"):
                await sandbox.open("a", project="p")
        del gateway.instead["post"]
        assert (await sandbox.open("a", project="p")).is_alive


async def test_a_kernel_is_kept_ready_and_used_by_one_session(tmp_path: Path) -> None:
    async with played_gateway() as gateway:
        async with opened(gateway.url, tmp_path, warm=1, probe_after_s=0) as sandbox:
            # Two are the probe's.
            await until(lambda: len(gateway.kernels) == 3)
            await until(lambda: len(gateway.sockets) == 3)
            first = await sandbox.open("a", project="p")
            await until(lambda: len(gateway.kernels) == 4)
            second = await sandbox.open("b", project="p")
            assert first.id != second.id
            assert end(await cell(first, "code")) == end(await cell(second, "code")) == "ok"
            await first.close()
        assert sorted(gateway.deleted) == sorted(gateway.kernels)


async def test_a_kernel_that_died_while_it_was_kept_ready_is_given_to_nobody(
    tmp_path: Path,
) -> None:
    async with played_gateway() as gateway:
        async with opened(gateway.url, tmp_path, warm=1, probe_after_s=0) as sandbox:
            await until(lambda: len(gateway.sockets) == 3)
            await until(lambda: gateway.answered.count("settle") == 3)
            await gateway.sockets[-1].send_json(message("status", "", execution_state="dead"))
            await until(lambda: "kernel-2" in gateway.deleted)
            box = await sandbox.open("a", project="p")
            assert end(await cell(box, "code")) == "ok"
        assert sorted(gateway.deleted) == sorted(gateway.kernels)


async def test_a_kernel_that_begins_when_nobody_waits_for_it_any_more_is_ended(
    tmp_path: Path,
) -> None:
    async with played_gateway() as gateway:
        asked, go = asyncio.Event(), asyncio.Event()

        async def slow(request: web.Request) -> web.StreamResponse:
            asked.set()
            await go.wait()
            return await gateway.post(request)

        async with opened(gateway.url, tmp_path) as sandbox:
            await sandbox.probe()
            gateway.instead["post"] = slow
            opening = asyncio.create_task(sandbox.open("a", project="p"))
            await asked.wait()
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            go.set()
            await until(lambda: len(list(tmp_path.rglob("kernels/kernel-2"))) == 1)
        async with opened(gateway.url, tmp_path):
            await until(lambda: "kernel-2" in gateway.deleted)
        assert sorted(gateway.deleted) == sorted(gateway.kernels)
