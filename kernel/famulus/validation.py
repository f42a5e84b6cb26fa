"""From bytes to a typed value, or to a `Problem` in OpenAI's words.

What is right costs one msgspec decode. Only what is wrong is read a second time, untyped, and
walked to its first offending value. Of a key that is given twice, the last value counts.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import inspect as mi

from famulus.mismatch import (
    Path,
    has_infinity,
    is_deeper,
    missing_first,
    refuse_mismatch,
    refuse_unsayable,
    shown,
)
from famulus.shapes import Shape, alternatives, bare
from famulus_schemas.errors import (
    BODY_TOO_DEEP,
    INVALID,
    NOT_JSON,
    UNKNOWN_PARAMETER,
    Problem,
)

T = TypeVar("T")

DEPTH_MAX = 64
INTEGER_DIGITS_MAX = 4300
"""What msgspec and Python themselves allow an integer."""

_BACKSLASH = ord("\\")
_NUL = b"\\u0000"
_REFUSALS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_PLACE = re.compile(r" - at `(?:key` in `)?\$(.*)`$")
_STEP = re.compile(r"\.([^.\[]+)|\[([^\]]*)\]")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_BRACKETS = re.compile(r"^(.+?)\[(.*)\]$", re.DOTALL)


class BodyDecoder(Generic[T]):
    """Decodes bodies of one type; make it once and keep it."""

    __slots__ = ("_decode", "_deep_from", "_depth_max", "_kind", "_scans_nul", "_shape", "_skips")

    def __init__(self, kind: type[T] | Any, *, depth_max: int = DEPTH_MAX) -> None:
        self._decode: Callable[[bytes], T] = msgspec.json.Decoder(kind).decode
        self._depth_max = depth_max
        self._kind = kind
        self._shape: Shape | None = None
        self._deep_from = sys.maxsize
        self._skips = self._scans_nul = False

    def decode(self, data: bytes, *, within: str = "") -> T:
        """The value of `data`; raises only `Problem`, status 400.

        `within` names the parameter that `data` is the value of, where it is part of a body.
        """
        try:
            value = self._decode(data)
        except _REFUSALS as refusal:
            return self._explain(data, within, refusal)
        if self._shape is None:
            self._learn()
        if len(data) >= self._deep_from and self._may_be_deep(data):
            self._refuse_depth(data)
        if self._skips and not data.isascii():
            _text(data)
        if self._scans_nul and data.find(_BACKSLASH) >= 0 and _NUL in data:
            self._refuse_nul(data, within)
        return value

    def convert(self, value: Any, *, within: str = "") -> T:
        """The same for a JSON value that is decoded already: a part of a body, or a form."""
        if is_deeper(value, self._depth_max):
            raise Problem(BODY_TOO_DEEP)
        refuse_mismatch(value, self._shape or self._learn(), within=within)
        refuse_unsayable(value, within=within)
        try:
            converted: T = msgspec.convert(value, self._kind)
        except msgspec.ValidationError as refusal:
            raise _as_told(refusal, within) from refusal
        return converted

    def _learn(self) -> Shape:
        # Not at once: it takes a millisecond for a large type, and a server has many types.
        shape = self._shape = Shape(self._kind)
        if shape.is_open:
            self._deep_from = 2 * self._depth_max
        self._skips = shape.skips
        # What is passed on as it came is not ours to refuse.
        self._scans_nul = not shape.keeps_raw
        return shape

    def _may_be_deep(self, data: bytes) -> bool:
        # Deleting is the fastest way to count: it leaps from one bracket to the next.
        rest = len(data.replace(b"{", b"")) + len(data.replace(b"[", b""))
        return 2 * len(data) - rest > self._depth_max

    def _refuse_depth(self, data: bytes) -> None:
        with _too_deep():
            try:
                document = msgspec.json.decode(data)
            except (msgspec.DecodeError, UnicodeDecodeError):
                # An ignored part is such that only `json` reads it, or refuses it.
                document = _read(data)
            if is_deeper(document, self._depth_max):
                raise Problem(BODY_TOO_DEEP)

    def _refuse_nul(self, data: bytes, within: str) -> None:
        with _too_deep():
            refuse_unsayable(_read(data), within=within)

    def _explain(self, data: bytes, within: str, refusal: Exception) -> T:
        shape = self._shape or self._learn()
        if not data.strip():
            raise missing_first(shape, within=within) or Problem(NOT_JSON, reason="it is empty")
        with _too_deep():
            document = _read(data)
            if shape.is_open and is_deeper(document, self._depth_max):
                raise Problem(BODY_TOO_DEEP)
            if isinstance(refusal, msgspec.ValidationError):
                refuse_mismatch(document, shape, within=within, hint=_place(refusal))
            refuse_unsayable(document, within=within, allow_nul=shape.keeps_raw)
            return self._decode_last(document, within, shape)

    def _decode_last(self, document: Any, within: str, shape: Shape) -> T:
        """What was refused for a value that a later one of the same key replaced."""
        if has_infinity(document):
            # No JSON can be written of it; where it is allowed at all, it is ignored.
            refuse_mismatch(document, shape, within=within)
        try:
            return self._decode(msgspec.json.encode(document))
        except msgspec.ValidationError as again:
            refuse_mismatch(document, shape, within=within, hint=_place(again))
            raise _as_told(again, within) from again


def check(value: Any, kind: type[T] | Any, *, within: str = "", depth_max: int = DEPTH_MAX) -> T:
    """Convert one decoded value; where there are many of a type, keep a `BodyDecoder`."""
    decoder: BodyDecoder[T] = BodyDecoder(kind, depth_max=depth_max)
    return decoder.convert(value, within=within)


class QueryDecoder(Generic[T]):
    """Decodes query strings, and the fields of forms, to one struct.

    A list is given as `name[]=a&name[]=b`, `name=a&name=b` or `name[0]=a`; a map or a nested
    struct as `name[key]=value`. Names that the struct does not have are ignored unless
    `refuse_unknown`.
    """

    __slots__ = ("_fields", "_fields_max", "_kind", "_refuse_unknown", "_shape")

    def __init__(
        self, kind: type[T] | Any, *, refuse_unknown: bool = False, fields_max: int = 256
    ) -> None:
        self._kind = kind
        self._refuse_unknown = refuse_unknown
        self._fields_max = fields_max
        self._shape: Shape | None = None
        self._fields: dict[str, mi.Type] = {}

    def decode(self, query_string: bytes) -> T:
        """The struct that a query string gives; raises only `Problem`, status 400."""
        return self.decode_pairs(_pairs(query_string, self._fields_max))

    def decode_pairs(self, pairs: Iterable[tuple[str, str]]) -> T:
        """The struct that names and their texts give; raises only `Problem`, status 400."""
        shape = self._shape or self._learn()
        document = self._gather(pairs)
        try:
            value: T = msgspec.convert(document, self._kind)
        except msgspec.ValidationError as refusal:
            refuse_mismatch(document, shape)
            raise _as_told(refusal, "") from refusal
        return value

    def knows(self, name: str) -> bool:
        """Whether a name, perhaps with brackets, is one of the struct's."""
        if self._shape is None:
            self._learn()
        return _split(name, self._fields)[0] is not None

    def _learn(self) -> Shape:
        shape = self._shape = Shape(self._kind)
        root = bare(shape.root)
        assert isinstance(root, mi.StructType), "a query decodes to a struct"
        self._fields = {field.encode_name: field.type for field in root.fields}
        return shape

    def _gather(self, pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
        document: dict[str, Any] = {}
        for given, text in pairs:
            name, key = _split(given, self._fields)
            _refuse_unsayable(given, text)
            known = name is not None and _put(document, name, key, text, self._fields[name])
            if not known and self._refuse_unknown:
                told = shown(given) or "query"
                raise Problem(UNKNOWN_PARAMETER, param=told, name=told)
        return document


# --- reading JSON again -------------------------------------------------------------------------


@contextmanager
def _too_deep() -> Iterator[None]:
    try:
        yield
    except RecursionError as error:
        raise Problem(BODY_TOO_DEEP) from error


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Problem(NOT_JSON, reason=f"byte {error.start} is not valid UTF-8") from error


def _read(data: bytes) -> Any:
    text = _text(data)
    if text.startswith("\ufeff"):
        raise Problem(NOT_JSON, reason="it starts with a byte order mark")
    try:
        try:
            return json.loads(text, parse_constant=_constant)
        except json.JSONDecodeError:
            raise
        except ValueError:
            # An integer of more digits than Python reads; only then is each one looked at.
            return json.loads(text, parse_int=_integer, parse_constant=_constant)
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")
        where = f"line {error.lineno}, column {error.colno}"
        reason = f"{what[:1].lower()}{what[1:]} at {where}"
        raise Problem(NOT_JSON, reason=reason) from error


def _integer(text: str) -> int | float:
    # Infinity stands for every number that is out of range, as it does for decimals.
    return int(text) if len(text) <= INTEGER_DIGITS_MAX else float("inf")


def _constant(text: str) -> Any:
    raise Problem(NOT_JSON, reason=f"{text} is not a JSON value")


def _place(refusal: msgspec.ValidationError) -> Path:
    """Where msgspec stopped; it does not tell the keys of maps."""
    found = _PLACE.search(str(refusal))
    steps = _STEP.findall(found.group(1)) if found else []
    return tuple(name if name else int(index) if index.isdigit() else ... for name, index in steps)


def _as_told(refusal: msgspec.ValidationError, within: str) -> Problem:
    """The last resort: what msgspec refuses for a reason that the walk does not know."""
    message = str(refusal)
    found = _PLACE.search(message)
    place = found.group(1) if found else ""
    name = (within + place if within else place.removeprefix(".")) or "body"
    return Problem(INVALID, param=name, name=name, reason=_PLACE.sub("", message) + ".")


# --- reading a query ----------------------------------------------------------------------------


def _pairs(query_string: bytes, fields_max: int) -> list[tuple[str, str]]:
    if not query_string:
        return []
    text = query_string.decode("utf-8", "surrogateescape")
    try:
        # What is not UTF-8 becomes half a surrogate, and is refused by the name of its field.
        return parse_qsl(
            text, keep_blank_values=True, errors="surrogateescape", max_num_fields=fields_max
        )
    except ValueError as error:
        reason = f"more than {fields_max} fields."
        raise Problem(INVALID, param="query", name="query", reason=reason) from error


def _refuse_unsayable(name: str, text: str) -> None:
    whole = name + text
    if not whole.isascii():
        try:
            whole.encode()
        except UnicodeEncodeError as error:
            raise _unsayable(name, "the text is not valid UTF-8.") from error
    if "\0" in whole:
        raise _unsayable(name, "the text holds a NUL character (%00).")


def _unsayable(name: str, reason: str) -> Problem:
    told = shown(name) or "query"
    return Problem(INVALID, param=told, name=told, reason=reason)


def _split(given: str, fields: dict[str, mi.Type]) -> tuple[str | None, str | None]:
    if given in fields:
        return given, None
    found = _BRACKETS.match(given)
    if found is None or found.group(1) not in fields:
        return None, None
    return found.group(1), found.group(2)


def _put(document: dict[str, Any], name: str, key: str | None, text: str, kind: mi.Type) -> bool:
    """Whether the field takes a value that is given in this way."""
    branches = alternatives(kind)
    items = [one for one in branches if isinstance(one, mi.CollectionType)]
    maps = [one for one in branches if isinstance(one, mi.DictType | mi.StructType)]
    if items and (key is None or key == "" or key.isdigit()):
        document.setdefault(name, []).append(_loosely(text, alternatives(items[0].item_type)))
    elif maps and key:
        document.setdefault(name, {})[key] = _loosely(text, _within_map(maps[0], key))
    elif key is None:
        document[name] = _loosely(text, branches)
    else:
        return False
    return True


def _within_map(kind: mi.Type, key: str) -> list[mi.Type]:
    if isinstance(kind, mi.DictType):
        return alternatives(kind.value_type)
    assert isinstance(kind, mi.StructType)
    found = [field.type for field in kind.fields if field.encode_name == key]
    return alternatives(found[0]) if found else []


def _loosely(text: str, branches: list[mi.Type]) -> Any:
    """A text as the JSON value that its type asks for, or the text where it is none."""
    if any(_takes_text(branch, text) for branch in branches):
        return text
    for branch in branches:
        if isinstance(branch, mi.BoolType) and text.lower() in _BOOLEANS:
            return _BOOLEANS[text.lower()]
        if isinstance(branch, mi.NoneType) and text.lower() == "null":
            return None
        if isinstance(branch, mi.IntType | mi.FloatType | mi.LiteralType):
            number = _number(text)
            if number is not None:
                return number
    return text


_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


def _takes_text(kind: mi.Type, text: str) -> bool:
    if isinstance(kind, mi.LiteralType):
        return text in kind.values
    known = mi.BoolType | mi.NoneType | mi.IntType | mi.FloatType | mi.CollectionType
    return not isinstance(kind, known)


def _number(text: str) -> int | float | None:
    if _NUMBER.fullmatch(text) is None:
        return None
    return _integer(text) if text.lstrip("-").isdigit() else float(text)
