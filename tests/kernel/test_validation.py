"""What a client is told of a body or a query that is not right: the table is the specification."""

from __future__ import annotations

import datetime
import enum
import json
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Meta, Struct, UnsetType

from famulus.validation import BodyDecoder, QueryDecoder, check
from famulus_schemas.assistants import CreateAssistant
from famulus_schemas.chat import ChatBody, ChatFields
from famulus_schemas.errors import Problem
from famulus_schemas.messages import CreateMessage, ModifyMessage
from famulus_schemas.runs import CreateRun
from famulus_schemas.steps import StepListQuery
from famulus_schemas.wire import ListQuery, Metadata

FUNCTION = {"type": "function", "function": {"name": "f"}}


def problem_of(kind: Any, body: Any, **options: Any) -> Problem:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    with pytest.raises(Problem) as caught:
        BodyDecoder(kind).decode(data, **options)
    assert caught.value.status == 400
    assert caught.value.body.type == "invalid_request_error"
    return caught.value


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
    items: Annotated[list[int], Meta(min_length=2)] | None = None
    pair: tuple[int, str] = (1, "a")
    names: set[str] = set()
    few: Annotated[dict[str, int], Meta(min_length=1)] | None = None
    keyed: dict[Annotated[str, Meta(pattern="^[a-z]+$")], int] = {}
    either: int | float = 1
    maybe: int | UnsetType = UNSET
    anything: Any = None
    many: list[str | int] = []


class Lenient(Struct):
    """A type that ignores what it does not know."""

    kept: Any = None
    when: datetime.datetime | None = None


class Branch(Struct, forbid_unknown_fields=True):
    """A type inside itself."""

    branches: list[Branch] = []


class Circle(Struct, tag_field="type", tag="circle"):
    radius: int


class Square(Struct, tag_field="type", tag="square"):
    side: int


# --- the specification ----------------------------------------------------------------------------


class Case(NamedTuple):
    """What is sent for a type, and what is told of it."""

    kind: Any
    given: Any
    code: str | None
    param: str
    message: str


MISSING, UNKNOWN = "missing_required_parameter", "unknown_parameter"
TYPE, VALUE = "invalid_type", "invalid_value"

