"""Which plugin fills which port now."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from famulus.plugin import Plugin
from famulus_schemas.ports import Port

T = TypeVar("T")


class Services:
    """The filled ports of one kernel."""

    def __init__(self) -> None:
        self._filled: dict[Port[Any], tuple[str, Any]] = {}

    def fill(self, port: Port[Any], plugin: str, service: Any) -> None:
        """Put a plugin's service into a port."""
        self._filled[port] = (plugin, service)

    def get(self, port: Port[Any]) -> Any:
        """The service in a port. Raises LookupError where there is none."""
        if port not in self._filled:
            raise LookupError(f"nobody provides {port.name}")
        return self._filled[port][1]

    def provider(self, port: Port[Any]) -> str | None:
        """The name of the plugin that fills a port."""
        return self._filled[port][0] if port in self._filled else None

    def withdraw(self, plugin: str) -> None:
        """Empty every port that the plugin filled, so that nobody starts on a corpse."""
        self._filled = {port: by for port, by in self._filled.items() if by[0] != plugin}


class PluginServices:
    """The ports as one plugin may see and fill them: those that its class declares."""

    def __init__(
        self, services: Services, name: str, plugin_type: type[Plugin[Any]], mine: set[Port[Any]]
    ) -> None:
        self._services = services
        self._name = name
        self._declared = {declared.port for declared in plugin_type.ports()}
        self._promised = set(plugin_type.provides)
        self._mine = mine
        self._own: dict[Port[Any], Any] = {}

    def get(self, port: Port[T]) -> T:
        """The provider. Raises LookupError for a port that the class did not declare."""
        if port not in self._declared:
            raise LookupError(f"plugin {self._name} uses {port.name} without need() or want()")
        return cast(T, self._services.get(port))

    def get_or_none(self, port: Port[T]) -> T | None:
        """The provider, or None where there is none."""
        try:
            return self.get(port)
        except LookupError:
            if port not in self._declared:
                raise
            return None

    def provide(self, port: Port[T], service: T) -> None:
        """Fill a port. Raises LookupError for one that the class does not list."""
        if port not in self._promised:
            raise LookupError(f"plugin {self._name} fills {port.name}, not in its provides")
        self._own[port] = service
        # A port that configuration gave to another plugin stays with that one.
        if port in self._mine:
            self._services.fill(port, self._name, service)

    def unfilled(self) -> list[str]:
        """Ports that the plugin promised and did not fill."""
        return [port.name for port in self._promised if port not in self._own]
