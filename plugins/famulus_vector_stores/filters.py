"""From the filters that clients write to predicates."""

from __future__ import annotations

from famulus_schemas.errors import INVALID, Problem
from famulus_schemas.retrieval import AttributeValue, Comparison, Group, Predicate
from famulus_schemas.vector_stores import (
    AndFilter,
    EqualFilter,
    GreaterFilter,
    GreaterOrEqualFilter,
    InFilter,
    LessFilter,
    LessOrEqualFilter,
    NotEqualFilter,
    NotInFilter,
    OrFilter,
    SearchFilter,
)

_OPS = {
    EqualFilter: "eq",
    NotEqualFilter: "ne",
    GreaterFilter: "gt",
    GreaterOrEqualFilter: "gte",
    LessFilter: "lt",
    LessOrEqualFilter: "lte",
    InFilter: "in",
    NotInFilter: "nin",
}


class Filters:
    """Makes predicates within limits."""

    def __init__(self, *, depth_max: int, terms_max: int) -> None:
        self._depth_max = depth_max
        self._terms_max = terms_max

    def predicate(self, given: SearchFilter, *, named: str = "filters") -> Predicate:
        """The predicate of a filter. Raises Problem naming what is wrong with it."""
        terms = _terms_of(given)
        if terms > self._terms_max:
            reason = f"it has {terms} comparisons and values, and may have {self._terms_max}."
            raise _invalid(named, reason)
        return self._of(given, named, 1)

    def _of(self, given: SearchFilter, name: str, depth: int) -> Predicate:
        if depth > self._depth_max:
            raise _invalid(name, f"filters may be nested to a depth of {self._depth_max}.")
        if isinstance(given, AndFilter | OrFilter):
            parts = tuple(
                self._of(part, f"{name}.filters[{index}]", depth + 1)
                for index, part in enumerate(given.filters)
            )
            return Group(op="and" if isinstance(given, AndFilter) else "or", parts=parts)
        op, value = _OPS[type(given)], given.value
        kept: AttributeValue | tuple[AttributeValue, ...]
        if op in ("in", "nin"):
            # One value stands for a list of it.
            kept = tuple(value) if isinstance(value, list) else (value,)
        elif isinstance(value, list):
            reason = f"the comparison '{op}' takes one string, number or boolean, and no list."
            raise _invalid(f"{name}.value", reason)
        else:
            kept = value
        return Comparison(op=op, key=given.key, value=kept)  # type: ignore[arg-type]


def _terms_of(given: SearchFilter) -> int:
    """Comparisons, and the values of those that have many."""
    count, waiting = 0, [given]
    while waiting:
        part = waiting.pop()
        if isinstance(part, AndFilter | OrFilter):
            waiting += part.filters
            count += 1
        else:
            count += max(1, len(part.value)) if isinstance(part.value, list) else 1
    return count


def _invalid(name: str, reason: str) -> Problem:
    return Problem(INVALID, param=name, name=name, reason=reason)
