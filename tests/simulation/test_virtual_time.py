"""Virtual time keeps asyncio's promises, takes no real time, and stops processes at will."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.simulation.virtual_time import Process, Stuck, VirtualLoop


def test_a_long_sleep_takes_only_virtual_time() -> None:
    async def main() -> float:
        await asyncio.sleep(86_400.0)
        return asyncio.get_running_loop().time()

    assert VirtualLoop().run(main()) == 86_400.0


def test_sleepers_wake_in_the_order_of_their_times() -> None:
    woken: list[float] = []

    async def sleeper(seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append(seconds)

    async def main() -> None:
        await asyncio.gather(*(sleeper(s) for s in (3.0, 1.0, 2.0, 0.5)))

    VirtualLoop().run(main())
    assert woken == [0.5, 1.0, 2.0, 3.0]


def test_timeouts_cancel_what_takes_too_long() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.0):
                await asyncio.sleep(5.0)
        return loop.time()

    assert VirtualLoop().run(main()) == 2.0


def test_waiting_for_what_never_comes_is_told() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stuck, match="nothing will happen"):
        VirtualLoop().run(main())


def test_a_loop_without_a_pause_is_told() -> None:
    async def main() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Stuck, match="still busy"):
        VirtualLoop(callbacks_max=1000).run(main())


async def _ticks(ticks: list[float]) -> None:
    while True:
        await asyncio.sleep(1.0)
        ticks.append(asyncio.get_running_loop().time())


def test_a_frozen_process_misses_its_time_and_goes_on_late() -> None:
    ticks: list[float] = []

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        process = Process("frozen")
        loop.start(process, _ticks(ticks))
        await asyncio.sleep(2.5)
        process.is_stopped = True
        await asyncio.sleep(10.0)
        loop.resume(process)
        await asyncio.sleep(1.7)

    VirtualLoop().run(main())
    assert ticks == [1.0, 2.0, 12.5, 13.5]


def test_of_a_killed_process_nothing_runs_any_more_and_others_go_on() -> None:
    killed: list[str] = []
    others: list[float] = []

    async def victim() -> None:
        try:
            await asyncio.sleep(5.0)
            killed.append("went on")
        finally:
            killed.append("cleaned up")

    async def main() -> list[str]:
        loop: Any = asyncio.get_running_loop()
        process = Process("killed")
        loop.start(process, victim())
        loop.start(None, _ticks(others))
        await asyncio.sleep(2.5)
        process.is_stopped = True
        await asyncio.sleep(10.0)
        return list(killed)

    assert VirtualLoop().run(main()) == []
    # The end of the loop cancels what is left, so that nothing is collected in the midst of it.
    assert killed == ["cleaned up"]
    assert others == [float(second) for second in range(1, 13)]


def test_tasks_of_a_process_and_their_timers_stop_with_it() -> None:
    ticks: list[float] = []

    async def parent() -> None:
        await asyncio.create_task(_ticks(ticks))

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        process = Process("parent")
        loop.start(process, parent())
        await asyncio.sleep(1.5)
        process.is_stopped = True
        await asyncio.sleep(5.0)

    VirtualLoop().run(main())
    assert ticks == [1.0]
