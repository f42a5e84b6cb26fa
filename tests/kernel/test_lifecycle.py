"""Plugins from found to stopped: their order, their states, and the reason for each."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, cast

import anyio
import msgspec
import pytest

from famulus import (
    Call,
    CannotStart,
    NoSettings,
    Operation,
    Plugin,
    Settings,
    hookimpl,
    need,
    operation,
    operations,
    want,
)
from famulus.lifecycle import BootError
from famulus.log import make_log
from famulus.mistakes import ConfigError
from famulus.testing import TestServer, kernel_with, make_kernel
from famulus_schemas.notices import Notice, PluginChanged
from famulus_schemas.ports import EVENTS, Events, Port

pytestmark = pytest.mark.anyio

WATER: Port[str] = Port("water")
MILL: Port[str] = Port("mill")

Story = list[str]


def made(
    name: str,
    story: Story | None = None,
    *,
    needs: tuple[Port[Any], ...] = (),
    wants: tuple[Port[Any], ...] = (),
    provides: tuple[Port[Any], ...] = (),
    fills: tuple[Port[Any], ...] | None = None,
    stand_in: bool = False,
    by_choice: bool = False,
    start: Callable[[], Any] | None = None,
    stop: Callable[[], Any] | None = None,
) -> type[Plugin[Any]]:
    """A plugin that writes down when it starts and stops, and does what it is told there."""
    told = [] if story is None else story
    filled = provides if fills is None else fills

    @asynccontextmanager
    async def lifespan(self: Plugin[Any]) -> AsyncIterator[None]:
        if start is not None:
            await start()
        for port in filled:
            self.provide(port, f"{port.name} of {name}")
        told.append(f"{name} up")
        yield
        if stop is not None:
            await stop()
        told.append(f"{name} down")

    body: dict[str, Any] = {
        "name": name,
        "provides": provides,
        "stand_in": stand_in,
        "by_choice": by_choice,
        "lifespan": lifespan,
        "__doc__": f"The {name} of a test.",
    }
    body |= {f"need_{port.name}": need(port) for port in needs}
    body |= {f"want_{port.name}": want(port) for port in wants}
    return type(name.capitalize(), (Plugin,), body)


def fails(error: Exception) -> Callable[[], Any]:
    async def failing() -> None:
        raise error

    return failing


# --- order ---------------------------------------------------------------------------------------


async def test_providers_start_before_those_who_need_them_and_stop_after() -> None:
    story: Story = []
    baker = made("baker", story, needs=(MILL,))
    miller = made("miller", story, needs=(WATER,), provides=(MILL,))
    river = made("river", story, provides=(WATER,))
    async with kernel_with(baker, miller, river):
        assert story == ["river up", "miller up", "baker up"]
    assert story[3:] == ["baker down", "miller down", "river down"]


async def test_a_wanted_port_starts_before_where_somebody_provides_it() -> None:
    story: Story = []
    angler = made("angler", story, wants=(WATER,))
    river = made("river", story, provides=(WATER,))
    async with kernel_with(angler, river) as server:
        assert story == ["river up", "angler up"]
        assert server.plugin("angler").want_water == "water of river"


async def test_a_wanted_port_that_nobody_provides_is_none() -> None:
    async with kernel_with(made("angler", wants=(WATER,))) as server:
        assert server.state("angler") == ("running", "")
        assert server.plugin("angler").want_water is None


async def test_plugins_that_do_not_need_each_other_start_by_name() -> None:
    story: Story = []
    async with kernel_with(*(made(name, story) for name in ("cat", "ant", "bee"))):
        assert story == ["ant up", "bee up", "cat up"]


async def test_whoever_gathers_a_hook_starts_after_those_who_answer_it() -> None:
    story: Story = []

    class Router(made("a_router", story)):  # type: ignore[misc]
        """Asks for backends as it starts."""

        gathers: ClassVar[tuple[str, ...]] = ("register_backends",)

    class Backend(made("backend", story)):  # type: ignore[misc]
        """Brings a backend."""

        @hookimpl
        def register_backends(self) -> list[Any]:
            return []

    async with kernel_with(Router, Backend):
        assert story == ["backend up", "a_router up"]


async def test_a_cycle_refuses_to_boot_and_is_printed(tmp_path: Path) -> None:
    chicken = made("chicken", needs=(WATER,), provides=(MILL,))
    egg = made("egg", needs=(MILL,), provides=(WATER,))
    with pytest.raises(ConfigError, match=r"plugins need each other: .*chicken.* -> .*egg"):
        make_kernel(chicken, egg, data_dir=tmp_path).plan()


async def test_the_order_is_the_same_each_time(tmp_path: Path) -> None:
    plugins = [made(name, needs=(WATER,)) for name in ("zoe", "amy", "bob")]
    river = made("river", provides=(WATER,))
    orders = []
    for chosen in ([*plugins, river], [river, *reversed(plugins)]):
        story: Story = []
        again = [made(each.name, story, needs=(WATER,)) for each in chosen if each is not river]
        async with kernel_with(*again, made("river", story, provides=(WATER,))):
            orders.append(story[:])
    assert orders[0] == orders[1] == ["river up", "amy up", "bob up", "zoe up"]


# --- one task a plugin ---------------------------------------------------------------------------


async def test_both_ends_of_a_lifespan_run_in_one_task_of_its_own(tmp_path: Path) -> None:
    tasks: list[Any] = []

    async def note() -> None:
        tasks.append(asyncio.current_task())

    kernel = make_kernel(made("one", start=note, stop=note), data_dir=tmp_path)
    await asyncio.create_task(kernel.start())
    await asyncio.create_task(kernel.stop())
    assert len(tasks) == 2
    assert tasks[0] is tasks[1]


async def test_a_lifespan_may_hold_a_task_group_though_another_task_stops_it(
    tmp_path: Path,
) -> None:
    ended = []

    class Holder(Plugin[NoSettings]):
        """Holds a task group, whose scope only the task that entered it may leave."""

        name = "holder"

        @asynccontextmanager
        async def lifespan(self) -> AsyncIterator[None]:
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep_forever)
                yield
                group.cancel_scope.cancel()
            ended.append("cleanly")

    kernel = make_kernel(Holder, data_dir=tmp_path)
    await asyncio.create_task(kernel.start())
    assert kernel.lifecycle.slots["holder"].state == "running"
    await asyncio.create_task(kernel.stop())
    assert ended == ["cleanly"]
    assert kernel.lifecycle.slots["holder"].reason == ""


# --- states and reasons --------------------------------------------------------------------------


async def test_a_plugin_that_cannot_start_is_failed_and_the_others_run() -> None:
    bad = made("bad", start=fails(OSError("no such device")))
    async with kernel_with(bad, made("good")) as server:
        assert server.state("bad") == ("failed", "OSError: no such device")
        assert server.state("good") == ("running", "")


async def test_whoever_needs_a_failed_plugin_is_blocked_with_its_reason() -> None:
    river = made("river", provides=(WATER,), start=fails(OSError("dried up")))
    miller = made("miller", needs=(WATER,), provides=(MILL,))
    baker = made("baker", needs=(MILL,))
    async with kernel_with(river, miller, baker) as server:
        state, reason = server.state("miller")
        assert state == "blocked"
        assert reason == "needs water, whose plugin river is failed (OSError: dried up)"
        state, reason = server.state("baker")
        assert state == "blocked"
        assert reason.startswith("needs mill, whose plugin miller is blocked (needs water")


async def test_a_need_that_no_plugin_provides_blocks() -> None:
    async with kernel_with(made("miller", needs=(WATER,))) as server:
        assert server.state("miller") == (
            "blocked",
            "needs water, which no enabled plugin provides",
        )


async def test_a_port_filled_before_the_failure_is_withdrawn() -> None:
    class HalfRiver(Plugin[NoSettings]):
        """Fills its port and then fails."""

        name = "river"
        provides = (WATER,)

        @asynccontextmanager
        async def lifespan(self) -> AsyncIterator[None]:
            self.provide(WATER, "mud")
            raise OSError("the dam broke")
            yield

    async with kernel_with(HalfRiver, made("miller", needs=(WATER,))) as server:
        assert server.state("river")[0] == "failed"
        assert server.state("miller")[0] == "blocked"


async def test_a_promised_port_that_is_not_filled_is_a_failure() -> None:
    async with kernel_with(made("river", provides=(WATER,), fills=())) as server:
        assert server.state("river") == (
            "failed",
            "LookupError: its lifespan did not fill water",
        )


async def test_a_plugin_that_takes_too_long_to_start_is_failed() -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    settings = {"server": {"start_s": 0.05}}
    async with kernel_with(made("slow", start=never), made("good"), settings=settings) as server:
        assert server.state("slow") == ("failed", "did not start within 0.05 s (server.start_s)")
        assert server.state("good")[0] == "running"


async def test_a_plugin_that_takes_too_long_to_stop_is_cut_off(tmp_path: Path) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    story: Story = []
    plugins = (made("slow", story, stop=never), made("good", story))
    kernel = make_kernel(*plugins, data_dir=tmp_path, settings={"server": {"stop_s": 0.05}})
    await kernel.start()
    await kernel.stop()
    assert kernel.lifecycle.slots["slow"].reason == "did not stop within 0.05 s (server.stop_s)"
    assert "good down" in story


async def test_a_failure_to_stop_is_told_and_stops_nobody_else(tmp_path: Path) -> None:
    story: Story = []
    plugins = (made("bad", story, stop=fails(OSError("stuck"))), made("a_good", story))
    kernel = make_kernel(*plugins, data_dir=tmp_path)
    await kernel.start()
    await kernel.stop()
    assert kernel.lifecycle.slots["bad"].state == "stopped"
    assert kernel.lifecycle.slots["bad"].reason == "OSError: stuck"
    assert "a_good down" in story


async def test_a_disabled_plugin_is_not_even_imported(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text("raise SystemExit('imported')")
    from famulus.config import load_config
    from famulus.kernel import Kernel

    config = load_config(
        None,
        environment={"FAMULUS_LOUD__ENABLED": "false"},
        flags={"server": {"plugins_dir": str(tmp_path), "data_dir": str(tmp_path / "data")}},
    )
    slot = Kernel(config).plan()["loud"]
    assert (slot.state, slot.reason) == ("disabled", "by configuration")


async def test_a_plugin_may_say_that_it_has_nothing_to_do() -> None:
    class Gate(Settings, frozen=True):
        url: str | None = None

    class Idle(Plugin[Gate]):
        """Off without a URL."""

        name = "idle"

        @classmethod
        def off_because(cls, settings: Gate) -> str | None:
            return None if settings.url else "no url is configured"

    async with kernel_with(Idle) as server:
        assert server.state("idle") == ("off", "no url is configured")
    async with kernel_with(Idle, settings={"idle": {"url": "http://x"}}) as server:
        assert server.state("idle") == ("running", "")


async def test_a_stand_in_stays_off_where_another_provides_the_port() -> None:
    pond = made("pond", provides=(WATER,), stand_in=True)
    river = made("river", provides=(WATER,))
    angler = made("angler", needs=(WATER,))
    async with kernel_with(pond, angler) as server:
        assert server.plugin("angler").need_water == "water of pond"
    async with kernel_with(pond, river, angler) as server:
        assert server.state("pond") == ("off", "river does its job")
        assert server.plugin("angler").need_water == "water of river"


async def test_one_by_choice_fills_a_port_only_where_it_is_named() -> None:
    pond = made("pond", provides=(WATER,), stand_in=True)
    canal = made("canal", provides=(WATER,), by_choice=True)
    angler = made("angler", wants=(WATER,))
    async with kernel_with(pond, canal, angler) as server:
        assert server.state("canal") == ("off", "pond does its job")
        assert server.plugin("angler").want_water == "water of pond"
    async with kernel_with(pond, canal, angler, ports={"water": "canal"}) as server:
        assert server.state("pond") == ("off", "canal does its job")
        assert server.plugin("angler").want_water == "water of canal"
    async with kernel_with(canal, angler) as server:
        assert server.state("canal") == ("off", "[ports] does not name it")
        assert server.plugin("angler").want_water is None


async def test_two_providers_of_one_port_refuse_to_boot_and_say_what_to_set(
    tmp_path: Path,
) -> None:
    rivers = (made("rhine", provides=(WATER,)), made("rhone", provides=(WATER,)))
    with pytest.raises(ConfigError, match=r'both provide water; .*\[ports\] water = "NAME"'):
        make_kernel(*rivers, data_dir=tmp_path).plan()


async def test_configuration_settles_which_of_two_fills_a_port() -> None:
    plugins = (
        made("rhine", provides=(WATER,)),
        made("rhone", provides=(WATER,)),
        made("angler", needs=(WATER,)),
    )
    for chosen, other in (("rhine", "rhone"), ("rhone", "rhine")):
        async with kernel_with(*plugins, ports={"water": chosen}) as server:
            assert server.plugin("angler").need_water == f"water of {chosen}"
            assert server.state(other) == ("off", f"{chosen} does its job")


async def test_a_port_left_to_another_stays_empty_for_whoever_fills_it_too() -> None:
    sea = made("sea", provides=(WATER, MILL))
    river = made("river", provides=(WATER,))
    angler = made("angler", needs=(WATER, MILL))
    async with kernel_with(sea, river, angler, ports={"water": "river"}) as server:
        assert server.plugin("angler").need_water == "water of river"
        assert server.plugin("angler").need_mill == "mill of sea"


@pytest.mark.parametrize(
    ("ports", "message"),
    [
        ({"wine": "river"}, r"\[ports\]: nobody provides 'wine'; there are \['water'\]"),
        ({"water": "lake"}, "there is no plugin 'lake'; there are everyone, river"),
        ({"water": "everyone"}, r"\[ports\] water = 'everyone', but it is loaded"),
    ],
)
def test_a_wrong_choice_of_port_refuses_to_boot(
    ports: Mapping[str, str], message: str, tmp_path: Path
) -> None:
    kernel = make_kernel(made("river", provides=(WATER,)), data_dir=tmp_path, ports=ports)
    with pytest.raises(ConfigError, match=message):
        kernel.plan()


# --- required ------------------------------------------------------------------------------------

REQUIRED = {"bad": {"required": True}}


async def test_a_required_plugin_that_fails_refuses_to_boot_and_stops_what_had_started(
    tmp_path: Path,
) -> None:
    story: Story = []
    plugins = (made("a_first", story), made("bad", story, start=fails(OSError("no"))))
    kernel = make_kernel(*plugins, data_dir=tmp_path, settings=REQUIRED)
    with pytest.raises(BootError, match="plugin bad is required, but failed: OSError: no"):
        await kernel.start()
    assert story == ["a_first up", "a_first down"]


async def test_a_required_plugin_that_is_blocked_refuses_to_boot(tmp_path: Path) -> None:
    kernel = make_kernel(made("bad", needs=(WATER,)), data_dir=tmp_path, settings=REQUIRED)
    with pytest.raises(BootError, match="plugin bad is required, but blocked: needs water"):
        await kernel.start()


def test_a_required_plugin_that_is_disabled_refuses_to_boot(tmp_path: Path) -> None:
    settings = {"bad": {"required": True, "enabled": False}}
    kernel = make_kernel(made("bad"), data_dir=tmp_path, settings=settings)
    with pytest.raises(BootError, match="plugin bad is required, but disabled"):
        kernel.plan()


async def test_a_required_plugin_whose_operations_clash_refuses_to_boot(tmp_path: Path) -> None:
    clash = {"zz_second": {"required": True}}
    kernel = make_kernel(serving("first"), serving("zz_second"), data_dir=tmp_path, settings=clash)
    with pytest.raises(BootError, match="GET /thing is served by plugin first already"):
        await kernel.start()


# --- dying while running -------------------------------------------------------------------------


class Said(msgspec.Struct):
    """What a test's operation answers."""

    by: str


