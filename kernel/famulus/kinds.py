"""The kinds that a record store was told of, and the checks that follow from their names."""

from __future__ import annotations

from collections.abc import Mapping

from famulus_schemas.records import Insert, Kind, Replace, Unit


class Kinds:
    """Declared kinds and their indexed names; knows nothing at first."""

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}

    def check(self, kind: Kind) -> None:
        """Raises ValueError for a kind that could not be back-filled."""
        if kind.indexes and kind.index_of is None:
            raise ValueError(f"kind {kind.name!r} declares indexes and no index_of to fill them")

    def add(self, kind: Kind) -> None:
        """Take a kind's names as declared, in place of what it declared before."""
        self._names[kind.name] = frozenset(kind.indexes)

    def check_where(self, kind: str, where: Mapping[str, str]) -> None:
        """Raises ValueError for a name that the kind did not declare."""
        declared = self._names.get(kind, frozenset())
        for name in where:
            if name not in declared:
                raise ValueError(
                    f"kind {kind!r} declares no index {name!r}; it declares {sorted(declared)}"
                )

    def check_unit(self, unit: Unit) -> None:
        """Raises ValueError where a write gives a value for a name that was not declared."""
        for write in unit:
            if isinstance(write, Insert | Replace) and write.index:
                self.check_where(write.kind, write.index)
