"""What would start: who fills each port, and in which order plugins start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from famulus.config import Config
from famulus.hooks import Relay
from famulus.mistakes import ConfigError, meant
from famulus.plugin_slot import Slot, State


class Plan:
    """Who fills each port of some plugins, and in which order they start."""

    def __init__(self, slots: Mapping[str, Slot], relay: Relay) -> None:
        self._slots = slots
        self._relay = relay
        self.filler: dict[str, str] = {}
        """Plugins by the ports that they fill; empty where nobody does."""
        self.order: list[str] = []

    def make(self, config: Config) -> None:
        """Settle both. Raises ConfigError."""
        self._fill(config)
        self.order = self._sorted()

    def unknown(self, config: Config) -> Iterator[str]:
        """The mistakes of naming plugins that are not there."""
        named = [(name, config.origin(name)) for name in config.plugins]
        named += [(name, config.origin("ports", port)) for port, name in config.ports.items()]
        for name, origin in named:
            if name not in self._slots:
                known = ", ".join(sorted(self._slots))
                near = meant(name, self._slots)
                yield f"{origin}: there is no plugin {name!r}; there are {known}{near}"

    def _fill(self, config: Config) -> None:
        """Settle which plugin fills each port; those that have nothing to fill are off."""
        chosen = config.ports
        known = {port.name for slot in self._slots.values() for port in slot.provides}
        for port in chosen:
            if port not in known:
                raise ConfigError(
                    f"{config.origin('ports', port)}: [ports]: nobody provides {port!r}; there are "
                    f"{sorted(known)}"
                )
        for port in sorted(known):
            self.filler[port] = self._filler(port, chosen.get(port))
        for slot in self._slots.values():
            if slot.alive and slot.provides and slot.name not in self.filler.values():
                others = {self.filler[port.name] for port in slot.provides} - {""}
                done = f"{', '.join(sorted(others))} does its job"
                slot.become(State.OFF, done if others else "[ports] does not name it")

    def _filler(self, port: str, chosen: str | None) -> str:
        able = [
            slot
            for slot in self._slots.values()
            if slot.alive and port in {one.name for one in slot.provides}
        ]
        if chosen is None and "." in port:
            chosen = self.filler.get(port.partition(".")[0])
        if chosen is not None:
            slot = self._slots[chosen]
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
        for slot in self._slots.values():
            if slot.state is State.LOADED:
                before[slot.name] = self.starts_before(slot)
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

    def starts_before(self, slot: Slot) -> set[str]:
        """Live plugins that fill its ports or answer a hook that it gathers."""
        names = {self.filler.get(port.name, "") for port in (*slot.needs, *slot.wants)}
        assert slot.plugin_type is not None
        for hook in slot.plugin_type.gathers:
            names |= {
                other.name
                for other in self._slots.values()
                if other.plugin_type and self._relay.implements(other.plugin_type, hook)
            }
        return {n for n in names if n and n != slot.name and self._slots[n].alive}


def _stands_in(slot: Slot) -> bool:
    return bool(slot.plugin_type and slot.plugin_type.stand_in)


def _by_choice(slot: Slot) -> bool:
    return bool(slot.plugin_type and slot.plugin_type.by_choice)