TABLE = [
    # Missing and unknown.
    Case(CreateAssistant, {}, MISSING, "model", "Missing required parameter: 'model'."),
    Case(CreateAssistant, b"", MISSING, "model", "Missing required parameter: 'model'."),
    Case(CreateAssistant, b" \n", MISSING, "model", "Missing required parameter: 'model'."),
    Case(
        CreateAssistant,
        {"model": "m", "tools": [FUNCTION, {"type": "function", "function": {}}]},
        MISSING,
        "tools[1].function.name",
        "Missing required parameter: 'tools[1].function.name'.",
    ),
    Case(
        CreateAssistant,
        {"model": "m", "tools": [{}]},
        MISSING,
        "tools[0].type",
        "Missing required parameter: 'tools[0].type'.",
    ),
    Case(CreateAssistant, {"model": "m", "foo": 1}, UNKNOWN, "foo", "Unknown parameter: 'foo'."),
    Case(
        CreateAssistant,
        {"model": "m", "tools": [{**FUNCTION, "extra": 1}]},
        UNKNOWN,
        "tools[0].extra",
        "Unknown parameter: 'tools[0].extra'.",
    ),
    Case(
        Everything,
        {"snake_name": 1},
        UNKNOWN,
        "snake_name",
        "Unknown parameter: 'snake_name'.",
    ),
    # Types.
    Case(
        CreateAssistant,
        {"model": 1},
        TYPE,
        "model",
        "Invalid type for 'model': expected a string, but got an integer instead.",
    ),
    Case(
        CreateAssistant,
        {"model": None},
        TYPE,
        "model",
        "Invalid type for 'model': expected a string, but got null instead.",
    ),
    Case(
        CreateAssistant,
        {"model": "m", "temperature": "hot"},
        TYPE,
        "temperature",
        "Invalid type for 'temperature': expected a decimal, but got a string instead.",
    ),
    Case(
        CreateAssistant,
        {"model": "m", "tools": "none"},
        TYPE,
        "tools",
        "Invalid type for 'tools': expected an array of objects, but got a string instead.",
    ),
    Case(
        CreateAssistant,
        {"model": "m", "tools": ["none"]},
        TYPE,
        "tools[0]",
        "Invalid type for 'tools[0]': expected an object, but got a string instead.",
    ),
    Case(
        CreateAssistant,
        {"model": "m", "tools": [{"type": 5}]},
        TYPE,
        "tools[0].type",
        "Invalid type for 'tools[0].type': expected one of 'code_interpreter', 'file_search', "
        "or 'function', but got an integer instead.",
    ),
    Case(
        CreateAssistant,
        {"model": "m", "metadata": {"colour": True}},
        TYPE,
        "metadata.colour",
        "Invalid type for 'metadata.colour': expected a string, but got a boolean instead.",
    ),
    Case(
        CreateRun,
        {"assistant_id": "a", "max_prompt_tokens": 256.5},
        TYPE,
        "max_prompt_tokens",
        "Invalid type for 'max_prompt_tokens': expected an integer, "
        "but got a decimal number instead.",
    ),
    Case(
        CreateRun,
        {"assistant_id": "a", "parallel_tool_calls": None},
        TYPE,
        "parallel_tool_calls",
        "Invalid type for 'parallel_tool_calls': expected a boolean, but got null instead.",
    ),
    Case(
        CreateRun,
        {"assistant_id": "a", "tool_choice": 7},
        TYPE,
        "tool_choice",
        "Invalid type for 'tool_choice': expected one of 'none', 'auto', 'required', "
        "or an object, but got an integer instead.",
    ),
    Case(
        CreateMessage,
        {"role": "user", "content": 7},
        TYPE,
        "content",
        "Invalid type for 'content': expected one of a string or array of objects, "
        "but got an integer instead.",
    ),
    Case(
        CreateMessage,
        [],
        TYPE,
        "body",
        "Invalid type for 'body': expected an object, but got an array instead.",
    ),
    Case(
        CreateMessage,
        {"role": {}, "content": "x"},
        TYPE,
        "role",
        "Invalid type for 'role': expected one of 'user' or 'assistant', "
        "but got an object instead.",
    ),
    Case(
        Everything,
        {"snakeName": "1"},
        TYPE,
        "snakeName",
        "Invalid type for 'snakeName': expected an integer, but got a string instead.",
    ),
    Case(
        Everything,
        {"level": True},
        TYPE,
        "level",
        "Invalid type for 'level': expected one of '1' or '2', but got a boolean instead.",
    ),
    Case(
        Everything,
        {"items": 1},
        TYPE,
        "items",
        "Invalid type for 'items': expected an array of integers, but got an integer instead.",
    ),
    Case(
        Everything,
        {"pair": [1, 2]},
        TYPE,
        "pair[1]",
        "Invalid type for 'pair[1]': expected a string, but got an integer instead.",
    ),
    Case(
        Everything,
        {"names": ["a", 1]},
        TYPE,
        "names[1]",
        "Invalid type for 'names[1]': expected a string, but got an integer instead.",
    ),
    Case(
        Everything,
        {"either": "1"},
        TYPE,
        "either",
        "Invalid type for 'either': expected one of an integer or decimal, "
        "but got a string instead.",
    ),
    Case(
        Everything,
        {"maybe": None},
        TYPE,
        "maybe",
        "Invalid type for 'maybe': expected an integer, but got null instead.",
    ),
    Case(
        Everything,
        {"many": {}},
        TYPE,
        "many",
        "Invalid type for 'many': expected an array, but got an object instead.",
    ),
    Case(
        dict[str, list[Any]],
        {"a": {}},
        TYPE,
        "a",
        "Invalid type for 'a': expected an array, but got an object instead.",
    ),
    Case(
        list[list[int]],
        1,
        TYPE,
        "body",
        "Invalid type for 'body': expected an array of arrays, but got an integer instead.",
    ),
    Case(
        dict[str, bool],
        {"a": 0},
        TYPE,
        "a",
        "Invalid type for 'a': expected a boolean, but got an integer instead.",
    ),
    Case(
        list[int],
        [1, "2"],
        TYPE,
        "[1]",
        "Invalid type for '[1]': expected an integer, but got a string instead.",
    ),
    Case(
        None,
        1,
        TYPE,
        "body",
        "Invalid type for 'body': expected null, but got an integer instead.",
    ),
    # Values.
    Case(
        CreateMessage,
        {"role": "bot", "content": "x"},
        VALUE,
        "role",
        "Invalid value: 'bot'. Supported values are: 'user' and 'assistant'.",
    ),
    Case(
        CreateAssistant,
        {"model": "m", "tools": [{"type": "web"}]},
        VALUE,
        "tools[0].type",
        "Invalid value: 'web'. Supported values are: 'code_interpreter', 'file_search', "
        "and 'function'.",
    ),
    Case(
        CreateAssistant,
        {"model": "m", "reasoning_effort": "so"},
        VALUE,
        "reasoning_effort",
        "Invalid value: 'so'. Supported values are: 'none', 'minimal', 'low', 'medium', 'high', "
        "'xhigh', and 'max'.",
    ),
    Case(
        CreateAssistant,
        {"model": "m", "response_format": "json"},
        VALUE,
        "response_format",
        "Invalid value: 'json'. Supported values are: 'auto'.",
    ),
    Case(
        Everything,
        {"colour": "green"},
        VALUE,
        "colour",
        "Invalid value: 'green'. Supported values are: 'red' and 'blue'.",
    ),
    Case(
        Everything,
        {"level": 3},
        VALUE,
        "level",
        "Invalid value: '3'. Supported values are: '1' and '2'.",
    ),
    Case(
        dict[Literal["a", "b"], Any],
        {"a": 1, "c": 2},
        VALUE,
        "c",
        "Invalid value: 'c'. Supported values are: 'a' and 'b'.",
    ),
    # Bounds of numbers.
    Case(
        CreateRun,
        {"assistant_id": "a", "max_prompt_tokens": 1},
        "integer_below_min_value",
        "max_prompt_tokens",
        "Invalid 'max_prompt_tokens': integer below minimum value. "
        "Expected a value >= 256, but got 1 instead.",
    ),
    Case(
        CreateAssistant,
        {"model": "m", "tools": [{"type": "file_search", "file_search": {"max_num_results": 51}}]},
        "integer_above_max_value",
        "tools[0].file_search.max_num_results",
        "Invalid 'tools[0].file_search.max_num_results': integer above maximum value. "
        "Expected a value <= 50, but got 51 instead.",
    ),
    Case(
        CreateAssistant,
        {"model": "m", "temperature": -0.5},
        "decimal_below_min_value",
        "temperature",
        "Invalid 'temperature': decimal below minimum value. "
        "Expected a value >= 0, but got -0.5 instead.",
    ),
    Case(
        CreateAssistant,
        {"model": "m", "temperature": 3},
        "decimal_above_max_value",
        "temperature",
        "Invalid 'temperature': decimal above maximum value. "
        "Expected a value <= 2, but got 3 instead.",
    ),
    Case(
        Everything,
        {"above": 0},
        VALUE,
        "above",
        "Invalid 'above': must be greater than 0, but got 0.",
    ),
    Case(
        Everything,
        {"above": 1.0},
        VALUE,
        "above",
        "Invalid 'above': must be less than 1, but got 1.0.",
    ),
    Case(
        Everything,
        {"even": 3},
        VALUE,
        "even",
        "Invalid 'even': must be a multiple of 2, but got 3.",
    ),
    # Lengths and patterns.
    Case(
        CreateAssistant,
        {"model": "m", "name": "x" * 257},
        "string_above_max_length",
        "name",
        "Invalid 'name': string too long. Expected a string with maximum length 256, "
        "but got a string with length 257 instead.",
    ),
    Case(
        CreateAssistant,
        {"model": "m", "tools": [{"type": "function", "function": {"name": ""}}]},
        "empty_string",
        "tools[0].function.name",
        "Invalid 'tools[0].function.name': empty string. Expected a string with minimum length "
        "1, but got an empty string instead.",
    ),
    Case(
        Everything,
        {"word": "ab"},
        "string_below_min_length",
        "word",
        "Invalid 'word': string too short. Expected a string with minimum length 3, "
        "but got a string with length 2 instead.",
    ),
    Case(
        CreateAssistant,
        {"model": "m", "tools": [{"type": "function", "function": {"name": "a b"}}]},
        VALUE,
        "tools[0].function.name",
        "Invalid 'tools[0].function.name': string does not match pattern. "
        "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
    ),
    Case(
        CreateAssistant,
        {"model": "m", "tools": [FUNCTION] * 129},
        "array_above_max_length",
        "tools",
        "Invalid 'tools': array too long. Expected an array with maximum length 128, "
        "but got an array with length 129 instead.",
    ),
    Case(
        CreateMessage,
        {"role": "user", "content": []},
        "empty_array",
        "content",
        "Invalid 'content': empty array. Expected an array with minimum length 1, "
        "but got an empty array instead.",
    ),
    Case(
        Everything,
        {"items": [1]},
        "array_below_min_length",
        "items",
        "Invalid 'items': array too short. Expected an array with minimum length 2, "
        "but got an array with length 1 instead.",
    ),
    Case(
        Everything,
        {"pair": [1]},
        "array_below_min_length",
        "pair",
        "Invalid 'pair': array too short. Expected an array with minimum length 2, "
        "but got an array with length 1 instead.",
    ),
    # Maps.
    Case(
        ModifyMessage,
        {"metadata": {f"k{n}": "" for n in range(17)}},
        "object_above_max_properties",
        "metadata",
        "Invalid 'metadata': too many properties. Expected an object with at most 16 "
        "properties, but got an object with 17 properties instead.",
    ),
    Case(
        Everything,
        {"few": {}},
        "object_below_min_properties",
        "few",
        "Invalid 'few': not enough properties. Expected an object with at least 1 "
        "properties, but got an object with 0 properties instead.",
    ),
    Case(
        ModifyMessage,
        {"metadata": {"colour": "x" * 513}},
        "string_above_max_length",
        "metadata.colour",
        "Invalid 'metadata.colour': string too long. Expected a string with maximum length 512, "
        "but got a string with length 513 instead.",
    ),
    Case(
        ModifyMessage,
        {"metadata": {"k" * 70: "x"}},
        "property_name_above_max_length",
        "metadata." + "k" * 61 + "...",
        "Invalid property name in 'metadata': '" + "k" * 61 + "...' is too long. Expected a "
        "string with maximum length 64, but got a string with length 70 instead.",
    ),
    Case(
        ModifyMessage,
        {"metadata": {"": "x"}},
        "property_name_below_min_length",
        "metadata",
        "Invalid property name in 'metadata': '' is too short. Expected a "
        "string with minimum length 1, but got a string with length 0 instead.",
    ),
    Case(
        Everything,
        {"keyed": {"A": 1}},
        VALUE,
        "keyed.A",
        "Invalid 'keyed': the property name 'A' does not match '^[a-z]+$'.",
    ),
    # Values that JSON can spell and nobody can keep.
    Case(
        CreateAssistant,
        b'{"model": "m", "temperature": 1e999}',
        VALUE,
        "temperature",
        "Invalid 'temperature': the number is out of range.",
    ),
    Case(
        CreateAssistant,
        b'{"model": "m", "temperature": ' + b"9" * 400 + b"}",
        VALUE,
        "temperature",
        "Invalid 'temperature': the number is out of range.",
    ),
    Case(
        CreateRun,
        b'{"assistant_id": "a", "max_prompt_tokens": ' + b"9" * 5000 + b"}",
        VALUE,
        "max_prompt_tokens",
        "Invalid 'max_prompt_tokens': the number is out of range.",
    ),
    Case(
        Everything,
        b'{"anything": {"a": [1, -1e999]}}',
        VALUE,
        "anything.a[1]",
        "Invalid 'anything.a[1]': the number is out of range.",
    ),
    Case(
        CreateMessage,
        rb'{"role": "user", "content": "a\ud800"}',
        VALUE,
        "content",
        "Invalid 'content': the text holds half of a surrogate pair, which is no character.",
    ),
    Case(
        ModifyMessage,
        rb'{"metadata": {"a\udc00b": "x"}}',
        VALUE,
        r"metadata.a\udc00b",
        r"Invalid 'metadata.a\udc00b': the text holds half of a surrogate pair, "
        "which is no character.",
    ),
    Case(
        CreateMessage,
        rb'{"role": "user", "content": [{"type": "text", "text": "a\u0000b"}]}',
        VALUE,
        "content[0].text",
        r"Invalid 'content[0].text': the text holds a NUL character (\u0000).",
    ),
]