def serving(name: str) -> type[Plugin[Any]]:
    class Serving(Plugin[NoSettings]):
        """Serves one operation."""

        @hookimpl
        def register_operations(self) -> list[Operation]:
            return operations(self)

        @operation("GET", "/thing", action="thing.read")
        async def get_thing(self, call: Call) -> Said:
            return Said(by=self.name)

    Serving.name = name
    return Serving


class Mortal(Plugin[NoSettings]):
    """Provides water until its background task dies."""

    name = "mortal"
    provides = (WATER,)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        self.doom = asyncio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch)
            self.provide(WATER, "while it lasts")
            yield
            group.cancel_scope.cancel()

    async def _watch(self) -> None:
        await self.doom.wait()
        raise ConnectionError("the well is dry")


class Drinker(serving("drinker")):  # type: ignore[misc]
    """Serves as long as there is water."""

    water = need(WATER)


class Witness(Plugin[NoSettings]):
    """Hears what becomes of the others."""

    name = "witness"

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        self.heard: dict[str, str] = {}
        self.has_heard = asyncio.Event()
        yield

    @hookimpl
    async def on_event(self, event: Notice) -> None:
        if isinstance(event, PluginChanged):
            self.heard[event.plugin] = event.state
            if len(self.heard) == 2:
                self.has_heard.set()


