"""What a sweep has found and done, by kind of data."""

from __future__ import annotations

import msgspec

from famulus_schemas.retention import Removed


class Count(msgspec.Struct, kw_only=True):
    """One kind's figures."""

    looked_at: int = 0
    deleted: int = 0
    bytes: int = 0
    """Of contents that went with them."""
    in_use: int = 0
    """Old enough, but a run has it, or something else still needs it."""
    failed: int = 0

    def add(self, removed: Removed) -> None:
        """Something was deleted."""
        self.deleted += removed.count
        self.bytes += removed.bytes


class Tally:
    """Figures of a sweep, or of all since the start."""

    def __init__(self) -> None:
        self.of: dict[str, Count] = {}

    def __getitem__(self, name: str) -> Count:
        return self.of.setdefault(name, Count())

    def total(self, field: str) -> int:
        """The sum of one figure over all kinds."""
        return sum(getattr(count, field) for count in self.of.values())

    def deleted(self) -> dict[str, int]:
        """How many were deleted, by kind; only where there were some."""
        return {name: count.deleted for name, count in self.of.items() if count.deleted}