@pytest.mark.parametrize("case", TABLE, ids=lambda case: f"{case.param}-{case.code}")
def test_a_wrong_body_is_told_as_openai_tells_it(case: Case) -> None:
    told = problem_of(case.kind, case.given).body
    assert (told.message, told.param, told.code) == (case.message, case.param, case.code)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"metadata": ', "expecting value at line 1, column 14"),
        (b'{"metadata": {},}', "expecting property name enclosed in double quotes"),
        (b"{'metadata': {}}", "expecting property name enclosed in double quotes"),
        (b'{"metadata": {}} x', "extra data at line 1, column 18"),
        (b'{"metadata":\n tru}', "expecting value at line 2, column 2"),
        (b'{"metadata": {"a": "x\ny"}}', "invalid control character at line 1, column 22"),
        (b'{"metadata": {"a": "x', "unterminated string starting at line 1, column 20"),
        (b'{"metadata": {"a": NaN}}', "NaN is not a JSON value"),
        (b'{"metadata": -Infinity}', "-Infinity is not a JSON value"),
        (b'{"metadata": "\xff"}', "byte 14 is not valid UTF-8"),
        (b"\xef\xbb\xbf{}", "it starts with a byte order mark"),
        (b"\x00", "expecting value at line 1, column 1"),
        (b"", "it is empty"),
    ],
)
def test_what_is_not_json_is_told_where_it_breaks(data: bytes, reason: str) -> None:
    told = problem_of(ModifyMessage, data).body
    start = f"We could not parse the JSON body of your request: {reason}"
    assert told.message[: len(start)] == start