@asynccontextmanager
async def after_a_death() -> AsyncIterator[TestServer]:
    async with kernel_with(Mortal, Drinker, Witness, made("bystander")) as server:
        assert (await server.get("/thing")).status_code == 200
        server.plugin("mortal").doom.set()
        await server.plugin("witness").has_heard.wait()
        yield server


async def test_a_plugin_that_dies_while_running_is_failed_with_the_reason() -> None:
    async with after_a_death() as server:
        assert server.state("mortal") == (
            "failed",
            "stopped by itself: ConnectionError: the well is dry",
        )
        assert server.state("bystander")[0] == "running"


async def test_whoever_needs_a_plugin_that_died_is_blocked_and_answers_503() -> None:
    async with after_a_death() as server:
        state, reason = server.state("drinker")
        assert state == "blocked"
        assert "the well is dry" in reason
        answer = await server.get("/thing")
        assert answer.status_code == 503
        assert "'drinker', which is blocked" in answer.json()["error"]["message"]


async def test_other_plugins_are_told_of_a_death_and_of_whom_it_blocks() -> None:
    async with after_a_death() as server:
        assert server.plugin("witness").heard == {"mortal": "failed", "drinker": "blocked"}


async def test_the_port_of_a_plugin_that_died_is_empty() -> None:
    async with after_a_death() as server:
        with pytest.raises(LookupError, match="nobody provides water"):
            _ = server.plugin("drinker").water


