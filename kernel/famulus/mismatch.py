"""Find the first value of a JSON document that its type refuses, and say so as OpenAI would.

msgspec stops at the same value, but tells neither the value nor the keys that lead to it. This
walk is made only after it refused, so it is written to be clear, not fast.
"""

from __future__ import annotations

import enum
import math
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from types import EllipsisType
from typing import Any

from msgspec import inspect as mi

from famulus.shapes import Orders, Shape, alternatives, bare
from famulus_schemas import errors
from famulus_schemas.errors import Problem

SHOWN_MAX = 64
"""How many characters of a client's own text are told back to it."""

Path = tuple[str | int | EllipsisType, ...]
"""Keys and indexes; in a hint, an ellipsis stands for a key that is not known."""

_NESTS = frozenset({dict, list})
_OBJECTS = (mi.StructType, mi.TypedDictType, mi.DataclassType)
_ARRAYS = (mi.CollectionType, mi.TupleType)
_CONSTANTS = (mi.LiteralType, mi.EnumType)
_KNOWN = (
    *_OBJECTS,
    *_ARRAYS,
    *_CONSTANTS,
    mi.DictType,
    mi.StrType,
    mi.BoolType,
    mi.IntType,
    mi.FloatType,
    mi.NoneType,
)


def refuse_mismatch(
    document: Any, shape: Shape, *, within: str = "", hint: Path | None = None
) -> None:
    """Raise the `Problem` of the first offending value, or return where there is none.

    `within` is the name of the parameter that the document is the value of. `hint` is the way to
    the value, where it is known: of arrays, only the items that lie on it are looked at.
    """
    _Walk(shape.orders, within, hint).visit(document, shape.root, ())


def refuse_unsayable(document: Any, *, within: str = "", allow_nul: bool = False) -> None:
    """Raise the `Problem` of the first text that holds half a surrogate pair or a NUL."""
    walk = _Walk({}, within)
    path = _find(document, _is_broken)
    if path is not None:
        raise walk.invalid(path, "the text holds half of a surrogate pair, which is no character.")
    path = None if allow_nul else _find(document, _has_nul)
    if path is not None:
        raise walk.invalid(path, "the text holds a NUL character (\\u0000).")


def missing_first(shape: Shape, *, within: str = "") -> Problem | None:
    """What an absent body is told: its first required parameter, where it has one."""
    structs = [kind for kind in alternatives(shape.root) if isinstance(kind, mi.StructType)]
    walk = _Walk(shape.orders, within)
    if len(structs) > 1 and structs[0].tag_field is not None:
        return walk.missing((structs[0].tag_field,))
    for field in structs[0].fields if structs else ():
        if field.required:
            return walk.missing((field.encode_name,))
    return None


def is_deeper(document: Any, depth_max: int) -> bool:
    """Whether arrays and objects are nested in more levels than that."""
    level = [document] if type(document) in _NESTS else []
    for _ in range(depth_max):
        level = [
            child
            for part in level
            for child in (part.values() if type(part) is dict else part)
            if type(child) in _NESTS
        ]
        if not level:
            return False
    return bool(level)


def has_infinity(document: Any) -> bool:
    """Whether a number in it is too large for a decimal."""
    return _find(document, _is_infinite) is not None


def shown(text: str) -> str:
    """A client's text, fit to be told back: shortened, and free of what no answer can carry."""
    if len(text) > SHOWN_MAX:
        text = text[: SHOWN_MAX - 3] + "..."
    return text.encode("utf-8", "backslashreplace").decode()


