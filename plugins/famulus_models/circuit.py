"""Leaving a server alone for a while once it has failed time after time."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from famulus_schemas.gauges import Values
from famulus_schemas.inference import BackendFault

COUNTED = ("unreachable", "broken")
"""Kinds of fault that say that a server is down, and not only busy or asked for too much."""


class Circuit:
    """One server's failures in a row."""

    def __init__(self, failures_max: int, cooldown_s: float, clock: Callable[[], float]) -> None:
        self._failures_max = failures_max
        self._cooldown_s = cooldown_s
        self._clock = clock
        self._failures = 0
        self._closed_until = 0.0
        self.reason = ""
        """What the server last failed with, while it is left alone."""

    @property
    def is_open(self) -> bool:
        """Whether the server is being left alone."""
        return self._failures >= self._failures_max

    def wait_s(self) -> float:
        """Seconds until the server may be asked again; 0 lets the caller ask, and only him."""
        if not self.is_open:
            return 0.0
        left = self._closed_until - self._clock()
        # A clock that was set back must not keep a server out for longer than it would.
        if 0 < left <= self._cooldown_s:
            return left
        # The next caller waits until it is known how this one fares.
        self._closed_until = self._clock() + self._cooldown_s
        return 0.0

    def succeeded(self) -> None:
        """The server answered."""
        self._failures = 0
        self.reason = ""

    def failed(self, fault: BackendFault) -> bool:
        """The server failed; whether this is what made it one to leave alone."""
        if fault.kind not in COUNTED:
            return False
        was_open = self.is_open
        self._failures += 1
        if self.is_open:
            self._closed_until = self._clock() + self._cooldown_s
            self.reason = fault.message
        return self.is_open and not was_open


class Circuits:
    """One circuit a server."""

    def __init__(self, failures_max: int, cooldown_s: float, clock: Callable[[], float]) -> None:
        self._failures_max = failures_max
        self._cooldown_s = cooldown_s
        self._clock = clock
        self._circuits: dict[str, Circuit] = {}

    def of(self, backend: str) -> Circuit:
        """The server's circuit."""
        circuit = self._circuits.get(backend)
        if circuit is None:
            circuit = self._circuits[backend] = Circuit(
                self._failures_max, self._cooldown_s, self._clock
            )
        return circuit

    def states(self) -> Values:
        """1 for each server that is left alone, 0 for each other that was asked."""
        return {(name,): float(one.is_open) for name, one in self._circuits.items()}

    def open(self) -> Mapping[str, str]:
        """Servers that are left alone, and why."""
        return {name: one.reason for name, one in self._circuits.items() if one.is_open}