# --- what a plugin may reach ---------------------------------------------------------------------


async def test_only_declared_ports_can_be_reached() -> None:
    async with kernel_with(made("river", provides=(WATER,)), made("thief")) as server:
        with pytest.raises(LookupError, match=r"thief uses water without need\(\) or want\(\)"):
            server.plugin("thief").host.services.get(WATER)


async def test_only_promised_ports_can_be_filled() -> None:
    async with kernel_with(made("liar")) as server:
        with pytest.raises(LookupError, match="liar fills water, not in its provides"):
            server.plugin("liar").provide(WATER, "wine")


async def test_one_that_raises_when_it_is_made_is_failed_alone() -> None:
    class Hasty(Plugin[NoSettings]):
        """Raises too early."""

        name = "hasty"

        def __init__(self, *arguments: Any) -> None:
            raise ValueError("not yet")

    async with kernel_with(Hasty, made("good")) as server:
        assert server.state("hasty") == ("failed", "ValueError: not yet")
        assert server.state("good")[0] == "running"


async def test_a_provider_that_failed_is_tried_again_until_it_starts() -> None:
    class Late(Plugin[NoSettings]):
        """Fills a port, but not at the first two attempts."""

        name = "late"
        provides = (EVENTS,)
        attempts = 0

        @asynccontextmanager
        async def lifespan(self) -> AsyncIterator[None]:
            Late.attempts += 1
            if Late.attempts < 3:
                raise ConnectionError("not there yet")
            self.provide(EVENTS, cast(Events, object()))
            yield

    class Needs(Plugin[NoSettings]):
        """Needs what comes late."""

        name = "needs_late"
        events = need(EVENTS)

    settings = {"server": {"retry_failed_s": 0.01, "retry_failed_max_s": 0.01}}
    async with kernel_with(Late, Needs, settings=settings) as server:
        async with asyncio.timeout(20):
            while server.state("needs_late")[0] != "running":
                await asyncio.sleep(0.01)
        assert server.state("late") == ("running", "")
        assert Late.attempts == 3