class _Walk:
    """One walk. `visit` raises; to return is to have found nothing."""

    def __init__(self, orders: Orders, within: str, hint: Path | None = None) -> None:
        self._orders = orders
        self._within = within
        self._hint = hint

    # --- names ------------------------------------------------------------------------------

    def name(self, path: Path) -> str:
        name = self._within
        for part in path:
            if isinstance(part, int):
                name += f"[{part}]"
            else:
                name += ("." if name else "") + shown(str(part))
        return name or "body"

    def problem(self, fault: errors.Fault, path: Path, **names: Any) -> Problem:
        name = self.name(path)
        return Problem(fault, param=name, **({"name": name} | names))

    def missing(self, path: Path) -> Problem:
        return self.problem(errors.MISSING_PARAMETER, path)

    def invalid(self, path: Path, reason: str) -> Problem:
        return self.problem(errors.INVALID, path, reason=reason)

    def out_of_range(self, path: Path) -> Problem:
        return self.invalid(path, "the number is out of range.")

    def wrong_type(self, value: Any, kinds: Sequence[mi.Type], path: Path) -> Problem:
        expected = self._expected(kinds)
        return self.problem(errors.INVALID_TYPE, path, expected=expected, got=_article(value))

    # --- choosing a branch ------------------------------------------------------------------

    def visit(self, value: Any, kind: mi.Type, path: Path) -> None:
        kinds = alternatives(kind)
        fitting = [branch for branch in kinds if _admits(branch, value)]
        if not fitting:
            raise self.wrong_type(value, kinds, path)
        structs = [branch for branch in fitting if isinstance(branch, mi.StructType)]
        if len(structs) > 1:
            self._object(value, self._by_tag(value, structs, path), path)
        else:
            # Of `float | int`, a number written without a point is the integer.
            fitting.sort(key=lambda branch: isinstance(branch, mi.FloatType))
            self._check(value, fitting[0], path)

    def _by_tag(self, value: Any, structs: list[mi.StructType], path: Path) -> mi.StructType:
        tag_field = structs[0].tag_field
        assert tag_field is not None, "msgspec builds no union of untagged structs"
        at = (*path, tag_field)
        if tag_field not in value:
            raise self.missing(at)
        tag = value[tag_field]
        self._tag(tag, [struct.tag for struct in structs], at)
        return next(struct for struct in structs if struct.tag == tag)

    def _tag(self, tag: Any, tags: list[str | int | None], path: Path) -> None:
        if type(tag) not in {type(known) for known in tags}:
            raise self.wrong_type(tag, [mi.LiteralType(tuple(tags))], path)
        if tag not in tags:
            raise self._unsupported(tag, tags, path)

    # --- one branch -------------------------------------------------------------------------

    def _check(self, value: Any, kind: mi.Type, path: Path) -> None:
        if isinstance(kind, mi.AnyType):
            beyond = _find(value, _is_infinite)
            if beyond is not None:
                raise self.out_of_range((*path, *beyond))
        elif isinstance(kind, _CONSTANTS):
            self._constant(value, kind, path)
        elif isinstance(kind, _OBJECTS) and isinstance(value, dict):
            self._object(value, kind, path)
        elif isinstance(kind, mi.DictType):
            self._map(value, kind, path)
        elif isinstance(kind, mi.CollectionType):
            self._array(value, kind, path)
        elif isinstance(kind, mi.TupleType):
            self._tuple(value, kind, path)
        elif isinstance(kind, mi.StrType):
            self._string(value, kind, path)
        elif isinstance(kind, mi.IntType):
            self._bounds(value, kind, path, errors.INTEGER_BELOW, errors.INTEGER_ABOVE)
        elif isinstance(kind, mi.FloatType):
            self._bounds(value, kind, path, errors.DECIMAL_BELOW, errors.DECIMAL_ABOVE)

    def _constant(self, value: Any, kind: mi.LiteralType | mi.EnumType, path: Path) -> None:
        values = self._values(kind)
        if not any(value == one and type(value) is type(one) for one in values):
            raise self._unsupported(value, values, path)

    def _object(self, value: dict[str, Any], kind: Any, path: Path) -> None:
        fields = {field.encode_name: field for field in kind.fields}
        tag_field = getattr(kind, "tag_field", None)
        for key, child in value.items():
            at = (*path, key)
            if key in fields:
                self.visit(child, fields[key].type, at)
            elif key == tag_field:
                self._tag(child, [kind.tag], at)
            elif getattr(kind, "forbid_unknown_fields", False):
                raise self.problem(errors.UNKNOWN_PARAMETER, at)
        for name, field in fields.items():
            if field.required and name not in value:
                raise self.missing((*path, name))

    def _map(self, value: dict[str, Any], kind: mi.DictType, path: Path) -> None:
        if kind.max_length is not None and len(value) > kind.max_length:
            fault, limit = errors.OBJECT_TOO_LARGE, kind.max_length
            raise self.problem(fault, path, limit=limit, got=len(value))
        if kind.min_length is not None and len(value) < kind.min_length:
            fault, limit = errors.OBJECT_TOO_SMALL, kind.min_length
            raise self.problem(fault, path, limit=limit, got=len(value))
        key_kind = bare(kind.key_type)
        for key, child in value.items():
            at = (*path, key)
            if isinstance(key_kind, mi.StrType):
                self._property_name(key, key_kind, path)
            elif isinstance(key_kind, _CONSTANTS):
                self._constant(key, key_kind, at)
            self.visit(child, kind.value_type, at)

    def _property_name(self, key: str, kind: mi.StrType, path: Path) -> None:
        at = (*path, key)
        owner, key_shown, got = self.name(path), shown(key), len(key)
        names = {"name": owner, "key": key_shown, "got": got}
        if kind.max_length is not None and got > kind.max_length:
            fault = errors.PROPERTY_NAME_TOO_LONG
            raise self.problem(fault, at, limit=kind.max_length, **names)
        if kind.min_length is not None and got < kind.min_length:
            fault = errors.PROPERTY_NAME_TOO_SHORT
            raise self.problem(fault, at if key else path, limit=kind.min_length, **names)
        if kind.pattern is not None and not re.search(kind.pattern, key):
            pattern = _readable(kind.pattern)
            reason = f"the property name '{key_shown}' does not match '{pattern}'."
            raise self.problem(errors.INVALID, at, name=owner, reason=reason)

    def _array(self, value: list[Any], kind: mi.CollectionType, path: Path) -> None:
        self._length(len(value), kind.min_length, kind.max_length, path)
        indexes = range(len(value))
        for index in indexes if self._hint is None else self._hinted(path, indexes):
            self.visit(value[index], kind.item_type, (*path, index))

    def _hinted(self, path: Path, indexes: range) -> tuple[int, ...]:
        """The index in the array at `path` that the hint leads through, if it does."""
        hint = self._hint or ()
        leads = len(hint) > len(path) and all(
            step in (part, ...) for part, step in zip(path, hint, strict=False)
        )
        step = hint[len(path)] if leads else None
        # Where a key on the way is not known, the array may be another one, and shorter.
        return (step,) if isinstance(step, int) and step in indexes else ()

    def _tuple(self, value: list[Any], kind: mi.TupleType, path: Path) -> None:
        length = len(kind.item_types)
        self._length(len(value), length, length, path)
        for index, (child, item) in enumerate(zip(value, kind.item_types, strict=True)):
            self.visit(child, item, (*path, index))

    def _length(self, got: int, least: int | None, most: int | None, path: Path) -> None:
        if most is not None and got > most:
            raise self.problem(errors.ARRAY_TOO_LONG, path, limit=most, got=got)
        if least is not None and got < least:
            fault = errors.ARRAY_TOO_SHORT if got else errors.EMPTY_ARRAY
            raise self.problem(fault, path, limit=least, got=got)

    def _string(self, value: str, kind: mi.StrType, path: Path) -> None:
        got = len(value)
        if kind.max_length is not None and got > kind.max_length:
            raise self.problem(errors.STRING_TOO_LONG, path, limit=kind.max_length, got=got)
        if kind.min_length is not None and got < kind.min_length:
            fault = errors.STRING_TOO_SHORT if got else errors.EMPTY_STRING
            raise self.problem(fault, path, limit=kind.min_length, got=got)
        if kind.pattern is not None and not re.search(kind.pattern, value):
            raise self.problem(errors.STRING_PATTERN, path, limit=_readable(kind.pattern))

    def _bounds(
        self,
        value: float,
        kind: mi.IntType | mi.FloatType,
        path: Path,
        below: errors.Fault,
        above: errors.Fault,
    ) -> None:
        if _is_infinite(value) or (
            isinstance(kind, mi.FloatType) and abs(value) > sys.float_info.max
        ):
            raise self.out_of_range(path)
        got = shown(str(value))
        if kind.ge is not None and value < kind.ge:
            raise self.problem(below, path, limit=_plain(kind.ge), got=got)
        if kind.le is not None and value > kind.le:
            raise self.problem(above, path, limit=_plain(kind.le), got=got)
        if kind.gt is not None and value <= kind.gt:
            raise self.invalid(path, f"must be greater than {_plain(kind.gt)}, but got {got}.")
        if kind.lt is not None and value >= kind.lt:
            raise self.invalid(path, f"must be less than {_plain(kind.lt)}, but got {got}.")
        if kind.multiple_of is not None and math.fmod(value, kind.multiple_of):
            reason = f"must be a multiple of {_plain(kind.multiple_of)}, but got {got}."
            raise self.invalid(path, reason)

    # --- words ------------------------------------------------------------------------------

    def _unsupported(self, value: Any, values: Iterable[Any], path: Path) -> Problem:
        expected = _enumerated([f"'{one}'" for one in values if one is not None], "and")
        return self.problem(errors.INVALID_VALUE, path, got=shown(str(value)), expected=expected)

    def _values(self, kind: mi.LiteralType | mi.EnumType) -> tuple[Any, ...]:
        if isinstance(kind, mi.EnumType):
            members: Iterable[enum.Enum] = kind.cls
            return tuple(member.value for member in members)
        return self._orders.get(frozenset(kind.values), kind.values)

    def _expected(self, kinds: Sequence[mi.Type]) -> str:
        words: dict[str, None] = {}
        for kind in kinds:
            words.update(dict.fromkeys(self._words(kind)))
        nouns = list(words)
        if len(nouns) < 2:
            return nouns[0] if nouns else "null"
        if not any(noun.startswith("'") for noun in nouns):
            # OpenAI says "one of a string or array of objects".
            nouns[1:] = [noun.partition(" ")[2] for noun in nouns[1:]]
        return "one of " + _enumerated(nouns, "or")

    def _words(self, kind: mi.Type) -> list[str]:
        if isinstance(kind, mi.NoneType):
            return []
        if isinstance(kind, _CONSTANTS):
            return [f"'{value}'" for value in self._values(kind) if value is not None]
        if isinstance(kind, mi.CollectionType):
            items = {_noun(item) for item in alternatives(kind.item_type)}
            item = items.pop() if len(items) == 1 else ""
            return [f"an array of {item.partition(' ')[2]}s" if item else "an array"]
        return [_noun(kind)]


