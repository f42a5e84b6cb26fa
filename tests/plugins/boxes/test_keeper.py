"""Whose boxes are open, who makes room for whom, and what is kept ready."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from tests.plugins.bubblewrap.test_bubblewrap import needs_bubblewrap, opened

from famulus.testing.sandbox_conformance import SourceFailed, cell, of, pieces, read, text
from famulus_schemas.sandbox import (
    Box,
    BoxFileRefused,
    BoxGone,
    BoxLimits,
    ErrorOutput,
    Output,
    ResultOutput,
    SandboxBusy,
    SandboxUnavailable,
)

pytestmark = [pytest.mark.anyio, needs_bubblewrap]


async def gone(box: Box) -> str:
    """Why a box is gone, once it is."""
    async with asyncio.timeout(60):
        while box.is_alive:
            await asyncio.sleep(0.01)
    with pytest.raises(BoxGone) as error:
        await box.list()
    return error.value.why


async def test_no_more_boxes_are_opened_than_there_may_be(tmp_path: Path) -> None:
    async with opened(tmp_path, boxes_max=1, wait_s=0.1) as sandbox:
        first = await sandbox.open("a", project="p")
        with pytest.raises(SandboxBusy, match="all 1 boxes"):
            await sandbox.open("b", project="p")
        assert await sandbox.open("a", project="p") is first
        await first.close()
        assert (await sandbox.open("b", project="p")).is_alive


async def test_who_waits_for_a_place_gets_the_next_one(tmp_path: Path) -> None:
    async with opened(tmp_path, boxes_max=1, wait_s=60) as sandbox:
        first = await sandbox.open("a", project="p")
        waiting = asyncio.create_task(sandbox.open("b", project="p"))
        await cell(first, "1")
        assert not waiting.done()
        await first.close()
        assert (await waiting).session == "b"


async def test_a_session_that_is_opened_again_and_again_has_one_box(tmp_path: Path) -> None:
    async with opened(tmp_path, boxes_max=2, wait_s=0.5) as sandbox:
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
    async with opened(tmp_path, boxes_max=2, wait_s=60, spare_s=0) as sandbox:
        first = await sandbox.open("a", project="p")
        second = await sandbox.open("b", project="p")
        await cell(first, "1")
        third = await sandbox.open("c", project="p")
        assert await gone(second) == "evicted"
        assert first.is_alive
        assert third.is_alive
        assert sandbox.find("b", project="p") is None


async def test_a_box_that_runs_a_cell_makes_no_room(tmp_path: Path) -> None:
    async with opened(tmp_path, boxes_max=1, wait_s=0.1, spare_s=0) as sandbox:
        box = await sandbox.open("a", project="p")
        running = box.run("print('on', flush=True)\nimport time\ntime.sleep(60)")
        await anext(running)
        with pytest.raises(SandboxBusy):
            await sandbox.open("b", project="p")
        await running.aclose()  # type: ignore[attr-defined]


async def test_a_box_that_nobody_uses_is_closed(tmp_path: Path) -> None:
    async with opened(tmp_path, idle_s=0.2) as sandbox:
        box = await sandbox.open("a", project="p")
        assert await gone(box) == "evicted"


async def test_what_a_cell_leaves_running_may_take_only_so_much(tmp_path: Path) -> None:
    async with opened(tmp_path, idle_cpu_s=0.2) as sandbox:
        box = await sandbox.open("a", project="p")
        code = "import threading\ndef spin():\n    while True: pass\n"
        await cell(box, code + "threading.Thread(target=spin, daemon=True).start()")
        assert await gone(box) == "timeout"


async def test_processes_that_nobody_waits_for_take_no_more(tmp_path: Path) -> None:
    async with opened(tmp_path, idle_cpu_s=1) as sandbox:
        box = await sandbox.open("a", project="p")
        code = (
            "import os, signal, time\nif os.fork() == 0:\n"
            "    signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n    while True:\n"
            "        if os.fork() == 0:\n            begun = time.monotonic()\n"
            "            while time.monotonic() - begun < 0.05:\n                pass\n"
            "            os._exit(0)\n        try:\n            os.wait()\n"
            "        except ChildProcessError:\n            pass\n"
        )
        await cell(box, code)
        assert await gone(box) == "timeout"


async def test_what_code_wrote_before_its_process_ended_is_shown(tmp_path: Path) -> None:
    async with opened(tmp_path) as sandbox:
        box = await sandbox.open("a", project="p")
        code = "import os\nos.write(1, b'step 1\\n' * 9_000)\nos.write(2, b'why')\nos._exit(3)"
        outputs: list[Output] = []
        with pytest.raises(BoxGone):
            async for output in box.run(code):
                outputs.append(output)  # noqa: PERF401 - kept where it is ended, too.
        assert text(outputs) == "step 1\n" * 9_000
        assert text(outputs, "stderr") == "why"


async def test_a_box_that_ends_by_itself_is_gone_and_gives_its_place_back(tmp_path: Path) -> None:
    async with opened(tmp_path, boxes_max=1) as sandbox:
        box = await sandbox.open("a", project="p")
        code = "import os, threading\nthreading.Timer(0.2, lambda: os._exit(0)).start()"
        with contextlib.suppress(BoxGone):
            await cell(box, code)
        assert await gone(box) == "exited"
        assert await sandbox.open("a", project="p") is not box


async def test_without_descriptors_no_box_is_opened_and_none_is_lost(tmp_path: Path) -> None:
    async with opened(tmp_path) as sandbox:
        await sandbox.probe()
        await (await sandbox.open("a", project="p")).close()
        held = set(os.listdir("/proc/self/fd"))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + 3, hard))
        try:
            with pytest.raises(SandboxUnavailable, match="Too many open files"):
                await sandbox.open("a", project="p")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert set(os.listdir("/proc/self/fd")) == held
        assert (await sandbox.open("a", project="p")).is_alive


async def test_boxes_are_no_wider_than_the_settings(tmp_path: Path) -> None:
    async with opened(tmp_path) as sandbox:
        wide = BoxLimits(memory_bytes=10**12, files_bytes=4_000_000, tasks_max=10**6)
        box = await sandbox.open("a", project="p", limits=wide)
        code = "import resource as r\n[r.getrlimit(k)[0] for k in (r.RLIMIT_AS, r.RLIMIT_NPROC)]"
        assert of(ResultOutput, await cell(box, code))[0].text == "[150000000, 32]"
        code = "open('a', 'wb').write(bytes(5_000_000))"
        assert of(ErrorOutput, await cell(box, code))[0].name == "OSError"


async def test_a_box_is_kept_ready_and_used_once(tmp_path: Path) -> None:
    async with opened(tmp_path, warm=1, preload=("decimal",)) as sandbox:
        await sandbox.probe()
        kept: Any = sandbox
        seen: set[str] = set()
        for session in ("a", "b", "c"):
            async with asyncio.timeout(60):
                while not (warm := [each for each in kept.boxes if not each.session]):
                    await asyncio.sleep(0.01)
            box = await sandbox.open(session, project="p")
            assert box is warm[0]
            assert box.cells == 0
            await cell(box, f"x = {session!r}")
            seen.add(box.id)
        assert len(seen) == 3


async def test_all_boxes_are_closed_with_the_server(tmp_path: Path) -> None:
    async with opened(tmp_path, warm=1) as sandbox:
        box = await sandbox.open("a", project="p")
    assert await gone(box) == "closed"


async def test_a_full_box_refuses_files_and_goes_on(tmp_path: Path) -> None:
    async with opened(tmp_path, files_bytes=1_000_000) as sandbox:
        box = await sandbox.open("a", project="p")
        await cell(box, "open('much', 'wb').write(bytes(900_000))")
        with pytest.raises(BoxFileRefused, match="No space left"):
            await box.put("b", pieces(bytes(500_000)))
        with pytest.raises(BoxFileRefused, match="larger than a box"):
            await box.put("b", pieces(bytes(1_100_000)))
        assert [each.path for each in await box.list()] == ["much"]
        await box.put("b", pieces(b"fits"))
        assert await read(box, "b") == b"fits"


async def test_a_box_that_stops_answering_is_ended(tmp_path: Path) -> None:
    async with opened(tmp_path, transfer_s=0.3) as sandbox:
        box = await sandbox.open("a", project="p")
        code = "import os, signal, threading, time\ndef stop():\n    time.sleep(0.2)\n"
        code += "    os.kill(os.getpid(), signal.SIGSTOP)\nthreading.Thread(target=stop).start()"
        with contextlib.suppress(BoxGone):
            await cell(box, code)
        with pytest.raises(BoxGone) as error:
            while True:
                await box.list()
        assert error.value.why == "timeout"


async def test_a_source_that_breaks_off_in_the_middle_keeps_the_box(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield bytes(100_000)
        raise SourceFailed

    async with opened(tmp_path) as sandbox:
        box = await sandbox.open("a", project="p")
        with pytest.raises(SourceFailed):
            await box.put("a", broken())
        putting = asyncio.create_task(box.put("b", slow()))
        await asyncio.sleep(0)
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
        assert list(await box.list()) == []


async def test_whoever_gives_up_a_file_does_not_wait_for_the_box(tmp_path: Path) -> None:
    async with opened(tmp_path, transfer_s=1) as sandbox:
        box = await sandbox.open("a", project="p")
        code = "import gc, time\n"
        code += "[wire] = [o for o in gc.get_objects() if type(o).__name__ == 'Wire']\n"
        code += "def get(path, most):\n    wire.send('file', size=10**6)\n    while True:\n"
        code += "        wire.send('data', b'x')\n        time.sleep(0.05)\n"
        code += "wire.send.__func__.__globals__['get'] = get"
        await cell(box, code)
        async with asyncio.timeout(60):
            chunks = cast("AsyncGenerator[bytes]", box.get("a"))
            assert await anext(chunks) == b"x"
            await chunks.aclose()
            # It goes on all the same, and what it says is nobody's answer.
            assert box.is_alive
            assert await gone(box) == "timeout"


async def slow() -> AsyncIterator[bytes]:
    """Never ends."""
    while True:
        yield b"x"
        await asyncio.sleep(0.001)
