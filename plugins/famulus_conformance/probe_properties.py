"""Is every property taken, told back, and there in the answer?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from famulus_conformance.judge import KNOWN_NAME, Judge, known_values
from famulus_conformance.oracle import OracleOperation, Schema
from famulus_conformance.places import Place, placed, places
from famulus_conformance.recipes import FUNCTION, NotPrepared, Request
from famulus_conformance.samples import sample
from famulus_conformance.shapes import alternatives, is_object, words_of
from famulus_conformance.target import Answer

ECHOING = {"assistants", "threads", "messages", "runs"}
"""Groups whose objects tell what they were made with."""

COMPANIONS: Mapping[str, Any] = {
    "tool_choice": {"tools": [FUNCTION]},
    "parallel_tool_calls": {"tools": [FUNCTION]},
    "top_logprobs": {"logprobs": True},
}
"""What a property needs beside it, where the request has no such thing."""

WITHIN: Mapping[str, Mapping[str, Any]] = {"truncation_strategy": {"last_messages": 3}}
"""What an object needs inside it for all of its types."""

OF_STREAMS = {"stream_options"}
"""Properties that mean something in streams only, which are judged elsewhere."""


async def probe_response(judge: Judge, operation: OracleOperation, answer: Answer) -> None:
    """Every property of the answer that must be there is, and all that are there are valid."""
    schema = judge.oracle.response_schema(operation)
    if schema is None:
        return
    faults: dict[str, str] = {}
    for path, message in judge.invalid(schema, answer.body):
        faults.setdefault(path.partition(".")[0], f"{path}: {message}")
    given = answer.body if isinstance(answer.body, dict) else {}
    is_missed = False
    for name, is_required in _properties(schema, judge):
        fault = faults.pop(name, None)
        if is_required and name not in given:
            fault, is_missed = "it is missing", True
        judge.find(operation, "properties", f"response.{name}", fault)
    # What is said of the whole is mostly what is missing, which has been told.
    rest = [text for name, text in faults.items() if name or not is_missed]
    if rest:
        judge.find(operation, "properties", "response", "; ".join(rest))


def _properties(schema: Schema, judge: Judge) -> Iterator[tuple[str, bool]]:
    plains = [each for each in alternatives(schema, judge.named) if is_object(each)]
    if len(plains) == 1:
        required = plains[0].get("required", ())
        for name in plains[0].get("properties", {}):
            yield name, name in required


async def probe_request(judge: Judge, operation: OracleOperation) -> None:
    """Every property is accepted, with every word that it may have, and told back."""
    schema = judge.oracle.request_schema(operation)
    if schema is None:
        return
    for place in places(schema, judge.named):
        if not place.steps or place.steps[0].name == "stream" or place.steps[0].name in OF_STREAMS:
            continue
        for what, value in _values(place, judge):
            await _try(judge, operation, place, what, value)


def _values(place: Place, judge: Judge) -> Iterator[tuple[str, Any]]:
    plain = place.plain
    if place.steps[-1].kind != "property" and not place.tag and not words_of(plain):
        return
    if place.steps[-1].name == "model":
        yield f"body.{place.path}", judge.target.model
        return
    words = words_of(plain)
    for word in words:
        yield f"body.{place.path} = {json.dumps(word)}", word
    if not words:
        kind = f"<{place.tag}>" if place.tag else str(plain.get("type", "object"))
        yield f"body.{place.path}: {kind}", sample(plain, judge.named, known_values(judge))


async def _try(
    judge: Judge, operation: OracleOperation, place: Place, what: str, value: Any
) -> None:
    try:
        request = await judge.prepared(operation)
    except NotPrepared as error:
        judge.find(operation, "properties", what, str(error))
        return
    value = _meant(judge, request, place, value)
    body = placed(request.body, place.steps, value, judge.named, known_values(judge))
    body = {**_companions(judge, operation, place), **body}
    for name, inside in WITHIN.items():
        if isinstance(body.get(name), dict):
            body[name] = {**inside, **body[name]}
    body = await judge.kitchen.with_files(body)
    answer = await judge.ask(operation, request, body=body)
    judge.find(operation, "properties", what, _fault(judge, operation, place, body, answer))


def _meant(judge: Judge, request: Request, place: Place, value: Any) -> Any:
    """The value, or one that is known to work there: an id that exists, a function's name."""
    if place.path == "tool_choice.function.name":
        return KNOWN_NAME
    given = _given(request.body, place)
    is_free = value is not None and not words_of(place.plain)
    return given if is_free and given is not None and _fits(judge, place, given) else value


def _given(body: Any, place: Place) -> Any:
    for step in place.steps:
        if step.kind == "each" and isinstance(body, list) and body:
            body = body[0]
        elif step.kind == "property" and isinstance(body, dict):
            body = body.get(step.name)
        else:
            return None
    return body


def _fits(judge: Judge, place: Place, value: Any) -> bool:
    return not any(True for _ in judge.invalid(place.plain, value))


def _companions(judge: Judge, operation: OracleOperation, place: Place) -> Mapping[str, Any]:
    schema = judge.oracle.request_schema(operation) or {}
    taken = {name for name, _ in _properties(schema, judge)}
    companions = COMPANIONS.get(place.steps[0].name, {})
    return {name: value for name, value in companions.items() if name in taken}


def _fault(
    judge: Judge, operation: OracleOperation, place: Place, body: Any, answer: Answer
) -> str | None:
    if not answer.is_success:
        return f"refused: {answer}"
    schema = judge.oracle.response_schema(operation)
    if schema is None:
        return None
    for path, message in judge.invalid(schema, answer.body):
        return f"the answer's {path or 'body'}: {message}"
    name = place.steps[0].name
    sent, told = body[name], answer.body.get(name)
    # Null stands for what is not said, of which the server's own choice is told.
    is_told = sent is not None and _tells(judge, schema, name, sent)
    if operation.group in ECHOING and is_told and not _echoes(sent, told):
        return f"sent {json.dumps(sent)}, told back {json.dumps(told)}"
    return None


def _tells(judge: Judge, schema: Schema, name: str, value: Any) -> bool:
    """Whether the answer has a property of that name that may have such a value."""
    for plain in alternatives(schema, judge.named):
        if name in plain.get("properties", {}):
            return not any(True for _ in judge.invalid(plain["properties"][name], value))
    return False


def _echoes(sent: Any, told: Any) -> bool:
    """Whether what was sent is in what is told; more may be."""
    if isinstance(sent, dict) and isinstance(told, dict):
        return all(name in told and _echoes(value, told[name]) for name, value in sent.items())
    if isinstance(sent, list) and isinstance(told, list):
        pairs = zip(sent, told, strict=False)
        return len(sent) == len(told) and all(_echoes(one, two) for one, two in pairs)
    return bool(sent == told)