def _admits(kind: mi.Type, value: Any) -> bool:
    if isinstance(kind, _CONSTANTS):
        values = kind.values if isinstance(kind, mi.LiteralType) else [m.value for m in kind.cls]
        return type(value) in {type(one) for one in values}
    if not isinstance(kind, _KNOWN) or getattr(kind, "array_like", False):
        # What this walk does not know, msgspec judges alone.
        return True
    if value is None:
        return isinstance(kind, mi.NoneType)
    if isinstance(value, bool):
        return isinstance(kind, mi.BoolType)
    if isinstance(value, int):
        return isinstance(kind, mi.IntType | mi.FloatType)
    if isinstance(value, float):
        # A number too large for any type fits none and is told as such.
        return isinstance(kind, mi.FloatType) or (
            isinstance(kind, mi.IntType) and math.isinf(value)
        )
    if isinstance(value, str):
        return isinstance(kind, mi.StrType)
    return isinstance(kind, _ARRAYS if isinstance(value, list) else (*_OBJECTS, mi.DictType))


def _find(value: Any, is_bad: Callable[[Any], bool]) -> Path | None:
    """The way to the first key or leaf of which that is true."""
    if type(value) is dict:
        for key, child in value.items():
            if is_bad(key):
                return (key,)
            way = _find(child, is_bad)
            if way is not None:
                return (key, *way)
    elif type(value) is list:
        for index, child in enumerate(value):
            way = _find(child, is_bad)
            if way is not None:
                return (index, *way)
    elif is_bad(value):
        return ()
    return None


