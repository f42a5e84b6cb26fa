"""The proxies that are believed where they say for whom they ask."""

from __future__ import annotations

import ipaddress

from famulus.mistakes import ConfigError
from famulus.server_settings import ServerSettings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Proxies:
    """Networks that the operator has listed. Raises ConfigError for what is none."""

    def __init__(self, settings: ServerSettings) -> None:
        self.networks = [_network(each) for each in settings.trusted_proxies]

    def __bool__(self) -> bool:
        return bool(self.networks)

    def __contains__(self, client: str) -> bool:
        if not self.networks:
            return False
        try:
            address = ipaddress.ip_address(client)
        except ValueError:
            return False
        return any(address in network for network in self.networks)

    @property
    def texts(self) -> list[str]:
        """The networks as they are written."""
        return [str(network) for network in self.networks]


def _network(given: str) -> Network:
    try:
        return ipaddress.ip_network(given)
    except ValueError as error:
        raise ConfigError(
            f"[server] trusted_proxies: {error}; give addresses or networks, as "
            '"10.0.0.7" or "10.0.0.0/8"'
        ) from error
