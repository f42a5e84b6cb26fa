"""What counts as one client, by where its requests come from."""

from __future__ import annotations

import ipaddress

_NETWORK_BITS = 64
"""Of an IPv6 address: what one customer has; the rest it may choose as it likes."""


def network_of(client: str) -> str:
    """What counts as one address."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if isinstance(address, ipaddress.IPv4Address):
        return client
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), _NETWORK_BITS), strict=False))
