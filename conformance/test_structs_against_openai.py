"""Our structs beside OpenAI's own document, and every difference with its reason.

The document is not kept here: `FAMULUS_OPENAI_SPEC` names a copy of `openapi.json`.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from famulus_schemas.assistants import Assistant, CreateAssistant, ModifyAssistant
from famulus_schemas.deltas import MessageDeltaEvent, RunStepDeltaEvent
from famulus_schemas.embeddings import CreateEmbedding, EmbeddingList
from famulus_schemas.events import AssistantStreamEvent
from famulus_schemas.lists import AssistantDeleted, ListPage, MessageDeleted, ThreadDeleted
from famulus_schemas.messages import CreateMessage, Message, ModifyMessage
from famulus_schemas.models import Model, ModelDeleted, ModelList
from famulus_schemas.runs import (
    CreateRun,
    CreateThreadAndRun,
    ModifyRun,
    Run,
    SubmitToolOutputs,
)
from famulus_schemas.steps import RunStep
from famulus_schemas.threads import CreateThread, ModifyThread, Thread
from famulus_schemas.wire import Answer, always_sent

NAMED = os.environ.get("FAMULUS_OPENAI_SPEC", "")
needs_document = pytest.mark.skipif(
    not NAMED,
    reason="THE STRUCTS WERE NOT COMPARED with OpenAI's document: FAMULUS_OPENAI_SPEC is not set",
)

PAIRS: dict[str, Any] = {
    "CreateAssistantRequest": CreateAssistant,
    "ModifyAssistantRequest": ModifyAssistant,
    "AssistantObject": Assistant,
    "DeleteAssistantResponse": AssistantDeleted,
    "ListAssistantsResponse": ListPage[Assistant],
    "CreateThreadRequest": CreateThread,
    "ModifyThreadRequest": ModifyThread,
    "ThreadObject": Thread,
    "DeleteThreadResponse": ThreadDeleted,
    "CreateMessageRequest": CreateMessage,
    "ModifyMessageRequest": ModifyMessage,
    "MessageObject": Message,
    "DeleteMessageResponse": MessageDeleted,
    "ListMessagesResponse": ListPage[Message],
    "CreateRunRequest": CreateRun,
    "CreateThreadAndRunRequest": CreateThreadAndRun,
    "ModifyRunRequest": ModifyRun,
    "SubmitToolOutputsRunRequest": SubmitToolOutputs,
    "RunObject": Run,
    "ListRunsResponse": ListPage[Run],
    "RunStepObject": RunStep,
    "ListRunStepsResponse": ListPage[RunStep],
    "MessageDeltaObject": MessageDeltaEvent,
    "RunStepDeltaObject": RunStepDeltaEvent,
    "AssistantStreamEvent": AssistantStreamEvent,
    "Model": Model,
    "ListModelsResponse": ModelList,
    "DeleteModelResponse": ModelDeleted,
    "CreateEmbeddingRequest": CreateEmbedding,
    "CreateEmbeddingResponse": EmbeddingList,
}

# Each difference that we mean, as `path: what: theirs -> ours` or as what ours adds and lacks,
# and why. In a path, `each` is an item of a list, `key` and `value` are of a map, and `<name>`
# is one of several objects.
IN_WORDS = "OpenAI promises this in words only."
NEVER_NULL = "What we send is never null but {}."
ALWAYS_SENT = "We always send what may be null."
BY_TYPE = "Told apart by type, so that a function is named when, and only when, one is meant."
AS_MANY = "An assistant has up to 128 tools; so has its run."
ONE_WORD = "It is never another word."
AS_GIVEN = "What a run was given is what it tells."
NO_ENDS = "An empty page has neither a first nor a last object."

DELIBERATE: dict[str, str] = {
    "*metadata: maxProperties: None -> 16": IN_WORDS,
    "*metadata.key: only ours": IN_WORDS,
    "*metadata.value: maxLength: None -> 512": IN_WORDS,
    "*.function.name: m??Length: None -> *": IN_WORDS,
    "*.function.name: pattern: None -> *": IN_WORDS,
    "*.json_schema.name: m??Length: None -> *": IN_WORDS,
    "*.json_schema.name: pattern: None -> *": IN_WORDS,
    "*.image_url.url: pattern: None -> *": "Their `format: uri` is a note; a pattern is checked.",
    "*.chunk_overlap_tokens: minimum: None -> 0": "Chunks cannot share less than nothing.",
    "*.tool_choice: required: -type": BY_TYPE,
    "*.tool_choice.<*>: only ours": BY_TYPE,
    "*.tool_choice.function: only theirs": BY_TYPE,
    "*.tool_choice.type: only theirs": BY_TYPE,
    "*.tools: maxItems: 20 -> 128": AS_MANY,
    "*.temperature: m??imum: None -> ?": AS_GIVEN,
    "*.top_p: m??imum: None -> ?": AS_GIVEN,
    "*.metadata: kinds: -null": NEVER_NULL,
    "*: required: +response_format +temperature +tool_resources +top_p": ALWAYS_SENT,
    "*: required: +temperature +top_p": ALWAYS_SENT,
    "*.incomplete_details: required: +reason": "A reason is never left out.",
    "*.results.each.content.each: required: +text +type": "A passage has text.",
    "List*.first_id: kinds: +null": NO_ENDS,
    "List*.last_id: kinds: +null": NO_ENDS,
    "List*.object: words: +list": ONE_WORD,
    "DeleteModelResponse.object: words: +model": ONE_WORD,
    "CreateEmbeddingResponse.data.each.embedding: kinds: +string": "Vectors may be base64.",
    "*.<thread.created>.enabled: only theirs": "It is never sent.",
    "*.<error>.data: required: +error": "The SDKs raise only when the fault is nested too.",
    "*.<error>.data.error: only ours": "The SDKs raise only when the fault is nested too.",
}


@dataclass
class Shape:
    """What a schema allows, with references and alternatives folded away."""

    kinds: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    limits: dict[str, Any] = field(default_factory=dict)
    required: set[str] = field(default_factory=set)
    parts: dict[str, Any] = field(default_factory=dict)
    is_open: bool = True


LIMITS = [
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "minProperties",
    "maxProperties",
]


def alternatives(schema: Any, named: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Unfold references and unions into plain schemas."""
    if "$ref" in schema:
        yield from alternatives(named[schema["$ref"].rsplit("/", 1)[-1]], named)
        return
    union = [
        each
        for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ()))
        if set(each) != {"required"}
    ]
    for each in union:
        yield from alternatives(each, named)
    if not union:
        yield schema


