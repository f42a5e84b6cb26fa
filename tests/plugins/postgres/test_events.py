"""Events reach the listeners of every process; whoever may have missed some is told so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from tests.plugins.postgres.relay import Line

from famulus_postgres.envelopes import Said, channel_of, unpack
from famulus_postgres.settings import PostgresSettings
from famulus_schemas.ports import Emission, EventsStopped, Listener, ListenerDropped

pytestmark = pytest.mark.anyio

Open = Callable[..., Any]
NEVER_S = 1000.0
PATIENCE_S = 20.0


def event(name: str, size: int = 2) -> Emission:
    return Emission(name=name, data=b"x" * size)


async def next_batch(listener: Listener) -> Sequence[Emission]:
    return await asyncio.wait_for(anext(aiter(listener)), PATIENCE_S)


async def names(listener: Listener, count: int) -> list[str]:
    """The names of the next so many events."""
    found: list[str] = []
    while len(found) < count:
        found += [emission.name for emission in await next_batch(listener)]
    return found


async def heard(listener: Listener) -> list[str]:
    """Names of all events until the topic ends."""
    async with asyncio.timeout(PATIENCE_S):
        return [emission.name async for batch in listener for emission in batch]


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that another process brings about."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def listening(
    here: Any, there: Any, topic: str = "t", *, project: str = "p"
) -> AsyncIterator[Listener]:
    """A listener `here` of whom `there` knows."""
    async with here.events.subscribe(project, topic) as listener:
        await until(lambda: there.events.is_wanted(project, topic))
        yield listener


@pytest.fixture
async def two(open_events: Open) -> AsyncIterator[tuple[Any, Any]]:
    async with open_events(first_look_s=NEVER_S) as one, open_events(first_look_s=NEVER_S) as two:
        yield one, two


@pytest.fixture
def told(payloads: Callable[[], list[str]]) -> Callable[[], list[Said]]:
    """What processes have told each other of events so far."""

    def told() -> list[Said]:
        messages = [message for payload in payloads() for message in unpack(payload)[1]]
        return [message for message in messages if isinstance(message, Said)]

    return told


async def test_what_one_process_publishes_another_hears_in_order(two: tuple[Any, Any]) -> None:
    a, b = two
    async with listening(b, a) as listener:
        for n in range(300):
            a.events.publish("p", "t", [event(f"{n}.0"), event(f"{n}.1")])
            if n % 50 == 0:
                await asyncio.sleep(0.002)
        a.events.close("p", "t")
        assert await heard(listener) == [f"{n}.{m}" for n in range(300) for m in range(2)]


async def test_an_event_arrives_as_it_was_published(two: tuple[Any, Any]) -> None:
    a, b = two
    sent = [
        Emission(name="a", data='{"é":"𝕏\\n"}'.encode(), position="r:1.1.0", after="r:1.0.0"),
        Emission(name="b", data=b"[DONE]"),
        Emission(name="c", data=b"\x00\xff", position="r:1.2.0", after="r:1.1.0"),
    ]
    async with listening(b, a) as listener:
        a.events.publish("p", "t", sent)
        got: list[Emission] = []
        while len(got) < 3:
            got += await next_batch(listener)
        assert got == sent


async def test_listeners_of_the_same_process_hear_it_once(two: tuple[Any, Any]) -> None:
    a, b = two
    async with listening(b, a), a.events.subscribe("p", "t") as listener:
        a.events.publish("p", "t", [event("1")])
        a.events.publish("p", "t", [event("2")])
        a.events.publish("system", "to_b", [event("x")])
        async with listening(b, a, "later"):
            pass
        a.events.close("p", "t")
        assert await heard(listener) == ["1", "2"]


async def test_several_processes_may_publish_one_topic(open_events: Open) -> None:
    async with (
        open_events() as a,
        open_events() as b,
        open_events() as c,
        listening(c, a) as listener,
        listening(c, b) as other,
    ):
        a.events.publish("p", "t", [event("a")])
        b.events.publish("p", "t", [event("b")])
        c.events.publish("p", "t", [event("c")])
        assert sorted(await names(listener, 3)) == ["a", "b", "c"]
        assert sorted(await names(other, 3)) == ["a", "b", "c"]


async def test_what_nobody_elsewhere_listens_to_stays_in_its_process(
    two: tuple[Any, Any], told: Callable[[], list[Said]]
) -> None:
    a, b = two
    async with a.events.subscribe("p", "mine", here=True) as listener, listening(b, a, "theirs"):
        for n in range(50):
            a.events.publish("p", "mine", [event(str(n))])
        a.events.close("p", "mine")
        assert len(await heard(listener)) == 50
        a.events.publish("p", "theirs", [event("1")])
        await until(lambda: bool(told()))
        assert [said.topic for said in told()] == ["theirs"]


async def test_what_is_published_at_once_is_told_at_once(
    two: tuple[Any, Any], told: Callable[[], list[Said]]
) -> None:
    a, b = two
    async with listening(b, a) as listener:
        for n in range(100):
            a.events.publish("p", "t", [event(str(n))])
        assert len(await names(listener, 100)) == 100
        await until(lambda: bool(told()))
        assert [len(said.carried) for said in told()] == [100]


async def test_topics_of_the_system_reach_those_who_never_asked(two: tuple[Any, Any]) -> None:
    a, b = two
    async with b.events.subscribe("system", "jobs") as listener:
        assert not a.events.is_wanted("system", "jobs")
        a.events.publish("system", "jobs", [event("wake")])
        assert await names(listener, 1) == ["wake"]


async def test_topics_of_two_projects_never_meet(two: tuple[Any, Any]) -> None:
    a, b = two
    async with listening(b, a, project="one") as one, listening(b, a, project="two") as two_:
        a.events.publish("one", "t", [event("secret")])
        a.events.publish("two", "t", [event("other")])
        a.events.close("one", "t")
        a.events.close("two", "t")
        assert await heard(one) == ["secret"]
        assert await heard(two_) == ["other"]


async def test_schemas_of_one_database_do_not_hear_each_other(
    open_events: Open, settings: PostgresSettings
) -> None:
    schema = f"{settings.schema}x"
    async with (
        open_events() as a,
        open_events() as b,
        open_events(schema=schema) as other,
        b.events.subscribe("system", "jobs") as listener,
        other.events.subscribe("system", "jobs") as foreign,
    ):
        a.events.publish("system", "jobs", [event("wake")])
        assert await names(listener, 1) == ["wake"]
        other.events.publish("system", "jobs", [event("own")])
        assert await names(foreign, 1) == ["own"]


async def test_an_event_that_is_too_large_to_be_carried_drops_the_listeners_there(
    two: tuple[Any, Any],
) -> None:
    a, b = two
    async with listening(b, a) as there, a.events.subscribe("p", "t", here=True) as here:
        a.events.publish("p", "t", [event("large", 100_000)])
        with pytest.raises(ListenerDropped, match="missed"):
            await next_batch(there)
        assert await names(here, 1) == ["large"]
        async with b.events.subscribe("p", "t") as again:
            a.events.publish("p", "t", [event("small")])
            assert await names(again, 1) == ["small"]


async def test_more_than_may_wait_to_be_told_drops_the_listeners_there(open_events: Open) -> None:
    settings = {"first_look_s": NEVER_S, "notify_waiting_bytes_max": 10_000}
    async with (
        open_events(**settings) as a,
        open_events(**settings) as b,
        listening(b, a) as there,
        listening(b, a, "u") as beside,
    ):
        for n in range(20):
            a.events.publish("p", "t", [event(str(n), 1000)])
        with pytest.raises(ListenerDropped):
            await heard(there)
        a.events.publish("p", "u", [event("on")])
        assert await names(beside, 1) == ["on"]


async def test_a_listener_is_known_until_it_leaves_and_then_forgotten(open_events: Open) -> None:
    settings = {"interest_s": 0.3, "first_look_s": 0.05}
    async with open_events(**settings) as a, open_events(**settings) as b:
        async with listening(b, a):
            await asyncio.sleep(0.9)
            await until(lambda: bool(a.events.is_wanted("p", "t")))
        await until(lambda: not a.events.is_wanted("p", "t"))
        await until(lambda: len(b.events) == 0 and len(a.events) == 0)


async def test_a_process_that_comes_later_learns_who_listens(open_events: Open) -> None:
    settings = {"first_look_s": NEVER_S, "interest_s": NEVER_S}
    async with (
        open_events(**settings) as first,
        open_events(**settings) as b,
        listening(b, first) as listener,
        open_events(**settings) as late,
    ):
        await until(lambda: bool(late.events.is_wanted("p", "t")))
        late.events.publish("p", "t", [event("a")])
        assert await names(listener, 1) == ["a"]


async def test_a_listener_of_a_quiet_topic_is_made_to_look(open_events: Open) -> None:
    async with open_events(first_look_s=0.02) as b, b.events.subscribe("p", "t") as listener:
        with pytest.raises(ListenerDropped, match="missed"):
            await next_batch(listener)


async def test_a_listener_of_what_is_published_here_is_never_made_to_look(
    open_events: Open,
) -> None:
    async with (
        open_events(first_look_s=0.02, interest_s=0.06) as a,
        a.events.subscribe("p", "t", here=True) as listener,
    ):
        await asyncio.sleep(0.4)
        a.events.publish("p", "t", [event("a")])
        assert await names(listener, 1) == ["a"]


async def test_a_dropped_topic_drops_only_the_listeners_here(two: tuple[Any, Any]) -> None:
    a, b = two
    async with listening(b, a) as there, a.events.subscribe("p", "t", here=True) as here:
        a.events.drop("p", "t")
        with pytest.raises(ListenerDropped):
            await next_batch(here)
        a.events.publish("p", "t", [event("a")])
        assert await names(there, 1) == ["a"]


async def test_a_topic_with_too_long_a_name_stays_in_its_process(two: tuple[Any, Any]) -> None:
    a, b = two
    name = "x" * 600
    async with b.events.subscribe("system", name) as there:
        async with a.events.subscribe("system", name) as here:
            a.events.publish("system", name, [event("a")])
            assert await names(here, 1) == ["a"]
        async with b.events.subscribe("system", "short") as beside:
            a.events.publish("system", "short", [event("b")])
            assert await names(beside, 1) == ["b"]
        b.events.publish("system", name, [event("own")])
        assert await names(there, 1) == ["own"]


async def test_what_is_published_right_before_the_end_is_still_told(open_events: Open) -> None:
    async with open_events() as b, AsyncExitStack() as stack:
        a = await stack.enter_async_context(open_events(notify_pause_s=0.05))
        async with b.events.subscribe("system", "jobs") as listener:
            for n in range(3):
                a.events.publish("system", "jobs", [event(str(n))])
                await asyncio.sleep(0.01)
            await stack.aclose()
            assert await names(listener, 3) == ["0", "1", "2"]


async def test_listeners_are_dropped_for_good_at_the_end(open_events: Open) -> None:
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(open_events())
        listener = await stack.enter_async_context(a.events.subscribe("p", "t"))
        stack.pop_all()
        await a.running.end()
        with pytest.raises(EventsStopped):
            await next_batch(listener)


# --- the line ---------------------------------------------------------------------------------


async def test_a_lost_line_is_made_anew_and_listeners_are_told_to_read_again(
    two: tuple[Any, Any], cut_lines: Callable[[], Any]
) -> None:
    a, b = two
    async with (
        listening(b, a) as there,
        b.events.subscribe("system", "jobs") as system,
        b.events.subscribe("p", "own", here=True) as own,
    ):
        await cut_lines()
        for listener in (there, system):
            with pytest.raises(ListenerDropped, match="missed"):
                await next_batch(listener)
        b.events.publish("p", "own", [event("1")])
        assert await names(own, 1) == ["1"]
    await until(lambda: not a.running.down and not b.running.down)
    async with listening(b, a) as again:
        a.events.publish("p", "t", [event("a")])
        assert await names(again, 1) == ["a"]
    assert "postgres_line_lost" in b.logged()
    assert "postgres_line_back" in b.logged()


async def test_what_was_published_without_a_line_is_known_to_be_lost(
    open_events: Open, line: Line
) -> None:
    settings = {"first_look_s": NEVER_S, "interest_s": NEVER_S}
    async with open_events(**settings) as b, open_events(dsn=line.dsn, **settings) as a:
        async with listening(b, a) as there:
            line.cut_all()
            await until(lambda: bool(a.running.down))
            a.events.publish("p", "t", [event("a")])
            a.events.close("p", "t")
            assert a.running.health().status == "degraded"
            assert "not heard" in a.running.health().detail
            line.is_down = False
            with pytest.raises(ListenerDropped, match="missed"):
                await next_batch(there)
        async with listening(b, a) as again:
            a.events.publish("p", "t", [event("b")])
            assert await names(again, 1) == ["b"]
        assert a.running.health().status == "ok"


async def test_what_was_on_its_way_when_the_line_was_lost_is_known_to_be_lost(
    open_events: Open, line: Line
) -> None:
    settings = {"first_look_s": NEVER_S, "interest_s": NEVER_S}
    async with (
        open_events(**settings) as b,
        open_events(dsn=line.dsn, **settings) as a,
        listening(b, a, "sent") as sent,
        listening(b, a, "waiting") as waiting,
    ):
        line.hold()
        a.events.publish("p", "sent", [event("a")])
        # It is taken and sent into the void; the next has to wait for its answer.
        await asyncio.sleep(0.2)
        a.events.publish("p", "waiting", [event("b")])
        line.cut_all()
        await until(lambda: bool(a.running.down))
        line.is_down = False
        line.go_on()
        for listener in (sent, waiting):
            with pytest.raises(ListenerDropped, match="missed"):
                await next_batch(listener)


async def test_without_a_server_events_still_reach_the_listeners_here(
    open_events: Open, line: Line
) -> None:
    line.cut_all()
    async with open_events(dsn=line.dsn, close_s=0.1) as a:
        async with a.events.subscribe("p", "t") as listener:
            a.events.publish("p", "t", [event("a")])
            assert await names(listener, 1) == ["a"]
        assert a.running.health().status == "degraded"


async def test_a_line_is_tried_while_nothing_is_told(open_events: Open, line: Line) -> None:
    async with open_events(dsn=line.dsn, line_beat_s=0.05, statement_s=0.2) as a:
        line.hold()
        await until(lambda: bool(a.running.down))
        line.go_on()
        await until(lambda: not a.running.down)


async def test_a_stranger_s_payload_is_logged_and_hurts_nothing(
    two: tuple[Any, Any], run: Any, settings: PostgresSettings
) -> None:
    a, b = two
    async with listening(b, a) as listener:
        await run("select pg_notify($1, 'hello')", channel_of(settings.schema))
        a.events.publish("p", "t", [event("a")])
        assert await names(listener, 1) == ["a"]
        await until(lambda: "postgres_event_unreadable" in b.logged())


async def test_health_says_when_no_further_listener_fits(open_events: Open) -> None:
    async with open_events(listeners_max=1) as a:
        assert a.running.health().status == "ok"
        async with a.events.subscribe("p", "t"):
            assert "listeners_max" in a.running.health().detail