def _is_infinite(value: Any) -> bool:
    return type(value) is float and math.isinf(value)


def _is_broken(value: Any) -> bool:
    if type(value) is not str or value.isascii():
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


def _has_nul(value: Any) -> bool:
    return type(value) is str and "\0" in value


def _article(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, float):
        return "a decimal number"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"


def _noun(kind: mi.Type) -> str:
    if isinstance(kind, mi.BoolType):
        return "a boolean"
    if isinstance(kind, mi.IntType):
        return "an integer"
    if isinstance(kind, mi.FloatType):
        return "a decimal"
    if isinstance(kind, _ARRAYS):
        return "an array"
    if isinstance(kind, (*_OBJECTS, mi.DictType)):
        return "an object"
    if isinstance(kind, mi.AnyType | mi.RawType):
        return ""
    return "a string"


def _plain(limit: float) -> str:
    return str(int(limit)) if isinstance(limit, float) and limit.is_integer() else str(limit)


def _readable(pattern: str) -> str:
    # Only Python's `$` needs this look-ahead; to a reader it is noise.
    return pattern.replace(r"(?!\n)", "")


def _enumerated(words: list[str], last: str) -> str:
    if len(words) < 3:
        return f" {last} ".join(words)
    return ", ".join(words[:-1]) + f", {last} {words[-1]}"