def tag_of(schema: dict[str, Any]) -> str:
    for name in ("event", "type"):
        words = schema.get("properties", {}).get(name, {}).get("enum", ())
        if len(words) == 1:
            return str(words[0])
    return "untagged"


def shape(schema: Any, named: dict[str, Any]) -> Shape:
    """Fold a schema into what it allows."""
    found = Shape()
    plain = list(alternatives(schema, named))
    objects = [each for each in plain if each.get("type") == "object" or "properties" in each]
    for each in plain:
        if each in objects:
            found.kinds.add("object")
            continue
        words = set(each.get("enum", ()))
        found.kinds.add("string" if words else each.get("type", "anything"))
        found.words |= words or {"any"} if each.get("type") == "string" or words else set()
        found.limits |= {name: each[name] for name in LIMITS if name in each}
        if "items" in each:
            found.parts.setdefault("each", []).append(each["items"])
    if "any" in found.words:
        found.words = set()
    if "each" in found.parts:
        found.parts["each"] = {"anyOf": found.parts["each"]}
    if len(objects) > 1:
        found.parts |= {f"<{tag_of(each)}>": each for each in objects}
    for each in objects[: 1 if len(objects) == 1 else 0]:
        found.limits |= {name: each[name] for name in LIMITS if name in each}
        found.required = set(each.get("required", ()))
        found.parts |= each.get("properties", {})
        found.is_open = each.get("additionalProperties", True) is not False
        if isinstance(each.get("additionalProperties"), dict):
            found.parts["value"] = each["additionalProperties"]
        if "propertyNames" in each:
            found.parts["key"] = each["propertyNames"]
    return found


def differences(path: str, theirs: Shape, ours: Shape, them: Any, us: Any) -> Iterator[str]:
    """Tell where two shapes part, deepest names last."""
    for what in ("kinds", "words", "required"):
        left, right = getattr(theirs, what), getattr(ours, what)
        lost = [f"-{each}" for each in sorted(left - right)]
        gained = [f"+{each}" for each in sorted(right - left)]
        if left != right:
            yield f"{path}: {what}: {' '.join(lost + gained)}"
    for name in LIMITS:
        if theirs.limits.get(name) != ours.limits.get(name):
            yield f"{path}: {name}: {theirs.limits.get(name)} -> {ours.limits.get(name)}"
    # An object inside a request is closed by our own rule; only the outermost is told by theirs.
    if "." not in path and theirs.is_open != ours.is_open:
        yield f"{path}: open: {theirs.is_open} -> {ours.is_open}"
    for name in sorted(set(theirs.parts) ^ set(ours.parts)):
        yield f"{path}.{name}: {'only theirs' if name in theirs.parts else 'only ours'}"
    for name in sorted(set(theirs.parts) & set(ours.parts)):
        left, right = shape(theirs.parts[name], them), shape(ours.parts[name], us)
        yield from differences(f"{path}.{name}", left, right, them, us)


@cache
def document() -> dict[str, Any]:
    schemas: dict[str, Any] = json.loads(Path(NAMED).read_text())["components"]["schemas"]
    return schemas


@cache
def answers() -> dict[str, type[Answer]]:
    modules = "assistants threads messages runs steps deltas events lists models embeddings"
    return {
        thing.__name__: thing
        for name in modules.split()
        for thing in vars(importlib.import_module(f"famulus_schemas.{name}")).values()
        if inspect.isclass(thing) and issubclass(thing, Answer)
    }


def our_schema(kind: Any) -> tuple[Any, dict[str, Any]]:
    """Write our schema, with what an answer always sends among what it requires."""
    (schema,), named = msgspec.json.schema_components([kind], ref_template="#/{name}")
    for written in named.values():
        name = written.get("title", "").partition("[")[0]
        if name in answers():
            written["required"] = [*written["required"], *always_sent(answers()[name])]
    return schema, named


@cache
def differences_of(name: str) -> list[str]:
    schema, named = our_schema(PAIRS[name])
    theirs, ours = shape(document()[name], document()), shape(schema, named)
    return list(differences(name, theirs, ours, document(), named))


def all_differences() -> Iterator[str]:
    for name in PAIRS:
        yield from differences_of(name)


def is_deliberate(difference: str) -> bool:
    return any(fnmatchcase(difference, known) for known in DELIBERATE)


@needs_document
@pytest.mark.parametrize("name", PAIRS)
def test_a_struct_differs_from_the_document_only_on_purpose(name: str) -> None:
    assert [each for each in differences_of(name) if not is_deliberate(each)] == []


@needs_document
@pytest.mark.parametrize("known", DELIBERATE)
def test_no_reason_outlives_its_difference(known: str) -> None:
    assert any(fnmatchcase(each, known) for each in all_differences())
    assert DELIBERATE[known].endswith(".")