def test_an_absent_body_of_several_kinds_lacks_what_tells_them_apart() -> None:
    told = problem_of(Circle | Square, b"").body
    assert told.message == "Missing required parameter: 'type'."


def test_a_tag_that_may_be_left_out_must_still_be_right() -> None:
    assert BodyDecoder(Circle).decode(b'{"radius": 1}').radius == 1
    told = problem_of(Circle, {"radius": 1, "type": "square"}).body
    assert told.message == "Invalid value: 'square'. Supported values are: 'circle'."


def test_a_part_of_a_body_is_told_by_its_name_within_the_body() -> None:
    told = problem_of(CreateMessage, {"role": "bot"}, within="messages[3]").body
    assert told.param == "messages[3].role"
    told = problem_of(CreateMessage, 5, within="messages[3]").body
    assert told.param == "messages[3]"


def test_a_long_wrong_value_is_told_shortened() -> None:
    told = problem_of(CreateMessage, {"role": "x" * 100_000, "content": ""}).body
    assert len(told.message) < 200


def test_a_type_that_only_msgspec_can_judge_is_told_in_its_words() -> None:
    told = problem_of(dict[str, Lenient], {"a": {"when": "yesterday"}}).body
    assert told.message == "Invalid '[...].when': Invalid RFC3339 encoded datetime."


