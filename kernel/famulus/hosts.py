"""The names that a server may be asked for by: what keeps a browser's page from borrowing one.

A page of somebody's can have its own name lead to this machine (DNS rebinding), and is then as near
to the server as its reader is. The browser still says by which name it asks.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Sequence

from famulus.mistakes import ConfigError
from famulus_schemas.errors import WRONG_HOST, Problem

ANY = "*"
KNOWN_MAX = 1000
"""Headers that were found right and need not be read again."""
BYTES_MAX = 300
"""Of one header: a name has 253 characters at most. What is remembered must not fill the memory."""

_NAME = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_PORT = re.compile(r":[0-9]*\Z")


class Hosts:
    """Judges the Host headers of one server."""

    def __init__(self, names: Collection[str], *, on_loopback: bool) -> None:
        self._names = {name for name in names if not name.startswith("*.")}
        self._endings = tuple(name[1:] for name in names if name.startswith("*."))
        self._on_loopback = on_loopback
        self._known: set[bytes] = set()

    def hold(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Raise Problem (421) where a request asks for another server than this.

        Whoever names none passes: browsers always do.
        """
        for name, value in headers:
            if name == b"host" and value not in self._known:
                self._judge(value)

    def _judge(self, value: bytes) -> None:
        host = _without_port(value.decode("latin-1").strip().lower())
        if len(value) > BYTES_MAX or not self._is_ours(host):
            raise Problem(WRONG_HOST, host=host[:100])
        if len(self._known) < KNOWN_MAX:
            self._known.add(value)

    def _is_ours(self, host: str) -> bool:
        if host in self._names or host.endswith(self._endings):
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        # No name leads astray who asks by address, as health checks do.
        return address.is_loopback or not self._on_loopback


def hosts_of(
    given: Sequence[str], *, host: str, on_loopback: bool, table: str = "server"
) -> Hosts | None:
    """Who judges for a server; None where it may be asked for by any name. Raises ConfigError.

    `host` is where it listens; `given` are the names that the setting `hosts` of a table has.
    """
    names = [_checked(name, table) for name in given]
    if ANY in names or not (names or on_loopback):
        return None
    return Hosts([*names, "localhost", host.lower()], on_loopback=on_loopback)


def _checked(given: str, table: str) -> str:
    name = given.lower().rstrip(".")
    if given == ANY or _NAME.fullmatch(name) or _is_address(name):
        return name
    raise ConfigError(
        f"[{table}] hosts: {given!r} is no host; give names without scheme and port, as "
        '"api.example.com" or "*.example.com", or "*" for any'
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _without_port(host: str) -> str:
    if host.startswith("["):
        address, _, rest = host[1:].partition("]")
        return host if _PORT.sub("", rest) else address
    return _PORT.sub("", host).rstrip(".")
