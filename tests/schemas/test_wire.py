"""The limits and bases that all of the contract shares."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import Any

import msgspec
import pytest

import famulus_schemas
from famulus_schemas.assistants import Assistant
from famulus_schemas.chat import (
    ChatFields,
    ChatFunction,
    ChatJsonSchema,
    ChatPrediction,
    ChatResponseFormat,
    ChatTool,
    StreamOptions,
)
from famulus_schemas.completions import CompletionFields
from famulus_schemas.models import Model
from famulus_schemas.runs import RunQuery
from famulus_schemas.steps import StepQuery
from famulus_schemas.wire import (
    Answer,
    Identifier,
    ListQuery,
    Metadata,
    PageLimit,
    Request,
    Temperature,
    TopP,
    Uri,
    always_sent,
)

WIRE = [
    "wire",
    "formats",
    "tools",
    "assistants",
    "threads",
    "messages",
    "runs",
    "steps",
    "deltas",
    "events",
    "lists",
    "models",
    "chat",
    "completions",
    "embeddings",
]
LENIENT: set[type] = {
    *(ListQuery, RunQuery, StepQuery),
    *(ChatFields, StreamOptions, CompletionFields),
    *(ChatFunction, ChatTool, ChatJsonSchema, ChatResponseFormat, ChatPrediction),
}


def modules() -> list[ModuleType]:
    return [importlib.import_module(f"famulus_schemas.{name}") for name in WIRE]


def structs() -> list[type[msgspec.Struct]]:
    found = {
        thing: None
        for module in modules()
        for thing in vars(module).values()
        if inspect.isclass(thing)
        and issubclass(thing, msgspec.Struct)
        and thing.__module__ == module.__name__
    }
    return list(found)


def test_every_wire_module_is_in_the_package() -> None:
    assert set(WIRE) <= {module.name for module in pkgutil.iter_modules(famulus_schemas.__path__)}


@pytest.mark.parametrize("struct", structs(), ids=lambda struct: struct.__name__)
def test_every_struct_is_frozen_documented_and_has_a_schema(struct: type[msgspec.Struct]) -> None:
    assert struct.__struct_config__.frozen
    assert struct.__doc__
    assert msgspec.json.schema(struct)


@pytest.mark.parametrize("struct", structs(), ids=lambda struct: struct.__name__)
def test_every_struct_is_a_request_an_answer_or_lenient_on_purpose(
    struct: type[msgspec.Struct],
) -> None:
    strict = struct.__struct_config__.forbid_unknown_fields
    if issubclass(struct, Request):
        assert strict
    else:
        assert not strict
        assert issubclass(struct, Answer | ListQuery) or struct in LENIENT


def test_a_struct_name_is_used_once() -> None:
    names = [struct.__name__ for struct in structs()]
    assert sorted(names) == sorted(set(names))


def test_metadata_holds_sixteen_pairs(accepts: Any, refuses: Any) -> None:
    accepts(Metadata, {})
    accepts(Metadata, {f"key{n}": "" for n in range(16)})
    refuses(Metadata, {f"key{n}": "" for n in range(17)})


def test_a_metadata_key_has_1_to_64_characters(accepts: Any, refuses: Any) -> None:
    accepts(Metadata, {"k" * 64: "v", "k": "v"})
    refuses(Metadata, {"k" * 65: "v"})
    refuses(Metadata, {"": "v"})


def test_a_metadata_value_has_up_to_512_characters_not_bytes(accepts: Any, refuses: Any) -> None:
    accepts(Metadata, {"k": "v" * 512})
    accepts(Metadata, {"k": "\N{WHITE SMILING FACE}" * 512})
    refuses(Metadata, {"k": "v" * 513})


@pytest.mark.parametrize("value", [1, True, None, ["v"], {}])
def test_a_metadata_value_is_text(refuses: Any, value: object) -> None:
    refuses(Metadata, {"k": value})


@pytest.mark.parametrize(("kind", "most"), [(Temperature, 2), (TopP, 1)])
def test_sampling_stays_in_its_range(accepts: Any, refuses: Any, kind: Any, most: int) -> None:
    for fine in (0, 0.0, most / 2, most, float(most)):
        assert accepts(kind, fine) == fine
    for bad in (-0.001, most + 0.001, most + 1, "1", True):
        refuses(kind, bad)


def test_an_identifier_has_1_to_64_plain_characters(accepts: Any, refuses: Any) -> None:
    accepts(Identifier, "get_weather-2")
    accepts(Identifier, "a" * 64)
    for bad in ("", "a" * 65, "get weather", "a\n", "\na", "é", "a.b"):
        refuses(Identifier, bad)


def test_a_uri_has_a_scheme_and_no_blanks(accepts: Any, refuses: Any) -> None:
    for fine in ("https://example.org/a.png?b=c#d", "data:image/png;base64,AAAA", "s3+x:y"):
        accepts(Uri, fine)
    for bad in ("", "example.org/a.png", "https:", "https://a b", "https://a\n", "1http://a"):
        refuses(Uri, bad)


def test_a_page_has_1_to_100_objects(accepts: Any, refuses: Any) -> None:
    for fine in (1, 20, 100):
        accepts(PageLimit, fine)
    for bad in (0, 101, -1, 1.5, "20"):
        refuses(PageLimit, bad)


def test_a_list_is_twenty_of_the_newest_unless_asked_otherwise() -> None:
    assert msgspec.convert({}, ListQuery) == ListQuery(
        limit=20, order="desc", after=None, before=None
    )
    asked = {"limit": "100", "order": "asc", "after": "msg_1", "before": "msg_9"}
    assert msgspec.convert(asked, ListQuery, strict=False) == ListQuery(
        limit=100, order="asc", after="msg_1", before="msg_9"
    )
    for bad in ({"limit": "0"}, {"limit": "101"}, {"limit": "many"}, {"order": "up"}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(bad, ListQuery, strict=False)


def test_an_answer_sends_every_field_but_the_unset() -> None:
    assert "tool_resources" in always_sent(Assistant)
    assert "shutdown_date" not in always_sent(Model)
    model = Model(id="m", created=1, owned_by="me")
    assert tuple(msgspec.to_builtins(model)) == always_sent(Model)


@pytest.mark.parametrize("struct", structs(), ids=lambda struct: struct.__name__)
def test_no_answer_hides_a_default(struct: type[msgspec.Struct]) -> None:
    assert not struct.__struct_config__.omit_defaults