def test_a_map_whose_keys_only_msgspec_can_judge_is_told_in_its_words() -> None:
    told = problem_of(dict[int, str], {"1": "a", "b": "c"}).body
    assert told.param == "body"
    assert told.message == "Invalid 'body': Expected `int`, got `str`."
    assert problem_of(dict[int, str], {"1": 2}).body.param == "1"


def test_a_check_of_the_struct_itself_is_told_as_a_problem() -> None:
    class Span(Struct):
        first: int
        last: int

        def __post_init__(self) -> None:
            if self.last < self.first:
                raise ValueError("the last may not be below the first")

    told = problem_of(list[Span], [{"first": 1, "last": 2}, {"first": 2, "last": 1}]).body
    assert told.param == "[1]"
    assert told.message == "Invalid '[1]': the last may not be below the first."


# --- what is right --------------------------------------------------------------------------------


def test_a_right_body_is_decoded() -> None:
    body = BodyDecoder(CreateMessage).decode(b'{"role": "user", "content": "hello"}')
    assert body == CreateMessage(role="user", content="hello")


def test_of_a_key_given_twice_the_last_value_counts() -> None:
    decode = BodyDecoder(CreateMessage).decode
    assert decode(b'{"role": 1, "content": "x", "role": "user"}').role == "user"
    assert decode(b'{"role": "user", "content": "x", "role": "assistant"}').role == "assistant"


def test_a_last_value_that_is_wrong_is_refused_whatever_stood_before() -> None:
    told = problem_of(CreateMessage, b'{"role": 1, "content": "x", "role": 2.5}').body
    assert told.param == "role"
    assert told.message.endswith("but got a decimal number instead.")


def test_a_wrong_value_that_was_replaced_does_not_hide_another() -> None:
    data = b'{"role": 1, "content": [{"type": "text"}], "role": "user"}'
    assert problem_of(CreateMessage, data).body.param == "content[0].text"


def test_a_large_integer_is_kept_to_the_last_digit() -> None:
    decoded = BodyDecoder(Everything).decode(b'{"anything": 123456789012345678901234567890}')
    assert decoded.anything == 123456789012345678901234567890
    assert msgspec.json.encode(decoded.anything) == b"123456789012345678901234567890"


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    decoded = BodyDecoder(CreateMessage).decode(rb'{"role": "user", "content": "\\u0000"}')
    assert decoded.content == r"\u0000"


def test_a_whole_surrogate_pair_is_a_character() -> None:
    decoded = BodyDecoder(CreateMessage).decode(rb'{"role": "user", "content": "\ud83d\ude00"}')
    assert decoded.content == "😀"


def test_what_is_passed_on_is_left_as_it_came() -> None:
    body = BodyDecoder(ChatBody).decode(rb'{"model": "m", "x": ["\u0000", 1e999, "u\u00fc"]}')
    assert bytes(body["x"]) == rb'["\u0000", 1e999, "u\u00fc"]'


def test_what_is_passed_on_may_be_in_any_script() -> None:
    body = BodyDecoder(ChatBody).decode('{"x": "ü"}'.encode())
    assert bytes(body["x"]) == '"ü"'.encode()


