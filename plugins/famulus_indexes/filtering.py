"""Which documents a predicate holds for, asked once for each value that they have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from famulus_schemas.retrieval import Attributes, AttributeValue, Comparison, Predicate, holds

Flags: TypeAlias = NDArray[np.bool_]


class Documents:
    """The documents of one generation of a store, by the numbers that an index gave them."""

    def __init__(self, names: Mapping[int, str], attributes: Mapping[str, Attributes]) -> None:
        self.names = names
        self._attributes = [attributes[name] for name in names.values()]
        self._ids = np.fromiter(names, np.int64, len(names))
        self.listed = self.passing(None)
        """A flag for each number, as of a predicate that always holds."""
        self._columns: dict[str, tuple[list[AttributeValue | None], NDArray[np.int32]]] = {}

    def passing(self, predicate: Predicate | None) -> Flags:
        """A flag for each number; the last one, which -1 points to, is never set."""
        flags = np.zeros(int(self._ids.max(initial=-1)) + 2, np.bool_)
        flags[self._ids] = True if predicate is None else self._holds(predicate)
        return flags

    def _holds(self, predicate: Predicate) -> Flags:
        if isinstance(predicate, Comparison):
            values, codes = self._column(predicate.key)
            told = [
                holds(predicate, {} if value is None else {predicate.key: value})
                for value in values
            ]
            return np.array(told, np.bool_)[codes]
        parts = [self._holds(part) for part in predicate.parts]
        if predicate.op == "and":
            return np.logical_and.reduce(parts) if parts else np.ones(len(self._ids), np.bool_)
        return np.logical_or.reduce(parts) if parts else np.zeros(len(self._ids), np.bool_)

    def _column(self, key: str) -> tuple[list[AttributeValue | None], NDArray[np.int32]]:
        """The values that the documents have under a key, and which of them each has."""
        if key not in self._columns:
            numbers: dict[Any, int] = {}
            values: list[AttributeValue | None] = []
            codes = np.empty(len(self._attributes), np.int32)
            for at, attributes in enumerate(self._attributes):
                value = attributes.get(key)
                # In Python, True is 1, and not for us.
                number = numbers.setdefault((type(value), value), len(values))
                if number == len(values):
                    values.append(value)
                codes[at] = number
            self._columns[key] = values, codes
        return self._columns[key]
