"""Names and addresses of hosts, as a URL may hold them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

Address = IPv4Address | IPv6Address

HOST_REFUSED = "its host is none that this server asks"
"""Said of every host that is not asked, whether it is unknown, private or denied: what is not
public is not to be told apart by trying."""


def name_or_address(host: str) -> str | Address:
    """What a host is, in ASCII and lower case and without brackets. Raises ValueError.

    A name whose last part is a number is one way or another of writing an IPv4 address, which
    differs from reader to reader: only the plain one is taken.
    """
    if ":" in host:
        address = ip_address(host)
        if not isinstance(address, IPv6Address) or address.scope_id is not None:
            raise ValueError("an address with a zone")
        return address
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        return IPv4Address(host)
    if not _NAME.fullmatch(host):
        raise ValueError("no name of a host")
    return host


def is_pattern(text: str) -> bool:
    """Whether a setting can name hosts so: by name, address, or as all below a name."""
    try:
        name_or_address(text.removeprefix("*."))
    except ValueError:
        return False
    return True


def matches(host: str, patterns: Iterable[str]) -> bool:
    """Whether a host is one of those that the patterns name."""
    return any(
        host.endswith(each[1:]) if each.startswith("*.") else host == each for each in patterns
    )
