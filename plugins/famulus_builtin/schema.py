"""The plainest value that satisfies a JSON Schema.

Values are proposed, plainest first, and the first that the checks of `validity` accept is taken:
what is proposed need not be right, only what is accepted. All of it is bounded,
because schemas come from clients.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import count, islice
from math import ceil, floor
from typing import Any

from famulus_builtin.refs import Schema, SchemaUnusable, as_schema, merged, reading_schema, types_of
from famulus_builtin.validity import Checker, is_number, key_of

DEPTHS = (2, 4, 8, 16, 32)
"""Tried in turn, so that a recursive schema is filled as shallowly as it can be."""
PROPOSALS_MAX = 20_000
SIZE_MAX = 4_096
TRIES_MAX = 64

_SAMPLES = {
    "date": "2000-01-01",
    "date-time": "2000-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}
_VARIED = {
    "date": "2000-01-{:02}",
    "date-time": "2000-01-01T00:00:{:02}Z",
    "time": "00:00:{:02}Z",
    "duration": "P{}D",
    "email": "someone{}@example.com",
    "hostname": "host{}.example.com",
    "uri": "https://example.com/{}",
    "uuid": "00000000-0000-4000-8000-{:012}",
    "ipv4": "192.0.2.{}",
    "ipv6": "2001:db8::{:x}",
}


def example(schema: Any, checker: Checker | None = None) -> Any:
    """A value that `schema` accepts. Raises SchemaUnusable where none is found in bounds.

    The checker is that of the schema which this one is a part of.
    """
    checker = checker or Checker(schema)
    proposer = _Proposer(checker)
    with reading_schema():
        for depth in DEPTHS:
            for value in islice(proposer.values(schema, depth), TRIES_MAX):
                if checker.accepts(schema, value):
                    return value
    raise SchemaUnusable("no value was found that satisfies it")


class _Proposer:
    """Proposes values for a schema, within one bound for all of them."""

    def __init__(self, checker: Checker) -> None:
        self._checker = checker
        self._left = PROPOSALS_MAX

    def values(self, schema: Any, depth: int) -> Iterator[Any]:
        """Values, plainest first; none where the schema goes deeper than `depth`."""
        self._spend()
        whole = merged(schema, self._checker.root)
        if depth <= 0:
            return
        for keyword in ("anyOf", "oneOf"):
            if keyword in whole:
                yield from self._of_branches(whole, keyword, depth)
                return
        if "const" in whole:
            yield whole["const"]
        elif "enum" in whole:
            yield from (one for one in whole["enum"] if self._checker.accepts(whole, one))
        else:
            types = sorted(types_of(whole), key=lambda name: not _is_meant(whole, name))
            yield from _in_turn([self._of_type(name, whole, depth) for name in types])

    def _spend(self, proposals: int = 1) -> None:
        self._left -= proposals
        if self._left < 0:
            raise SchemaUnusable(f"it needs more than {PROPOSALS_MAX} tries")

    def _of_branches(self, whole: Schema, keyword: str, depth: int) -> Iterator[Any]:
        rest = {key: value for key, value in whole.items() if key != keyword}
        branches = [as_schema(branch) for branch in whole[keyword]]
        ways = [{"allOf": [rest, branch]} if rest else branch for branch in branches]
        proposed = _in_turn([self.values(way, depth) for way in ways])
        for value in islice(proposed, TRIES_MAX * len(ways)):
            self._spend()
            if self._checker.accepts(whole, value):
                yield value

    def _of_type(self, name: str, schema: Schema, depth: int) -> Iterator[Any]:
        if name == "object":
            return self._objects(schema, depth)
        if name == "array":
            return self._arrays(schema, depth)
        if name == "string":
            return self._fitting(schema, _texts(schema))
        if name in ("integer", "number"):
            return self._fitting(schema, _numbers(schema, whole=name == "integer"))
        if name == "boolean":
            return iter((False, True))
        return iter((None,) if name == "null" else ())

    def _fitting(self, schema: Schema, values: Iterator[Any]) -> Iterator[Any]:
        misses = 0
        for value in islice(values, SIZE_MAX):
            if self._checker.accepts(schema, value):
                misses = 0
                yield value
            elif (misses := misses + 1) == TRIES_MAX:
                return

    def _objects(self, schema: Schema, depth: int) -> Iterator[dict[str, Any]]:
        names = _names(schema)
        rows = {name: _Kept(self.values(_property(schema, name), depth - 1)) for name in names}
        for at in range(TRIES_MAX):
            if not all(row.reach(at) for row in rows.values()):
                return
            if at and all(row.is_past(at) for row in rows.values()):
                return
            value = {name: rows[name].pick(at) for name in names}
            self._spend(_weight(value))
            yield value

    def _arrays(self, schema: Schema, depth: int) -> Iterator[list[Any]]:
        least = _size(schema, "minItems")
        heads = [
            _Kept(self.values(part, depth - 1)) for part in schema.get("prefixItems", [])[:least]
        ]
        for at in range(TRIES_MAX):
            if not all(head.reach(at) for head in heads) or (at and not least):
                return
            value = [head.pick(at) for head in heads] + self._contained(schema, depth)
            rest = islice(self.values(schema.get("items", {}), depth - 1), at, None)
            value += _more(value, rest, least, unique=bool(schema.get("uniqueItems")))
            self._spend(_weight(value))
            yield value

    def _contained(self, schema: Schema, depth: int) -> list[Any]:
        if "contains" not in schema:
            return []
        both = {"allOf": [schema["contains"], schema.get("items", {})]}
        return list(islice(self.values(both, depth - 1), schema.get("minContains", 1)))


def _in_turn(rows: list[Iterator[Any]]) -> Iterator[Any]:
    """The first of each row, then the second of each, and so on."""
    while rows:
        going = []
        for row in rows:
            for value in islice(row, 1):
                yield value
                going.append(row)
        rows = going


def _is_meant(schema: Schema, name: str) -> bool:
    """Whether a schema has keywords that speak of this type."""
    return (name == "object" and ("properties" in schema or "required" in schema)) or (
        name == "array" and ("items" in schema or "prefixItems" in schema)
    )


def _names(schema: Schema) -> list[str]:
    """The properties to fill: those required, and as many more as there must be."""
    properties = schema.get("properties", {})
    names = list(schema.get("required", ()))
    least = _size(schema, "minProperties")
    others = [name for name in properties if name not in names]
    if least > len(names):
        names += others[: least - len(names)]
    names += [f"key{number}" for number in range(1, least - len(names) + 1)]
    for name in names:
        wanted = schema.get("dependentRequired", {}).get(name, ())
        names += [other for other in wanted if other not in names]
    in_order = [name for name in properties if name in names]
    return list(dict.fromkeys([*in_order, *names]))


def _property(schema: Schema, name: str) -> Any:
    rest = {} if "patternProperties" in schema else schema.get("additionalProperties", {})
    return schema.get("properties", {}).get(name, rest)


class _Kept:
    """Values of a row, remembered: past its end, the row begins again."""

    def __init__(self, row: Iterator[Any]) -> None:
        self._row = row
        self._kept: list[Any] = []

    def reach(self, place: int) -> bool:
        """Read up to `place`; whether the row has any value at all."""
        self._kept += islice(self._row, max(0, place + 1 - len(self._kept)))
        return bool(self._kept)

    def is_past(self, place: int) -> bool:
        """Whether the row ends before `place`."""
        return place >= len(self._kept)

    def pick(self, place: int) -> Any:
        """The value there."""
        return self._kept[place % len(self._kept)]


def _more(value: list[Any], rest: Iterator[Any], least: int, *, unique: bool) -> list[Any]:
    """What a list still lacks: one item again and again, or different ones."""
    missing = max(0, least - len(value))
    if not unique:
        return list(islice(rest, 1)) * missing
    seen = {key_of(item) for item in value}
    more: list[Any] = []
    for item in islice(rest, 2 * missing + TRIES_MAX):
        if len(more) < missing and key_of(item) not in seen:
            seen.add(key_of(item))
            more.append(item)
    return more


def _weight(value: Any) -> int:
    """About how large a value is; no more is counted than may be proposed."""
    waiting, weight = [value], 0
    while waiting and weight <= PROPOSALS_MAX:
        one = waiting.pop()
        weight += 1 + len(one) // 64 if isinstance(one, str) else 1
        waiting += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
    return weight


def _texts(schema: Schema) -> Iterator[str]:
    least, most = _size(schema, "minLength"), schema.get("maxLength")
    format = str(schema.get("format"))
    if format in _SAMPLES:
        yield _SAMPLES[format]
        yield from (_VARIED[format].format(number) for number in range(2, 29))
        return
    yield _fitted("text", least, most)
    for number in count(2):
        yield _fitted(f"{number}. text"[:most], least, most)


def _fitted(text: str, least: int, most: int | None) -> str:
    return text.ljust(least, ".")[:most]


def _numbers(schema: Schema, *, whole: bool) -> Iterator[float]:
    low = _bound(schema, "minimum", "exclusiveMinimum")
    high = _bound(schema, "maximum", "exclusiveMaximum")
    given = schema.get("multipleOf")
    step = Fraction(str(given)) if given else None
    if step is None and (whole or low is None or high is None or high - low > 2):
        step = Fraction(1)
    if step is None:
        assert low is not None
        assert high is not None
        for part in (Fraction(number, 64) for number in (0, 32, *range(1, 65))):
            yield _plain(low + (high - low) * part)
        return
    if whole and step.denominator != 1:
        step *= step.denominator
    for value in _steps(step, low, high):
        yield _plain(value)
        if not whole and given is None:
            yield _plain(value + Fraction(1, 2))


def _steps(step: Fraction, low: Fraction | None, high: Fraction | None) -> Iterator[Fraction]:
    """Multiples of `step` within the bounds, from the one nearest to zero outwards."""
    start = 0
    if low is not None and low > 0:
        start = ceil(low / step)
    elif high is not None and high < 0:
        start = floor(high / step)
    for number in count():
        up, down = (start + number) * step, (start - number) * step
        if high is None or up <= high:
            yield up
        if number and (low is None or down >= low):
            yield down
        if high is not None and low is not None and up > high and down < low:
            return


def _bound(schema: Schema, inclusive: str, exclusive: str) -> Fraction | None:
    given = [schema[key] for key in (inclusive, exclusive) if is_number(schema.get(key))]
    if not given:
        return None
    return Fraction(str(max(given) if inclusive == "minimum" else min(given)))


def _plain(value: Fraction) -> float:
    return value.numerator if value.denominator == 1 else float(value)


def _size(schema: Schema, key: str) -> int:
    size = schema.get(key, 0)
    if size > SIZE_MAX:
        raise SchemaUnusable(f"its {key} of {size} is over {SIZE_MAX}")
    return int(size)
