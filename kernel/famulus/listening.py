"""The sockets that a server listens on, taken before anything of it is started."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket

from famulus.plugin_slot import BootError


def listening(host: str, port: int, *, backlog: int) -> list[socket.socket]:
    """A listening socket for each address of the host. Raises BootError naming the port.

    Whoever connects meanwhile waits in the backlog until the server serves.
    """
    with contextlib.ExitStack() as opened:
        try:
            addresses = dict.fromkeys(
                socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            )
            sockets = [
                opened.enter_context(_listening(family, address, backlog))
                for family, _, _, _, address in addresses
            ]
        except OSError as error:
            raise BootError(_why(host, port, error)) from error
        opened.pop_all()
    return sockets


def is_loopback(host: str) -> bool:
    """Whether a server at this host is reached from its own machine only."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        # It will be told where it is listened on.
        return False
    return all(ipaddress.ip_address(str(at[0]).partition("%")[0]).is_loopback for *_, at in found)


def _listening(family: int, address: object, backlog: int) -> socket.socket:
    taken = socket.socket(family, socket.SOCK_STREAM)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # The host's IPv4 addresses have sockets of their own.
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.setblocking(False)
        taken.bind(address)  # type: ignore[arg-type]
        # Bound alone, two servers could have the same port until one of them listens.
        taken.listen(backlog)
    except BaseException:
        taken.close()
        raise
    return taken


def _why(host: str, port: int, error: OSError) -> str:
    shown = f"[{host}]" if ":" in host else host
    where = f"could not listen on {shown}:{port}"
    # The resolver's errors have numbers of their own.
    if isinstance(error, socket.gaierror) or error.errno is None:
        return f"{where}: {error.strerror or error}; --host or FAMULUS_HOST names another"
    reason = os.strerror(error.errno).lower()
    hint = "host" if error.errno == errno.EADDRNOTAVAIL else "port"
    return f"{where}: {reason}; --{hint} or FAMULUS_{hint.upper()} names another"