def test_what_is_passed_on_must_still_be_utf_8() -> None:
    told = problem_of(ChatBody, b'{"model": "m", "x": "\xff"}').body
    assert "byte 21 is not valid UTF-8" in told.message


def test_what_a_lenient_type_does_not_know_is_ignored() -> None:
    fields = BodyDecoder(ChatFields).decode(b'{"model": "m", "messages": [1], "x": 1e999}')
    assert fields.model == "m"


def test_a_wrong_value_beside_an_ignored_one_that_is_out_of_range_is_found() -> None:
    data = b'{"x": 1e999, "when": 1, "when": null}'
    assert BodyDecoder(dict[str, Lenient]).decode(b'{"a": ' + data + b"}") == {"a": Lenient()}
    told = problem_of(Lenient, b'{"x": 1e999, "when": {}}').body
    assert told.param == "when"


def test_an_ignored_value_may_not_break_the_text_of_the_body() -> None:
    told = problem_of(Lenient, rb'{"kept": 1, "x": "\ud800"}').body
    assert told.param == "x"


# --- depth ----------------------------------------------------------------------------------------

TOO_DEEP = "The JSON body of your request is nested too deeply."


def nested(levels: int) -> bytes:
    """So many arrays and objects, one inside the other."""
    half, odd = divmod(levels, 2)
    return b'{"a":[' * half + b"[" * odd + b"1" + b"]" * odd + b"]}" * half


def function_with(parameters: bytes) -> bytes:
    """An assistant with a free value inside of five levels."""
    return (
        b'{"model":"m","tools":[{"type":"function","function":{"name":"f","parameters":'
        b'{"x":' + parameters + b"}}}]}"
    )


@pytest.mark.parametrize("levels", [0, 5, 58, 59])
def test_a_body_as_deep_as_the_limit_is_taken(levels: int) -> None:
    assert BodyDecoder(CreateAssistant).decode(function_with(nested(levels))).tools


@pytest.mark.parametrize("levels", [60, 61, 500, 5_000, 100_000])
def test_a_deeper_body_is_refused(levels: int) -> None:
    told = problem_of(CreateAssistant, function_with(nested(levels))).body
    assert told.message == TOO_DEEP


def test_a_type_inside_itself_is_held_to_the_limit() -> None:
    def tree(levels: int) -> bytes:
        return b'{"branches":[' * levels + b"]}" * levels

    assert BodyDecoder(Branch).decode(tree(32)).branches
    assert problem_of(Branch, tree(33)).body.message == TOO_DEEP


def test_the_limit_of_depth_can_be_set() -> None:
    assert BodyDecoder(Any, depth_max=3).decode(b"[[[]]]") == [[[]]]
    with pytest.raises(Problem):
        BodyDecoder(Any, depth_max=3).decode(b"[[[[]]]]")


def test_brackets_side_by_side_or_in_text_are_not_depth() -> None:
    body = {"model": "m", "instructions": "[{" * 500, "tools": [FUNCTION] * 100}
    assert BodyDecoder(CreateAssistant).decode(msgspec.json.encode(body)).tools


def test_ignored_values_do_not_disturb_the_limit() -> None:
    wide = b"[[]" + b",[]" * 100 + b"]"
    assert BodyDecoder(Lenient).decode(b'{"x": 1e999, "kept": ' + wide + b"}").kept


@pytest.mark.parametrize("kind", [CreateMessage, ChatBody, ChatFields, Any, Everything, Lenient])
@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"a":' * 100_000, nested(50_000)])
def test_a_bomb_of_brackets_is_only_a_wrong_body(kind: Any, data: bytes) -> None:
    problem_of(kind, data)
    problem_of(kind, b'{"a":' + data + b"}")


@pytest.mark.parametrize("levels", [65, 900, 20_000])
def test_a_bomb_beside_a_nul_is_only_a_wrong_body(levels: int) -> None:
    class Half(Struct):
        word: str

    problem_of(Half, rb'{"word": "\u0000", "x": ' + nested(levels) + b"}")
    problem_of(Lenient, b'{"x": ' + nested(levels) + b"}")


def test_a_deep_body_that_is_wrong_elsewhere_is_told_to_be_deep() -> None:
    data = function_with(nested(100)).replace(b'"m"', b"1")
    assert problem_of(CreateAssistant, data).body.message == TOO_DEEP


def test_no_depth_is_too_much_for_one_reading_and_not_for_another() -> None:
    class Half(Struct):
        word: str

    for levels in range(800, 1020):
        problem_of(Half, rb'{"word": "\u0000", "x": ' + nested(levels) + b"}")
        problem_of(Lenient, b'{"x": ' + nested(levels) + b"}")


