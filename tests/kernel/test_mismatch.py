"""The walk that words a refusal finds a fault exactly where msgspec refuses."""

from __future__ import annotations

import enum
import json
import re
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec import inspect as mi

from famulus.mismatch import refuse_mismatch
from famulus.shapes import Shape, alternatives, bare
from famulus.validation import BodyDecoder
from famulus_schemas.assistants import CreateAssistant, ModifyAssistant
from famulus_schemas.chat import ChatFields
from famulus_schemas.embeddings import CreateEmbedding
from famulus_schemas.errors import Problem
from famulus_schemas.messages import CreateMessage
from famulus_schemas.runs import CreateRun, CreateThreadAndRun, SubmitToolOutputs
from famulus_schemas.threads import CreateThread, ModifyThread


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Everything(Struct, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A type with what the wire's own structs do not use."""

    snake_name: int = 0
    colour: Colour = Colour.RED
    level: Literal[1, 2] = 1
    above: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    even: Annotated[int, Meta(multiple_of=2)] = 0
    word: Annotated[str, Meta(min_length=3)] = "abc"
    items: Annotated[list[int], Meta(min_length=2, max_length=3)] = msgspec.field(
        default_factory=lambda: [1, 2]
    )
    pair: tuple[int, str] = (1, "a")
    names: set[str] = set()
    few: Annotated[dict[str, int], Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: {"a": 1}
    )
    keyed: dict[Annotated[str, Meta(pattern="^[a-z]+$")], int] = {}
    either: int | float = 1
    maybe: int | UnsetType = UNSET
    anything: Any = None
    many: list[str | int] = []
    lists: dict[str, list[int]] = {}


REQUESTS: list[Any] = [
    CreateAssistant,
    ModifyAssistant,
    CreateThread,
    ModifyThread,
    CreateMessage,
    CreateRun,
    CreateThreadAndRun,
    SubmitToolOutputs,
    CreateEmbedding,
    ChatFields,
    Everything,
]
SHAPES = {kind: Shape(kind) for kind in REQUESTS}
DECODERS: dict[Any, BodyDecoder[Any]] = {kind: BodyDecoder(kind) for kind in REQUESTS}

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 300)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | st.sampled_from(["auto", "function", "file_search", "user", "text", "static", ""])
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def right(kind: mi.Type) -> st.SearchStrategy[Any]:
    """JSON values that a type takes."""
    return st.one_of([_right_branch(branch) for branch in alternatives(kind)])


def _right_branch(kind: mi.Type) -> st.SearchStrategy[Any]:
    match kind:
        case mi.NoneType():
            return st.none()
        case mi.BoolType():
            return st.booleans()
        case mi.IntType(ge=ge, le=le, multiple_of=step):
            return st.integers(ge if ge is not None else -5, le).map(lambda n: n * (step or 1))
        case mi.FloatType(gt=0):
            return st.floats(0.1, 0.9)
        case mi.FloatType(ge=ge, le=le):
            return st.floats(ge, le, allow_nan=False, allow_infinity=False)
        case mi.StrType(pattern=str(pattern), max_length=longest):
            readable = re.sub(r"\[\^[^\]]+\]", "[a-z]", pattern.replace(r"(?!\n)", ""))
            readable = readable.replace("$", "")
            found = st.from_regex(readable.replace("^", ""), fullmatch=True)
            return found.map(lambda text: text[: longest or 100])
        case mi.StrType(min_length=shortest, max_length=longest):
            letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
            return st.text(letters, min_size=shortest or 0, max_size=min(longest or 6, 6))
        case mi.LiteralType(values=values):
            return st.sampled_from(values)
        case mi.EnumType(cls=cls):
            return st.sampled_from([member.value for member in cls])
        case mi.TupleType(item_types=kinds):
            return st.tuples(*map(right, kinds)).map(list)
        case mi.CollectionType(item_type=item, min_length=least, max_length=most):
            return st.lists(right(item), min_size=least or 0, max_size=min(most or 3, 3))
        case mi.DictType(key_type=key, value_type=value, min_length=least):
            keys, values = right(bare(key)), right(value)
            return st.dictionaries(keys, values, min_size=least or 0, max_size=3)
        case mi.StructType():
            return _right_struct(kind)
    return json_values


