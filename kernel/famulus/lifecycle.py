"""Plugins from found to stopped: order, isolation, and a state with a reason for each.

Each plugin's lifespan lives in a task of its own, because what it opens (a task group, a
session) must be closed by the task that opened it. A plugin that cannot start is `failed`, those
that need it are `blocked`, and the rest of the server serves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from famulus.clock import Clock, MakeId
from famulus.config import Config, plugin_settings
from famulus.discover import Found
from famulus.hooks import HookError, Relay, collect
from famulus.mistakes import ConfigError, meant
from famulus.plugin import CannotStart, Host, Plugin, Settings
from famulus.services import PluginServices, Services
from famulus_schemas.notices import PluginChanged
from famulus_schemas.ports import Port

if TYPE_CHECKING:
    from famulus.log import Log
    from famulus.plugin import HooksView


class State(StrEnum):
    """Where a plugin is in its life."""

    DISABLED = "disabled"
    OFF = "off"
    LOADED = "loaded"
    RUNNING = "running"
    BLOCKED = "blocked"
    FAILED = "failed"
    STOPPED = "stopped"


class BootError(Exception):
    """The server cannot start with this configuration; the message is for its operator."""


class Slot:
    """One plugin and how it is."""

    def __init__(self, found: Found) -> None:
        self.name = found.name
        self.source = found.source
        self.found = found
        self.state = State.LOADED
        self.reason = ""
        self.required = False
        self.is_hopeless = False
        """Whether it failed in a way that trying again cannot mend."""
        self.plugin_type: type[Plugin[Any]] | None = None
        self.settings: Settings | None = None
        self.plugin: Plugin[Any] | None = None
        self.services: PluginServices | None = None
        self.on_death: Callable[[Slot, Exception], None] = _ignore
        """Told when the lifespan ends by itself."""
        self._task: asyncio.Task[None] | None = None
        self._down = asyncio.Event()

    def become(self, state: State, reason: str = "") -> None:
        """Take a state, and the reason for it."""
        self.state, self.reason = state, reason

    @property
    def alive(self) -> bool:
        """Whether the plugin is, or may yet be, part of the server."""
        return self.state in (State.LOADED, State.RUNNING)

    @property
    def needs(self) -> list[Port[Any]]:
        """Ports that it cannot do without."""
        return [one.port for one in self._ports() if not one.optional]

    @property
    def wants(self) -> list[Port[Any]]:
        """Ports that it uses where they are filled."""
        return [one.port for one in self._ports() if one.optional]

    @property
    def provides(self) -> tuple[Port[Any], ...]:
        """Ports that it fills."""
        return self.plugin_type.provides if self.plugin_type else ()

    def _ports(self) -> tuple[Any, ...]:
        return self.plugin_type.ports() if self.plugin_type else ()

    async def start(self, start_s: float) -> None:
        """Enter the lifespan. Ends RUNNING or FAILED; never raises."""
        assert self.plugin is not None
        up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._down = asyncio.Event()
        self._task = asyncio.create_task(self._live(up), name=f"plugin {self.name}")
        try:
            async with asyncio.timeout(start_s):
                await asyncio.shield(up)
        except TimeoutError:
            self._task.cancel()
            await asyncio.wait([self._task])
            # Looked at, so that asyncio does not report it as forgotten.
            up.exception()
            self.become(State.FAILED, f"did not start within {start_s:g} s (server.start_s)")
        except Exception as error:  # Isolation: a plugin that cannot start must not stop others.
            self.is_hopeless = isinstance(error, CannotStart)
            self.become(State.FAILED, describe(error))
        else:
            self.become(State.RUNNING)

    async def _live(self, up: asyncio.Future[None]) -> None:
        assert self.plugin is not None
        assert self.services is not None
        try:
            async with self.plugin.lifespan():
                if unfilled := self.services.unfilled():
                    raise LookupError(f"its lifespan did not fill {', '.join(unfilled)}")
                up.set_result(None)
                await self._down.wait()
        except BaseException as error:  # Told to whoever waits for the start, or to on_death.
            if not up.done():
                up.set_exception(_startable(error))
            elif not self._down.is_set() and isinstance(error, Exception):
                self.on_death(self, error)
            else:
                raise

    async def stop(self, stop_s: float) -> str:
        """Leave the lifespan; what went wrong with that, if anything."""
        if self._task is None or self._task.done():
            return ""
        self._down.set()
        done, _ = await asyncio.wait([self._task], timeout=stop_s)
        if not done:
            self._task.cancel()
            await asyncio.wait([self._task])
            return f"did not stop within {stop_s:g} s (server.stop_s)"
        error = None if self._task.cancelled() else self._task.exception()
        return describe(error) if error else ""


def _ignore(slot: Slot, error: Exception) -> None:
    """What is told of a death that nobody waits for."""


def _startable(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(describe(error))


def describe(error: BaseException) -> str:
    """An exception in one line, for a reason; a group by its first member."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = str(error)
    if isinstance(error, ConfigError | BootError | HookError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class Lifecycle:
    """All plugins of one kernel."""

    def __init__(
        self,
        *,
        data_dir: Path,
        clock: Clock,
        make_id: MakeId,
        log: Log,
        hooks: HooksView,
        is_public: bool = False,
        told: dict[str, tuple[State, str]] | None = None,
        serves: bool = True,
    ) -> None:
        self.slots: dict[str, Slot] = {}
        self.relay = Relay()
        self.services = Services()
        self._data_dir = data_dir
        self._clock = clock
        self._make_id = make_id
        self._log = log
        self._hooks = hooks
        self._serves = serves
        self._is_public = is_public
        self._told = {} if told is None else told
        """What was last logged of each plugin, in this lifecycle and those before it."""
        self._order: list[str] = []
        self.on_change: Any = None

    # --- planning ---------------------------------------------------------------------------

    def load(self, found: Iterable[Found], config: Config) -> None:
        """Import what is enabled and decide what would start. Raises ConfigError, BootError."""
        mistakes: list[str] = []
        for each in found:
            slot = Slot(each)
            slot.required = config.plugin(each.name).required
            self.slots[each.name] = slot
            try:
                self._load_one(slot, config)
            except ConfigError as error:
                mistakes += error.mistakes
        mistakes += self._unknown(config)
        if mistakes:
            raise ConfigError(*mistakes)
        self._choose(config)
        self._order = self._sorted()
        self.refuse_broken_required()

    def _load_one(self, slot: Slot, config: Config) -> None:
        if not config.plugin(slot.name).enabled:
            slot.become(State.DISABLED, "by configuration")
            return
        try:
            slot.plugin_type = slot.found.load()
            slot.settings = plugin_settings(config, slot.name, slot.plugin_type.settings_type)
            reason = slot.plugin_type.off_because(slot.settings)
        except ConfigError:
            raise
        except Exception as error:  # Isolation: a plugin that cannot be imported is only itself.
            self._becomes(slot, State.FAILED, f"cannot be loaded: {describe(error)}")
            return
        if reason is not None:
            slot.become(State.OFF, reason)

    def _unknown(self, config: Config) -> Iterator[str]:
        """The mistakes of naming plugins that are not there."""
        named = [(name, config.origin(name)) for name in config.plugins]
        named += [(name, config.origin("ports", port)) for port, name in config.ports.items()]
        for name, origin in named:
            if name not in self.slots:
                known = ", ".join(sorted(self.slots))
                near = meant(name, self.slots)
                yield f"{origin}: there is no plugin {name!r}; there are {known}{near}"

    def _choose(self, config: Config) -> None:
        """Settle which plugin fills each port."""
        chosen = config.ports
        self.filler: dict[str, str] = {}
        known = {port.name for slot in self.slots.values() for port in slot.provides}
        for port in chosen:
            if port not in known:
                raise ConfigError(
                    f"{config.origin('ports', port)}: [ports]: nobody provides {port!r}; there are "
                    f"{sorted(known)}"
                )
        for port in sorted(known):
            self.filler[port] = self._filler(port, chosen.get(port))
        for slot in self.slots.values():
            if slot.alive and slot.provides and slot.name not in self.filler.values():
                others = {self.filler[port.name] for port in slot.provides} - {""}
                done = f"{', '.join(sorted(others))} does its job"
                slot.become(State.OFF, done if others else "[ports] does not name it")

    def _filler(self, port: str, chosen: str | None) -> str:
        able = [
            slot
            for slot in self.slots.values()
            if slot.alive and port in {one.name for one in slot.provides}
        ]
        if chosen is None and "." in port:
            chosen = self.filler.get(port.partition(".")[0])
        if chosen is not None:
            slot = self.slots[chosen]
            if slot not in able and slot.state is not State.FAILED:
                raise ConfigError(
                    f"[ports] {port} = {chosen!r}, but it is {slot.state}: {slot.reason}"
                )
            return chosen
        able = [slot for slot in able if not _by_choice(slot)]
        first = [slot for slot in able if not _stands_in(slot)] or able
        if len(first) > 1:
            names = " and ".join(sorted(slot.name for slot in first))
            raise ConfigError(
                f'{names} both provide {port}; say which with [ports] {port} = "NAME", or set '
                "enabled = false for the other"
            )
        return first[0].name if first else ""

    def _sorted(self) -> list[str]:
        """Start order: providers first, then by name. Raises ConfigError for a cycle."""
        before: dict[str, set[str]] = {}
        for slot in self.slots.values():
            if slot.state is State.LOADED:
                before[slot.name] = self._starts_before(slot)
        sorter = TopologicalSorter({name: before[name] for name in sorted(before)})
        order: list[str] = []
        try:
            sorter.prepare()
        except CycleError as error:
            raise ConfigError(f"plugins need each other: {' -> '.join(error.args[1])}") from error
        while sorter.is_active():
            ready = sorted(sorter.get_ready())
            order.extend(ready)
            sorter.done(*ready)
        return [name for name in order if name in before]

    def _starts_before(self, slot: Slot) -> set[str]:
        """Live plugins that fill its ports or answer a hook that it gathers."""
        names = {self.filler.get(port.name, "") for port in (*slot.needs, *slot.wants)}
        assert slot.plugin_type is not None
        for hook in slot.plugin_type.gathers:
            names |= {
                other.name
                for other in self.slots.values()
                if other.plugin_type and self.relay.implements(other.plugin_type, hook)
            }
        return {n for n in names if n and n != slot.name and self.slots[n].alive}

    def refuse_broken_required(self) -> None:
        """Raise BootError if a plugin that must run cannot."""
        for slot in self.slots.values():
            if slot.required and not slot.alive:
                raise BootError(f"plugin {slot.name} is required, but {slot.state}: {slot.reason}")

    def refuse_hopeless(self) -> None:
        """Raise BootError if a plugin that fills a port can never start as things are."""
        for name in sorted(self.filler.values()):
            if name and self.slots[name].is_hopeless:
                raise BootError(f"plugin {name} is failed: {self.slots[name].reason}")

    # --- living -----------------------------------------------------------------------------

    def construct(self) -> None:
        """Make the plugins that would start; making one has no effect."""
        for name in self._order:
            slot = self.slots[name]
            try:
                if slot.plugin is None:
                    self._construct(slot)
                # In the order of the start, adopted ones too: hooks are asked in this order.
                self.relay.add(slot.plugin, slot.name)
            except Exception as error:  # Isolation: as with the import.
                self._becomes(slot, State.FAILED, describe(error))

    def _construct(self, slot: Slot) -> None:
        assert slot.plugin_type is not None
        mine = {port for port in slot.provides if self.filler[port.name] == slot.name}
        slot.services = PluginServices(self.services, slot.name, slot.plugin_type, mine)
        host = Host(
            data_dir=self._data_dir,
            clock=self._clock,
            make_id=self._make_id,
            log=self._log.bind(plugin=slot.name),
            services=slot.services,
            hooks=self._hooks,
            serves=self._serves,
            is_public=self._is_public,
        )
        slot.plugin = slot.plugin_type(slot.settings, host)

    async def start(self, start_s: float, *, is_first: bool = False) -> None:
        """Start all in order. Raises BootError only for a plugin that is required.

        At the first start of a server also for a provider that can never start: nothing serves
        yet that would be worth keeping, and whoever started it should see why.
        """
        for name in self._order:
            await self._start_one(self.slots[name], start_s)
            self.refuse_broken_required()
            if is_first:
                self.refuse_hopeless()

    async def _start_one(self, slot: Slot, start_s: float) -> None:
        if slot.state is not State.LOADED:
            return
        for port in slot.needs:
            if self.services.provider(port) is None:
                self._becomes(slot, State.BLOCKED, f"needs {port.name}, {self._why_empty(port)}")
                return
        slot.on_death = self._died
        await slot.start(start_s)
        if not self.is_running(slot.name):
            self.services.withdraw(slot.name)
        self._tell(slot)

    def _why_empty(self, port: Port[Any]) -> str:
        name = self.filler.get(port.name)
        if not name:
            return "which no enabled plugin provides"
        slot = self.slots[name]
        return f"whose plugin {name} is {slot.state}" + (f" ({slot.reason})" if slot.reason else "")

    def _died(self, slot: Slot, error: Exception) -> None:
        """A lifespan ended by itself while the plugin ran."""
        self.services.withdraw(slot.name)
        self._log.error("plugin_died", plugin=slot.name, exc_info=error)
        self._becomes(slot, State.FAILED, f"stopped by itself: {describe(error)}")
        dead = {slot.name}
        for name in self._order:
            other = self.slots[name]
            fillers = {self.filler.get(port.name) for port in other.needs}
            if other.state is State.RUNNING and fillers & dead:
                dead.add(name)
                self.services.withdraw(name)
                reason = f"needs {slot.name}, which failed: {slot.reason}"
                self._becomes(other, State.BLOCKED, reason)
        if self.on_change is not None:
            self.on_change()

    # --- another configuration ----------------------------------------------------------------

    def keep_from(self, old: Lifecycle) -> set[str]:
        """Names that run in `old` and would be no different here, down to what they need."""
        kept: set[str] = set()
        for name in self._order:
            slot, before = self.slots[name], old.slots.get(name)
            if before is None or before.state is not State.RUNNING:
                continue
            fillers = self._starts_before(slot)
            same = (
                slot.plugin_type is before.plugin_type
                and slot.settings == before.settings
                and fillers == old._starts_before(before)
                and fillers <= kept
            )
            if same:
                kept.add(name)
        return kept

    def adopt(self, old: Lifecycle, kept: set[str]) -> None:
        """Take over the kept plugins as they run."""
        self.services = old.services
        for name in kept:
            old.slots[name].required = self.slots[name].required
            self.slots[name] = old.slots[name]
            self.slots[name].on_death = self._died

    async def stop(self, stop_s: float, but: Collection[str] = ()) -> None:
        """Stop all but those, in the reverse of the order in which they started."""
        for name in reversed(self._order):
            if name in but:
                continue
            slot = self.slots[name]
            reason = await slot.stop(stop_s)
            self.services.withdraw(name)
            if slot.state is State.RUNNING:
                slot.become(State.STOPPED, reason)
            if reason:
                self._log.error("plugin_stop_failed", plugin=name, reason=reason)

    # --- asking -----------------------------------------------------------------------------

    def answers(self, hook: str, asked: Callable[[str], bool]) -> list[tuple[str, Any]]:
        """The items that plugins list for a boot hook; one that raises fails, and lists none."""

        def failed(name: str, error: Exception) -> None:
            self.fail(name, f"{hook}: {describe(error)}")

        return collect(self.relay.implementations(hook, asked), failed)

    def fail(self, name: str, reason: str) -> None:
        """Note that a plugin which runs, or would, cannot do its part."""
        if self.slots[name].alive:
            self._becomes(self.slots[name], State.FAILED, reason)

    def _becomes(self, slot: Slot, state: State, reason: str) -> None:
        slot.become(state, reason)
        self._tell(slot)

    def _tell(self, slot: Slot) -> None:
        """Tell the log and the other plugins what a plugin has become."""
        now = (slot.state, slot.reason)
        # What is tried again every minute for a day should not fill the log with one sentence.
        is_news = slot.state is not State.RUNNING and self._told.get(slot.name) != now
        self._told[slot.name] = now
        log = self._log.error if is_news else self._log.debug
        log(f"plugin_{slot.state}", plugin=slot.name, reason=slot.reason)
        changed = PluginChanged(plugin=slot.name, state=str(slot.state), reason=slot.reason)
        self._hooks.tell(changed)

    def broken_providers(self) -> list[str]:
        """Names of plugins that fill a port and whose lifespan failed."""
        return sorted(
            name
            for name in set(self.filler.values())
            if name and self.slots[name].state is State.FAILED and self.slots[name].plugin
        )

    def settings_types(self) -> dict[str, type[Settings] | None]:
        """What each plugin can be told; None for one that was not imported."""
        return {
            name: slot.plugin_type.settings_type if slot.plugin_type else None
            for name, slot in self.slots.items()
        }

    def alive(self, name: str) -> bool:
        """Whether a plugin runs, or would if it were started."""
        return name in self.slots and self.slots[name].alive

    def is_running(self, name: str) -> bool:
        """Whether a plugin runs now."""
        return name in self.slots and self.slots[name].state is State.RUNNING


def _stands_in(slot: Slot) -> bool:
    return bool(slot.plugin_type and slot.plugin_type.stand_in)


def _by_choice(slot: Slot) -> bool:
    return bool(slot.plugin_type and slot.plugin_type.by_choice)