# --- values that are decoded already --------------------------------------------------------------


def test_a_decoded_value_is_converted() -> None:
    assert check({"role": "user", "content": "x"}, CreateMessage).content == "x"


def test_a_decoded_value_is_told_by_its_name() -> None:
    with pytest.raises(Problem) as caught:
        check({"type": "eq", "metadata": {"a": 1}}, dict[str, Metadata | str], within="filters")
    assert caught.value.body.param == "filters.metadata.a"


@pytest.mark.parametrize("value", ["ü\ud800", "ü\0", float("inf")])
def test_a_decoded_value_may_not_hold_what_nobody_can_keep(value: Any) -> None:
    with pytest.raises(Problem) as caught:
        check({"a": value}, Any)
    assert caught.value.body.param == "a"


def test_a_decoded_value_that_only_msgspec_can_judge_is_told_in_its_words() -> None:
    with pytest.raises(Problem) as caught:
        check({"when": "now"}, Lenient, within="span")
    assert caught.value.body.message == "Invalid 'span.when': Invalid RFC3339 encoded datetime."


def test_a_decoded_value_has_a_limit_of_depth() -> None:
    with pytest.raises(Problem) as caught:
        check(json.loads(nested(65)), Any)
    assert caught.value.body.message == TOO_DEEP


# --- queries --------------------------------------------------------------------------------------

CONTENT = "step_details.tool_calls[*].file_search.results[*].content"


class Filters(Struct, kw_only=True):
    type: Literal["eq", "ne"] = "eq"
    value: int | None = None


class Search(Struct, kw_only=True):
    """A query with all that a query can hold."""

    model: str
    metadata: Metadata = {}
    deep: bool | None = None
    score: float = 0.0
    tags: list[str] | None = None
    sizes: Annotated[list[int], Meta(max_length=2)] = []
    filter: Filters = msgspec.field(default_factory=Filters)


def query(kind: Any, text: str | bytes, **options: Any) -> Any:
    data = text.encode() if isinstance(text, str) else text
    return QueryDecoder(kind, **options).decode(data)


def test_an_empty_query_gives_the_defaults() -> None:
    assert query(ListQuery, "") == ListQuery()


def test_texts_become_what_the_query_asks_for() -> None:
    found = query(Search, "model=m&deep=True&score=0.5&sizes[]=1&sizes[]=-2&filter[value]=null")
    assert found == Search(
        model="m", deep=True, score=0.5, sizes=[1, -2], filter=Filters(value=None)
    )


@pytest.mark.parametrize("text", ["5", "005", "7&limit=5"])
def test_a_number_is_read_loosely(text: str) -> None:
    assert query(ListQuery, f"limit={text}").limit == 5


def test_text_stays_text_where_text_is_asked_for() -> None:
    assert query(ListQuery, "after=null&before=12") == ListQuery(after="null", before="12")


@pytest.mark.parametrize(
    "text",
    [
        f"include[]={CONTENT}",
        f"include={CONTENT}",
        f"include[0]={CONTENT}",
        f"include%5B%5D={CONTENT.replace('[', '%5B').replace(']', '%5D')}",
    ],
)
def test_a_list_may_be_named_with_or_without_brackets(text: str) -> None:
    assert query(StepListQuery, text).include == [CONTENT]


def test_a_repeated_name_fills_a_list_in_order() -> None:
    assert query(Search, "model=m&tags[]=b&tags=a&tags[]=c").tags == ["b", "a", "c"]


def test_bracketed_names_fill_a_map() -> None:
    found = query(Search, "model=m&metadata[k]=v&metadata[a.b]=ü")
    assert found.metadata == {"k": "v", "a.b": "ü"}


def test_unknown_names_of_a_query_are_ignored() -> None:
    assert query(ListQuery, "limit=3&foo=1&limit[]=9&after[x]=1&=&&") == ListQuery(limit=3)


def test_unknown_names_of_a_query_can_be_refused() -> None:
    with pytest.raises(Problem) as caught:
        query(ListQuery, "limit=3&foo=1", refuse_unknown=True)
    assert caught.value.body.code == "unknown_parameter"
    assert caught.value.body.param == "foo"


def test_the_fields_of_a_form_are_read_as_a_query_is() -> None:
    pairs = [("model", "m"), ("filter[value]", "3")]
    assert QueryDecoder(Search).decode_pairs(pairs).filter == Filters(value=3)