# --- failures that last --------------------------------------------------------------------------


def hopeless(*, provides: tuple[Port[Any], ...] = ()) -> type[Plugin[Any]]:
    async def start() -> None:
        raise CannotStart("another server has the well; stop that one")

    return made("well", provides=provides, start=start)


async def test_a_provider_that_can_never_start_ends_the_first_start(tmp_path: Path) -> None:
    story: Story = []
    kernel = make_kernel(
        made("early", story), hopeless(provides=(WATER,)), made("x", story), data_dir=tmp_path
    )
    with pytest.raises(BootError, match=r"plugin well is failed: .*another server has the well"):
        await kernel.start()
    assert story == ["early up", "early down"]


async def test_one_that_can_never_start_and_fills_no_port_fails_alone() -> None:
    async with kernel_with(hopeless(), made("good")) as server:
        assert server.state("well")[0] == "failed"
        assert server.state("good")[0] == "running"


async def test_a_server_that_serves_goes_on_beside_a_provider_that_can_never_start(
    tmp_path: Path,
) -> None:
    class Depth(Settings, frozen=True):
        """How deep the well is."""

        metres: int = 1

    class Well(Plugin[Depth]):
        """Can be one metre deep."""

        name = "well"
        provides = (WATER,)

        @asynccontextmanager
        async def lifespan(self) -> AsyncIterator[None]:
            if self.settings.metres > 1:
                raise CannotStart("there is rock")
            self.provide(WATER, "clear")
            yield

    plugins = (Well, made("good"))
    deeper = make_kernel(*plugins, data_dir=tmp_path, settings={"well": {"metres": 2}}).config
    async with kernel_with(*plugins, data_dir=tmp_path) as server:
        await server.kernel.reload(deeper)
        assert server.state("well") == ("failed", "CannotStart: there is rock")
        assert server.state("good")[0] == "running"


async def test_a_failure_that_repeats_is_logged_once_and_so_is_its_end() -> None:
    class Late(Plugin[NoSettings]):
        """Fills a port, but not at the first attempts."""

        name = "late"
        provides = (WATER,)
        attempts = 0

        @asynccontextmanager
        async def lifespan(self) -> AsyncIterator[None]:
            Late.attempts += 1
            if Late.attempts < 5:
                raise ConnectionError("not there yet")
            self.provide(WATER, "clear")
            yield

    out = io.StringIO()
    settings = {"server": {"retry_failed_s": 0.01, "retry_failed_max_s": 0.01}}
    async with kernel_with(
        Late,
        made("mill", needs=(WATER,)),
        settings=settings,
        log=make_log("info", "json", stream=out),
    ) as server:
        async with asyncio.timeout(20):
            while "plugins_recovered" not in out.getvalue():
                await asyncio.sleep(0.01)
        assert server.state("mill")[0] == "running"
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(each["event"], each.get("plugin")) for each in events] == [
        ("plugin_failed", "late"),
        ("plugin_blocked", "mill"),
        ("plugins_tried_again", None),
        ("plugins_recovered", None),
    ]
    assert events[-1]["attempts"] == 4
