"""What is counted: totals and histograms, each a dict of what was counted for some labels.

The library's own metrics are not used for counting, only to write down what was counted: they
take a lock and a look-up by name for each label, and would have to be imported when the server
starts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence

import msgspec

Labels = tuple[str, ...]


class Buckets(msgspec.Struct):
    """What a histogram counted for some labels."""

    counts: list[int]
    """By the first bound that is not less than what was observed; the last are above all."""
    sum: float = 0.0

    def copy(self) -> Buckets:
        """As it is now."""
        return Buckets(list(self.counts), self.sum)


class Total:
    """A number that only grows, for each of its labels' values."""

    def __init__(self, name: str, help: str, labels: Sequence[str] = ()) -> None:
        assert name.endswith("_total")
        self.name = name
        self.help = help
        self.labels = tuple(labels)
        self._values: dict[Labels, float] = {}

    def add(self, *labels: str, by: float = 1.0) -> None:
        """Count one more, or as many."""
        self._values[labels] = self._values.get(labels, 0.0) + by

    def read(self) -> Mapping[Labels, float]:
        """As it is now; without labels, a total that is 0 is told too."""
        return dict(self._values) if self._values or self.labels else {(): 0.0}


class Histogram:
    """How often what was observed lay below each of a few bounds, for each value of its labels."""

    def __init__(
        self, name: str, help: str, labels: Sequence[str] = (), *, bounds: Sequence[float]
    ) -> None:
        self.name = name
        self.help = help
        self.labels = tuple(labels)
        self.bounds = tuple(bounds)
        self._values: dict[Labels, Buckets] = {}

    def observe(self, *labels: str, value: float) -> None:
        """One more."""
        self.observe_all(labels, (value,))

    def observe_all(self, labels: Labels, values: Sequence[float]) -> None:
        """As many."""
        buckets = self._values.get(labels)
        if buckets is None:
            buckets = self._values[labels] = Buckets([0] * (len(self.bounds) + 1))
        counts, bounds = buckets.counts, self.bounds
        for value in values:
            counts[bisect_left(bounds, value)] += 1
        buckets.sum += sum(values)

    def read(self) -> Mapping[Labels, Buckets]:
        """As it is now; without labels, one that saw nothing is told too."""
        if not self._values and not self.labels:
            return {(): Buckets([0] * (len(self.bounds) + 1))}
        return {labels: buckets.copy() for labels, buckets in self._values.items()}
