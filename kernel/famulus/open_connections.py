"""How many connections are open: of all, and of each address."""

from __future__ import annotations

from typing import Protocol

from famulus.addresses import network_of
from famulus_schemas.errors import TOO_BUSY, TOO_MANY_CONNECTIONS, Problem


class Many(Protocol):
    """Addresses of which each stands for many clients."""

    def __contains__(self, client: str, /) -> bool: ...


class OpenConnections:
    """Counts the connections of one server from when they are accepted, encrypted or not."""

    def __init__(self, proxies: Many, *, connections_max: int, per_address_max: int) -> None:
        self._proxies = proxies
        self._max = connections_max
        self._per_address_max = per_address_max
        self._open = 0
        self._by_address: dict[str, int] = {}

    def enter(self, client: str | None) -> Place:
        """Count one more; its place says whether it is one too many."""
        # A trusted proxy's connections are those of many.
        address = None if client is None or client in self._proxies else network_of(client)
        self._open += 1
        of_address = 0
        if address is not None:
            of_address = self._by_address[address] = self._by_address.get(address, 0) + 1
        return Place(self, address, self._over(of_address))

    def _over(self, of_address: int) -> Problem | None:
        if self._open > self._max:
            return Problem(TOO_BUSY, reason="too many connections are open. Try again.")
        if of_address > self._per_address_max:
            return Problem(TOO_MANY_CONNECTIONS, limit=self._per_address_max)
        return None

    def leave(self, address: str | None) -> None:
        """Count one less."""
        self._open -= 1
        if address is None:
            return
        left = self._by_address[address] - 1
        if left:
            self._by_address[address] = left
        else:
            del self._by_address[address]


class Place:
    """That of one connection, until it leaves."""

    __slots__ = ("_address", "_counted", "over")

    def __init__(self, counted: OpenConnections, address: str | None, over: Problem | None) -> None:
        self._counted: OpenConnections | None = counted
        self._address = address
        self.over = over
        """Why this connection is one too many, if it is; those before it go on."""

    def leave(self) -> None:
        """Count no longer; however often it is said."""
        if self._counted is not None:
            self._counted.leave(self._address)
            self._counted = None
