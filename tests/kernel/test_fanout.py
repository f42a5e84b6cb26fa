"""Live events reach every listener, and no listener can hurt who publishes."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from famulus.fanout import Fanout, FanoutSettings
from famulus_schemas.errors import Problem
from famulus_schemas.ports import Emission, EventsStopped, Listener, ListenerDropped

pytestmark = pytest.mark.anyio


def event(name: str, size: int = 1) -> Emission:
    return Emission(name=name, data=b"x" * size)


async def heard(listener: Listener) -> list[str]:
    """Names of all events until the topic ends."""
    return [emission.name async for batch in listener for emission in batch]


async def next_batch(listener: Listener) -> Sequence[Emission]:
    return await asyncio.wait_for(anext(aiter(listener)), 5)


async def test_every_listener_hears_everything_in_order() -> None:
    fanout = Fanout(FanoutSettings())
    async with fanout.subscribe("p", "run_1") as one, fanout.subscribe("p", "run_1") as two:
        fanout.publish("p", "run_1", [event("a"), event("b")])
        fanout.publish("p", "run_1", [event("c")])
        fanout.close("p", "run_1")
        assert await heard(one) == ["a", "b", "c"]
        assert await heard(two) == ["a", "b", "c"]


async def test_what_waits_comes_as_one_batch() -> None:
    fanout = Fanout(FanoutSettings())
    async with fanout.subscribe("p", "t") as listener:
        for name in "abc":
            fanout.publish("p", "t", [event(name)])
        assert [emission.name for emission in await next_batch(listener)] == ["a", "b", "c"]


async def test_a_waiting_listener_wakes_for_a_new_event() -> None:
    fanout = Fanout(FanoutSettings())
    async with fanout.subscribe("p", "t") as listener:
        reading = asyncio.create_task(next_batch(listener))
        await asyncio.sleep(0)
        assert not reading.done()
        fanout.publish("p", "t", [event("a")])
        assert [emission.name for emission in await reading] == ["a"]


async def test_an_event_of_before_the_subscription_is_not_heard() -> None:
    fanout = Fanout(FanoutSettings())
    fanout.publish("p", "t", [event("before")])
    async with fanout.subscribe("p", "t") as listener:
        fanout.publish("p", "t", [event("after")])
        fanout.close("p", "t")
        assert await heard(listener) == ["after"]


async def test_topics_of_two_projects_never_meet() -> None:
    fanout = Fanout(FanoutSettings())
    async with fanout.subscribe("one", "run_1") as one, fanout.subscribe("two", "run_1") as two:
        fanout.publish("one", "run_1", [event("secret")])
        fanout.close("one", "run_1")
        fanout.close("two", "run_1")
        assert await heard(one) == ["secret"]
        assert await heard(two) == []


async def test_a_closed_topic_wakes_a_waiting_listener() -> None:
    fanout = Fanout(FanoutSettings())
    async with fanout.subscribe("p", "t") as listener:
        reading = asyncio.create_task(heard(listener))
        await asyncio.sleep(0)
        fanout.close("p", "t")
        assert await asyncio.wait_for(reading, 5) == []


async def test_a_closed_topic_can_be_opened_again() -> None:
    fanout = Fanout(FanoutSettings())
    async with fanout.subscribe("p", "t") as old:
        fanout.close("p", "t")
        async with fanout.subscribe("p", "t") as new:
            fanout.publish("p", "t", [event("again")])
            fanout.close("p", "t")
            assert await heard(old) == []
            assert await heard(new) == ["again"]


async def test_a_listener_with_too_many_events_waiting_is_dropped() -> None:
    fanout = Fanout(FanoutSettings(waiting_events_max=2))
    async with fanout.subscribe("p", "t") as slow, fanout.subscribe("p", "t") as quick:
        for name in "abc":
            fanout.publish("p", "t", [event(name)])
            if name == "a":
                await next_batch(quick)
        with pytest.raises(ListenerDropped, match="more than 2 events"):
            await next_batch(slow)
        assert [emission.name for emission in await next_batch(quick)] == ["b", "c"]


async def test_a_listener_with_too_many_bytes_waiting_is_dropped() -> None:
    fanout = Fanout(FanoutSettings(waiting_bytes_max=10))
    async with fanout.subscribe("p", "t") as slow:
        fanout.publish("p", "t", [event("a", 6)])
        fanout.publish("p", "t", [event("b", 6)])
        with pytest.raises(ListenerDropped, match="10 bytes"):
            await next_batch(slow)


async def test_bytes_that_were_read_do_not_count() -> None:
    fanout = Fanout(FanoutSettings(waiting_bytes_max=10))
    async with fanout.subscribe("p", "t") as listener:
        for _ in range(5):
            fanout.publish("p", "t", [event("a", 6)])
            assert len(await next_batch(listener)) == 1


async def test_one_batch_over_the_limit_reaches_a_listener_that_has_read_everything() -> None:
    fanout = Fanout(FanoutSettings(waiting_events_max=1, waiting_bytes_max=1))
    async with fanout.subscribe("p", "t") as listener:
        fanout.publish("p", "t", [event("a", 100), event("b", 100)])
        assert len(await next_batch(listener)) == 2


async def test_a_dropped_listener_holds_no_events() -> None:
    fanout = Fanout(FanoutSettings(waiting_events_max=1))

    class Watched(Emission, frozen=True, kw_only=True, weakref=True):
        """An event whose end can be seen."""

    waiting = Watched(name="a", data=b"x")
    seen = weakref.ref(waiting)
    async with fanout.subscribe("p", "t"):
        fanout.publish("p", "t", [waiting])
        del waiting
        assert seen() is not None
        fanout.publish("p", "t", [event("b")])
        gc.collect()
        assert seen() is None


async def test_a_topic_that_nobody_listens_to_takes_no_memory() -> None:
    fanout = Fanout(FanoutSettings())
    async with fanout.subscribe("p", "t"), fanout.subscribe("p", "t"):
        assert fanout.topics == 1
    fanout.publish("p", "t", [event("a")])
    assert fanout.topics == 0
    assert fanout.listeners == 0


async def test_a_dropped_listener_frees_its_topic() -> None:
    fanout = Fanout(FanoutSettings(waiting_events_max=1))
    async with fanout.subscribe("p", "t"):
        fanout.publish("p", "t", [event("a")])
        fanout.publish("p", "t", [event("b")])
        assert fanout.topics == 0


async def test_a_listener_too_many_is_refused() -> None:
    fanout = Fanout(FanoutSettings(listeners_max=1))
    async with fanout.subscribe("p", "t"):
        with pytest.raises(Problem) as refused:
            async with fanout.subscribe("p", "u"):
                pass
        assert refused.value.status == 503
        assert refused.value.body.code == "overloaded"
        assert refused.value.headers["retry-after"] == "1"
    async with fanout.subscribe("p", "u"):
        assert fanout.listeners == 1


async def test_a_cancelled_wait_loses_no_event() -> None:
    fanout = Fanout(FanoutSettings())
    async with fanout.subscribe("p", "t") as listener:
        reading = asyncio.create_task(next_batch(listener))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        fanout.publish("p", "t", [event("a")])
        assert [emission.name for emission in await next_batch(listener)] == ["a"]


async def test_a_stop_drops_every_listener() -> None:
    fanout = Fanout(FanoutSettings())
    async with fanout.subscribe("p", "t") as listener:
        fanout.publish("p", "t", [event("a")])
        fanout.stop()
        with pytest.raises(EventsStopped, match="stopped"):
            await next_batch(listener)


async def test_a_listener_after_the_stop_is_told_at_once() -> None:
    fanout = Fanout(FanoutSettings())
    fanout.stop()
    async with fanout.subscribe("p", "t") as listener:
        with pytest.raises(EventsStopped):
            await next_batch(listener)
    assert fanout.topics == 0


async def test_a_dropped_topic_has_its_listeners_read_again() -> None:
    fanout = Fanout(FanoutSettings())
    async with fanout.subscribe("p", "t") as old, fanout.subscribe("p", "u") as other:
        fanout.publish("p", "t", [event("a")])
        fanout.drop("p", "t", "something was lost")
        fanout.publish("p", "u", [event("b")])
        with pytest.raises(ListenerDropped, match="something was lost"):
            await next_batch(old)
        assert [emission.name for emission in await next_batch(other)] == ["b"]
        async with fanout.subscribe("p", "t") as new:
            fanout.publish("p", "t", [event("c")])
            assert [emission.name for emission in await next_batch(new)] == ["c"]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("sprlc"), st.integers(0, 3)), max_size=60))
def test_each_listener_hears_what_came_since_it_subscribed_or_is_dropped(
    steps: list[tuple[str, int]],
) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[tuple[str, int]]) -> None:
    """Play steps (subscribe, publish, read, leave, close) against the plainest possible model."""
    fanout = Fanout(FanoutSettings(waiting_events_max=3))
    stacks: dict[int, AsyncExitStack] = {}
    listeners: dict[int, Listener] = {}
    due: dict[int, list[str]] = {}
    state: dict[int, str] = {}
    counter = 0
    for step, who in steps:
        if step == "s" and who not in stacks:
            stacks[who] = AsyncExitStack()
            listeners[who] = await stacks[who].enter_async_context(fanout.subscribe("p", "t"))
            due[who], state[who] = [], "open"
        elif step == "p":
            batch = [event(str(counter + i)) for i in range(who)]
            counter += who
            fanout.publish("p", "t", batch)
            for each in [each for each in stacks if state[each] == "open"]:
                if batch and due[each] and len(due[each]) + len(batch) > 3:
                    due[each], state[each] = [], "dropped"
                else:
                    due[each] += [emission.name for emission in batch]
        elif step == "c":
            fanout.close("p", "t")
            state.update({each: "closed" for each in stacks if state[each] == "open"})
        elif step == "r" and who in stacks:
            if due[who]:
                names = [emission.name for emission in await next_batch(listeners[who])]
                assert names == due[who]
                due[who] = []
            elif state[who] == "dropped":
                with pytest.raises(ListenerDropped):
                    await next_batch(listeners[who])
            elif state[who] == "closed":
                with pytest.raises(StopAsyncIteration):
                    await next_batch(listeners[who])
        elif step == "l" and who in stacks:
            await stacks.pop(who).aclose()
    assert fanout.listeners == len(stacks)
    for stack in stacks.values():
        await stack.aclose()
    assert fanout.topics == 0
