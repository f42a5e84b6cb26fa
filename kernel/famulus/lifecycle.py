"""Plugins from found to stopped, all of a server's.

A plugin that cannot start is `failed`, those that need it are `blocked`, and the rest of the server
serves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from famulus.clock import Clock, MakeId
from famulus.config import Config, plugin_settings
from famulus.discover import Found
from famulus.hooks import Relay, collect
from famulus.mistakes import ConfigError
from famulus.planning import Plan
from famulus.plugin import Host, Settings
from famulus.plugin_slot import BootError, Slot, State, describe
from famulus.services import PluginServices, Services
from famulus_schemas.notices import PluginChanged
from famulus_schemas.ports import Port

if TYPE_CHECKING:
    from famulus.log import Log
    from famulus.plugin import HooksView

__all__ = ["BootError", "Lifecycle", "Slot", "State", "describe"]


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
        self.plan = Plan(self.slots, self.relay)
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
        mistakes += self.plan.unknown(config)
        if mistakes:
            raise ConfigError(*mistakes)
        self.plan.make(config)
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

    def refuse_broken_required(self) -> None:
        """Raise BootError if a plugin that must run cannot."""
        for slot in self.slots.values():
            if slot.required and not slot.alive:
                raise BootError(f"plugin {slot.name} is required, but {slot.state}: {slot.reason}")

    def refuse_hopeless(self) -> None:
        """Raise BootError if a plugin that fills a port can never start as things are."""
        for name in sorted(self.plan.filler.values()):
            if name and self.slots[name].is_hopeless:
                raise BootError(f"plugin {name} is failed: {self.slots[name].reason}")

    # --- living -----------------------------------------------------------------------------

    def construct(self) -> None:
        """Make the plugins that would start; making one has no effect."""
        for name in self.plan.order:
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
        mine = {port for port in slot.provides if self.plan.filler[port.name] == slot.name}
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
        for name in self.plan.order:
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
        name = self.plan.filler.get(port.name)
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
        for name in self.plan.order:
            other = self.slots[name]
            fillers = {self.plan.filler.get(port.name) for port in other.needs}
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
        for name in self.plan.order:
            slot, before = self.slots[name], old.slots.get(name)
            if before is None or before.state is not State.RUNNING:
                continue
            fillers = self.plan.starts_before(slot)
            same = (
                slot.plugin_type is before.plugin_type
                and slot.settings == before.settings
                and fillers == old.plan.starts_before(before)
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
        for name in reversed(self.plan.order):
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
            for name in set(self.plan.filler.values())
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