QUERY_TABLE = [
    Case(
        ListQuery,
        "limit=0",
        "integer_below_min_value",
        "limit",
        "Invalid 'limit': integer below minimum value. Expected a value >= 1, but got 0 instead.",
    ),
    Case(
        ListQuery,
        "limit=101",
        "integer_above_max_value",
        "limit",
        "Invalid 'limit': integer above maximum value. "
        "Expected a value <= 100, but got 101 instead.",
    ),
    Case(
        ListQuery,
        "limit=ten",
        TYPE,
        "limit",
        "Invalid type for 'limit': expected an integer, but got a string instead.",
    ),
    Case(
        ListQuery,
        "limit=",
        TYPE,
        "limit",
        "Invalid type for 'limit': expected an integer, but got a string instead.",
    ),
    Case(
        ListQuery,
        "limit=1.5",
        TYPE,
        "limit",
        "Invalid type for 'limit': expected an integer, but got a decimal number instead.",
    ),
    Case(
        ListQuery,
        "limit=1e999",
        VALUE,
        "limit",
        "Invalid 'limit': the number is out of range.",
    ),
    Case(
        ListQuery,
        "order=up",
        VALUE,
        "order",
        "Invalid value: 'up'. Supported values are: 'asc' and 'desc'.",
    ),
    Case(
        StepListQuery,
        "include[]=x",
        VALUE,
        "include[0]",
        f"Invalid value: 'x'. Supported values are: '{CONTENT}', 'famulus.prompt', and "
        "'famulus.usage'.",
    ),
    Case(Search, "deep=1", MISSING, "model", "Missing required parameter: 'model'."),
    Case(
        Search,
        "model=m&deep=yes",
        TYPE,
        "deep",
        "Invalid type for 'deep': expected a boolean, but got a string instead.",
    ),
    Case(
        Search,
        "model=m&score=nan",
        TYPE,
        "score",
        "Invalid type for 'score': expected a decimal, but got a string instead.",
    ),
    Case(
        Search,
        "model=m&metadata=x",
        TYPE,
        "metadata",
        "Invalid type for 'metadata': expected an object, but got a string instead.",
    ),
    Case(
        Search,
        "model=m&metadata[a]=" + "x" * 513,
        "string_above_max_length",
        "metadata.a",
        "Invalid 'metadata.a': string too long. Expected a string with maximum length 512, "
        "but got a string with length 513 instead.",
    ),
    Case(
        Search,
        "model=m&filter[type]=gt",
        VALUE,
        "filter.type",
        "Invalid value: 'gt'. Supported values are: 'eq' and 'ne'.",
    ),
    Case(
        Search,
        "model=m&sizes=1&sizes=2&sizes=3",
        "array_above_max_length",
        "sizes",
        "Invalid 'sizes': array too long. Expected an array with maximum length 2, "
        "but got an array with length 3 instead.",
    ),
    Case(
        Lenient,
        "when=now",
        VALUE,
        "when",
        "Invalid 'when': Invalid RFC3339 encoded datetime.",
    ),
    Case(
        ListQuery,
        b"after=%ff",
        VALUE,
        "after",
        "Invalid 'after': the text is not valid UTF-8.",
    ),
    Case(
        ListQuery,
        b"after=\xff",
        VALUE,
        "after",
        "Invalid 'after': the text is not valid UTF-8.",
    ),
    Case(
        ListQuery,
        "after=a%00",
        VALUE,
        "after",
        "Invalid 'after': the text holds a NUL character (%00).",
    ),
    Case(
        ListQuery,
        "=%00",
        VALUE,
        "query",
        "Invalid 'query': the text holds a NUL character (%00).",
    ),
    Case(ListQuery, "a=1&" * 257, VALUE, "query", "Invalid 'query': more than 256 fields."),
]


@pytest.mark.parametrize("case", QUERY_TABLE, ids=lambda case: f"{case.param}-{case.code}")
def test_a_wrong_query_is_told_as_a_wrong_body_is(case: Case) -> None:
    with pytest.raises(Problem) as caught:
        query(case.kind, case.given)
    told = caught.value.body
    assert caught.value.status == 400
    assert (told.message, told.param, told.code) == (case.message, case.param, case.code)


QUERY_DECODERS: list[QueryDecoder[Any]] = [QueryDecoder(StepListQuery), QueryDecoder(Search)]


def answer_of(decoder: QueryDecoder[Any], data: bytes) -> Any:
    try:
        return decoder.decode(data)
    except Problem as problem:
        return problem


@given(st.binary(max_size=40) | st.text(alphabet="limit[]=&%0afder.5-+", max_size=40))
def test_no_query_breaks_the_decoder(text: bytes | str) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    for decoder in QUERY_DECODERS:
        answer = answer_of(decoder, data)
        assert not isinstance(answer, Problem) or (answer.status == 400 and answer.body.param)
