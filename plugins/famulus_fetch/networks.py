"""Which addresses are public: those that everybody reaches, and that lead nowhere else.

The tables are IANA's registries of special-purpose addresses, written out: what Python's
`is_global` says of them changed between versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from famulus_fetch.hosts import Address

Network = IPv4Network | IPv6Network

_SPECIAL_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # shared by customers of a provider, and used within clouds
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # IETF protocols
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # relays of 6to4
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
_GLOBAL_6 = IPv6Network("2000::/3")
"""All that is given out; mapped, local, site-local, multicast and discarded ones are outside."""
_SPECIAL_6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # IETF protocols; Teredo, which holds an IPv4 address, is one
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4, which holds an IPv4 address
            "3fff::/20",  # documentation
        ),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
"""Holds an IPv4 address, and is how networks without IPv4 reach those that have no other."""

METADATA = frozenset(
    map(
        IPv4Address,
        (
            "169.254.169.254",
            "169.254.170.2",  # credentials of containers
            "169.254.170.23",
            "100.100.100.200",
            "168.63.129.16",  # public by number
            "192.0.0.192",
        ),
    )
) | frozenset(map(IPv6Address, ("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254")))
"""Where clouds tell machines their credentials; no setting opens these."""


class Networks:
    """Which addresses may be asked, by the settings."""

    def __init__(self, opened: Sequence[str], denied: Sequence[str]) -> None:
        self._opened = tuple(map(ip_network, opened))
        self._denied = tuple(map(ip_network, denied))

    def may_be_asked(self, address: Address) -> bool:
        """Whether this very address may be connected to."""
        inner = embedded(address)
        if address in METADATA or inner in METADATA:
            return False
        if _within(address, self._denied) or (inner and _within(inner, self._denied)):
            return False
        return _within(address, self._opened) or is_public(address)


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet, and holds none that is not."""
    if isinstance(address, IPv4Address):
        return not _within(address, _SPECIAL_4)
    if address in _NAT64:
        inner = embedded(address)
        assert isinstance(inner, IPv4Address)
        return is_public(inner)
    return address in _GLOBAL_6 and not _within(address, _SPECIAL_6)


def embedded(address: Address) -> IPv4Address | None:
    """The IPv4 address that packets to an IPv6 one end at, if there is one."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)