def _right_struct(kind: mi.StructType) -> st.SearchStrategy[Any]:
    needed = {f.encode_name: right(f.type) for f in kind.fields if f.required}
    if kind.tag_field is not None:
        needed[kind.tag_field] = st.just(kind.tag)
    free = {f.encode_name: right(f.type) for f in kind.fields if not f.required}
    return st.fixed_dictionaries(needed, optional=free)


RIGHT = {kind: right(SHAPES[kind].root) for kind in REQUESTS}


@st.composite
def bodies(draw: st.DrawFn) -> tuple[Any, Any]:
    """A type, and a right body of it with up to three things made wrong."""
    kind = draw(st.sampled_from(REQUESTS))
    document = draw(RIGHT[kind])
    for _ in range(draw(st.integers(0, 3))):
        document = _mutated(draw, document)
    return kind, document


def _mutated(draw: st.DrawFn, document: Any) -> Any:
    places = list(_places(document, ()))
    place = draw(st.sampled_from(places))
    if not place:
        return draw(st.just(document) | json_values)
    *way, last = place
    owner = document
    for step in way:
        owner = owner[step]
    change = draw(st.sampled_from(["replace", "replace", "remove", "add", "repeat"]))
    if change == "remove":
        del owner[last]
    elif change == "add" and isinstance(owner, dict):
        owner[draw(texts | st.sampled_from(["type", "name", "role"]))] = draw(json_values)
    elif change == "repeat" and isinstance(owner, list):
        owner.extend(json.loads(json.dumps(owner[last])) for _ in range(draw(st.integers(1, 20))))
    else:
        owner[last] = draw(json_values)
    return document


def _places(value: Any, way: tuple[Any, ...]) -> Any:
    yield way
    if isinstance(value, dict):
        for key in value:
            yield from _places(value[key], (*way, key))
    elif isinstance(value, list):
        for index in range(len(value)):
            yield from _places(value[index], (*way, index))


def decoded(kind: Any, data: bytes) -> Any:
    try:
        return DECODERS[kind].decode(data)
    except Problem as problem:
        return problem


def found_by_walk(document: Any, kind: Any) -> Problem | None:
    try:
        refuse_mismatch(document, SHAPES[kind])
    except Problem as problem:
        return problem
    return None


@settings(max_examples=600, deadline=None)
@given(bodies())
def test_a_problem_is_found_exactly_where_msgspec_refuses(sample: tuple[Any, Any]) -> None:
    kind, document = sample
    data = msgspec.json.encode(document)
    problem = found_by_walk(json.loads(data), kind)
    try:
        expected = msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError:
        assert problem is not None
        assert problem.status == 400
        assert problem.body.param
        with pytest.raises(Problem) as caught:
            DECODERS[kind].decode(data)
        assert caught.value.body == problem.body
    else:
        assert problem is None
        assert DECODERS[kind].decode(data) == expected


@settings(max_examples=300, deadline=None)
@given(bodies(), st.data())
def test_no_bytes_break_the_decoder(sample: tuple[Any, Any], choice: st.DataObject) -> None:
    kind, document = sample
    data = bytearray(msgspec.json.encode(document))
    at = choice.draw(st.integers(0, len(data)))
    noise = st.sampled_from(
        [
            b"\\ud800",
            b"\\u0000",
            b"\xff",
            b"NaN",
            b"1e999",
            b"\0",
            b'"',
            b"\\",
            b"{",
            b"]",
            b"-",
            b"",
        ]
    )
    data[at : at + choice.draw(st.integers(0, 2))] = choice.draw(noise)
    answer = decoded(kind, bytes(data))
    assert not isinstance(answer, Problem) or answer.status == 400
    # Whatever came of it can be sent: the value kept, or the refusal told.
    assert msgspec.json.encode(answer.body if isinstance(answer, Problem) else answer)
