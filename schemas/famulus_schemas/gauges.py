"""Gauges: figures that a plugin can be asked for at any moment, listed by `register_gauges`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

Values = Mapping[tuple[str, ...], float]


class Gauge(msgspec.Struct, frozen=True, kw_only=True):
    """One figure, and the function that reads it.

    `read` answers at once and from memory, on the event loop: a number, or one number for each
    tuple of values of `labels`. What it tells apart must be few: kinds and names that an operator
    chose, never ids. It is asked only while its plugin runs.
    """

    name: str
    """Begins with `famulus_` and ends in its unit; that of a total in `_total`."""
    help: str
    """What it counts, as one sentence."""
    read: Callable[[], float | Values]
    labels: tuple[str, ...] = ()

    @property
    def is_total(self) -> bool:
        """Whether it only grows, so that its growth is what matters."""
        return self.name.endswith("_total")
