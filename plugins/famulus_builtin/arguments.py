"""Fills a JSON Schema from a user's words.

What is said is looked for by the property's name, type, format and description. What is not said
and not required is left out; what is required is filled in any case, with the schema's default,
with words of the user, or with the plainest value that the schema allows. The result satisfies
the schema as far as `validity` checks it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

from famulus_builtin import texts
from famulus_builtin.choices import chosen, truth
from famulus_builtin.kinds import Kind, kind_of, quantity_words
from famulus_builtin.named import assigned, listed
from famulus_builtin.refs import Schema, SchemaUnusable, merged, reading_schema, types_of
from famulus_builtin.said import Said, Span
from famulus_builtin.schema import example
from famulus_builtin.validity import Checker
from famulus_builtin.words import stem

DEPTH_MAX = 16
PARTS_MAX = 5_000
"""Parts of a schema that are looked at; what is beyond is filled in plainly."""
LIST_MAX = 64

_NOT_SAID: Final = object()

Found = tuple[Any, Span | None]
"""A value, and where it was said."""


def fill(
    schema: Any, text: str, given: Mapping[str, Any] | None = None, *, dull: Collection[str] = ()
) -> Any:
    """A value that satisfies the schema, from the text and from values known by name.

    Words whose stems are in `dull` are no values by themselves. Raises SchemaUnusable where the
    schema cannot be satisfied within bounds.
    """
    with reading_schema():
        return _Filler(schema, Said(text, dull), given or {}).whole()


class _Filler:
    def __init__(self, schema: Any, said: Said, given: Mapping[str, Any]) -> None:
        self._schema = schema
        self._checker = Checker(schema)
        self._said = said
        self._given = given
        self._parts_left = PARTS_MAX

    def whole(self) -> Any:
        value = self._value("", self._schema, needed=True, depth=0)
        if value is not _NOT_SAID and self._fits(self._schema, value):
            return value
        return example(self._schema)

    def _fits(self, schema: Any, value: Any) -> bool:
        return self._checker.accepts(schema, value)

    def _value(self, name: str, schema: Any, *, needed: bool, depth: int) -> Any:
        """What was said for this part, or _NOT_SAID; where it is needed, something in any case."""
        self._parts_left -= 1
        if depth > DEPTH_MAX or self._parts_left < 0:
            return _NOT_SAID
        whole = merged(schema, self._checker.root)
        for value, span in self._candidates(name, whole, needed=needed, depth=depth):
            if self._fits(schema, value):
                if span is not None:
                    self._said.claim(span)
                return value
        return self._stopgap(schema, whole) if needed else _NOT_SAID

    def _stopgap(self, schema: Any, whole: Schema) -> Any:
        for value in (*_defaults(whole), None, "unknown"):
            if self._fits(schema, value):
                return value
        try:
            return example(schema, self._checker)
        except SchemaUnusable:
            # One branch of several may allow nothing; `whole` tells where all of it does.
            return _NOT_SAID

    def _candidates(self, name: str, whole: Schema, *, needed: bool, depth: int) -> Iterator[Found]:
        if name in self._given:
            yield self._given[name], None
        if "const" in whole:
            yield from ((whole["const"], None) for _ in range(needed))
        elif "anyOf" in whole or "oneOf" in whole:
            yield from self._of_branches(name, whole, needed=needed, depth=depth)
        elif "enum" in whole:
            yield from chosen(self._said, whole["enum"])
        else:
            types = types_of(whole)
            for one in types:
                # Where null will do, nothing is made up.
                insist = needed and "null" not in types
                yield from self._of_type(one, name, whole, needed=insist, depth=depth)

    def _of_branches(
        self, name: str, whole: Schema, *, needed: bool, depth: int
    ) -> Iterator[Found]:
        keyword = "anyOf" if "anyOf" in whole else "oneOf"
        rest = {key: value for key, value in whole.items() if key != keyword}
        ways = [{"allOf": [rest, branch]} for branch in whole[keyword]]
        for way in ways:
            value = self._value(name, way, needed=False, depth=depth + 1)
            if value is not _NOT_SAID:
                yield value, None
        if not needed:
            return
        types = [types_of(merged(way, self._checker.root)) for way in ways]
        if ("null",) in types:
            yield None, None
        for way in ways:
            value = self._value(name, way, needed=True, depth=depth + 1)
            if value is not _NOT_SAID:
                yield value, None

    def _of_type(
        self, type_name: str, name: str, whole: Schema, *, needed: bool, depth: int
    ) -> Iterator[Found]:
        if type_name == "object":
            yield from self._objects(whole, needed=needed, depth=depth)
        elif type_name == "array":
            yield from self._lists(name, whole, needed=needed, depth=depth)
        elif type_name == "string":
            yield from self._texts(name, whole, needed=needed)
        elif type_name in ("integer", "number"):
            yield from self._numbers(name, whole, needed=needed)
        elif type_name == "boolean":
            yield from ((value, None) for value in truth(self._said, name))
            yield from ((value, None) for value in (*_defaults(whole), False) if needed)

    # -- compound values ------------------------------------------------------------------------

    def _objects(self, whole: Schema, *, needed: bool, depth: int) -> Iterator[Found]:
        properties = whole.get("properties", {})
        required = list(whole.get("required", ()))
        rest = whole.get("additionalProperties", {})
        values: dict[str, Any] = {}
        # First what the words clearly say, then what required properties take of the remainder.
        for insist in (False, True):
            if insist and not needed and not values:
                return
            for name in dict.fromkeys(required if insist else [*required, *properties]):
                if name not in values:
                    part = properties.get(name, rest)
                    value = self._value(name, part, needed=insist, depth=depth + 1)
                    values |= {} if value is _NOT_SAID else {name: value}
        ordered = [name for name in properties if name in values]
        yield {name: values[name] for name in dict.fromkeys([*ordered, *values])}, None

    def _lists(self, name: str, whole: Schema, *, needed: bool, depth: int) -> Iterator[Found]:
        items = whole.get("items", {})
        inner = merged(items, self._checker.root)
        types = types_of(inner)
        if "enum" in inner:
            said = [value for value, _ in chosen(self._said, inner["enum"])]
            if said or needed:
                yield [value for value in inner["enum"] if value in said][:LIST_MAX], None
            return
        if "string" in types:
            yield from self._taken(self._texts_listed(name, inner, needed=needed), items, str)
        elif "integer" in types or "number" in types:
            numbers = self._said.numbers
            yield from self._taken([numbers] if needed or len(numbers) > 1 else [], items, _number)
        one = self._value(name, items, needed=needed, depth=depth + 1)
        if one is not _NOT_SAID:
            yield [one], None

    def _texts_listed(self, name: str, inner: Schema, *, needed: bool) -> Iterator[Sequence[Span]]:
        """Rows of texts that may be the members of a list, the clearest first."""
        said, kind = self._said, kind_of(name, inner)
        if kind in (Kind.EMAIL, Kind.URL, Kind.DATE):
            yield {Kind.EMAIL: said.emails, Kind.URL: said.urls, Kind.DATE: said.dates}[kind]
        yield listed(said, name)
        yield said.quotes
        if needed or kind in (Kind.PLACE, Kind.PERSON):
            yield said.names

    def _taken(
        self, rows: Iterable[Sequence[Span]], items: Any, read: Callable[[str], Any]
    ) -> Iterator[Found]:
        """Each row as a list, of those members that the items' schema accepts."""
        for row in rows:
            spans = [one for one in self._said.free(row) if self._fits(items, read(one.value))]
            if spans:
                for span in spans:
                    self._said.claim(span)
                yield [read(span.value) for span in spans][:LIST_MAX], None

    # -- plain values ---------------------------------------------------------------------------

    def _numbers(self, name: str, whole: Schema, *, needed: bool) -> Iterator[Found]:
        close, far = quantity_words(name, str(whole.get("description", "")))
        free = list(self._said.free(self._said.numbers))
        for wanted in (close, far):
            for span in free:
                around = {stem(self._said.word_before(span))}
                around |= {stem(word) for word in self._said.words_after(span)}
                if self._said.text[span.start] in "$\u20ac\u00a3":
                    around.add("money")
                is_year = "year" in close and re.fullmatch(r"[12]\d{3}", span.value)
                if around & wanted or is_year:
                    yield _number(span.value), span
        if needed:
            yield from ((_number(span.value), span) for span in free)

    def _texts(self, name: str, whole: Schema, *, needed: bool) -> Iterator[Found]:
        if not name:
            return
        said, kind = self._said, kind_of(name, whole)
        spans = chain(assigned(said, name, kind), texts.clear(said, kind))
        if kind is Kind.MOMENT:
            spans = chain(spans, texts.moments(said))
        yield from ((_formed(span, whole), span) for span in said.free(spans) if span.value)
        if needed:
            yield from ((value, None) for value in _defaults(whole))
            likely = said.free(texts.likely(said, kind))
            yield from ((span.value, span) for span in likely if span.value)


def _defaults(whole: Schema) -> list[Any]:
    return [whole["default"]] if "default" in whole else []


def _number(text: str) -> float:
    value = float(text)
    return int(value) if value.is_integer() else value


def _formed(span: Span, whole: Schema) -> str:
    """The value in the form that the schema's format asks for."""
    if whole.get("format") == "time" and re.fullmatch(r"\d\d:\d\d", span.value):
        return f"{span.value}:00Z"
    return span.value
