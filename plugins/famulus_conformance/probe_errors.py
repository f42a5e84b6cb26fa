"""Is what is wrong refused as OpenAI refuses it: status, envelope, parameter, code, words?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from famulus_conformance.judge import Judge, envelope_fault, param_fault
from famulus_conformance.oracle import OracleOperation, Schema
from famulus_conformance.recipes import NotPrepared, Request, names_in, path_of
from famulus_conformance.samples import wrong_value
from famulus_conformance.shapes import alternatives
from famulus_conformance.target import WRONG_KEY, Answer

NOBODY = "nothing_1234567890"
"""An id that nothing has; the right beginning is put before it."""

BEGINNINGS = {
    "assistant_id": "asst_",
    "thread_id": "thread_",
    "message_id": "msg_",
    "run_id": "run_",
    "step_id": "step_",
    "model": "model-",
}
REFERENCES = {"createRun": ("assistant_id",), "createThreadAndRun": ("assistant_id",)}
"""Ids in bodies that are looked up."""

_SAID = re.compile(r"^No .+ found with id|^No such |^The model .+ does not exist")

UNKNOWN = "no_such_parameter"


NO_OBJECTS = (("invalid JSON", b'{"a":'), ("a list instead of an object", b"[]"))


LIMITED = 429


async def probe_errors(judge: Judge, operation: OracleOperation) -> None:
    """All that can be wrong with a request of this operation."""
    try:
        request = await judge.prepared(operation)
    except NotPrepared as error:
        judge.find(operation, "errors", "what a request needs", str(error))
        return
    await _keys(judge, operation, request)
    await _unknown_ids(judge, operation, request)
    await _other_method(judge, operation, request)
    await _query(judge, operation, request)
    schema = judge.oracle.request_schema(operation)
    if schema is not None:
        await _body(judge, operation, request, schema)


async def _keys(judge: Judge, operation: OracleOperation, request: Request) -> None:
    without = await judge.ask(operation, request, api_key="")
    judge.find(operation, "errors", "401 without a key", envelope_fault(without, 401))
    wrong = await judge.ask(operation, request, api_key=WRONG_KEY)
    if wrong.status == LIMITED:
        # Of a server that makes an address wait once it has sent many.
        fault = envelope_fault(wrong, LIMITED) or _code_fault(wrong, "rate_limit_exceeded")
    else:
        fault = envelope_fault(wrong, 401) or _code_fault(wrong, "invalid_api_key")
    judge.find(operation, "errors", "401 with a wrong key", fault)


async def _unknown_ids(judge: Judge, operation: OracleOperation, request: Request) -> None:
    for name in names_in(operation.path):
        unknown = BEGINNINGS.get(name, "") + NOBODY
        ids = {**request.ids, name: unknown}
        answer = await judge.ask(operation, replace(request, ids=ids))
        # A message in a thread that there is not: either may be said to be missing.
        fault = _not_found(answer, list(ids.values()))
        judge.find(operation, "errors", f"404 for an unknown {name}", fault)
    for name in REFERENCES.get(operation.id, ()):
        unknown = BEGINNINGS.get(name, "") + NOBODY
        answer = await judge.ask(operation, request, body={**(request.body or {}), name: unknown})
        fault = _not_found(answer, [unknown])
        judge.find(operation, "errors", f"404 for an unknown {name}", fault)


def _not_found(answer: Answer, ids: Sequence[str]) -> str | None:
    if fault := envelope_fault(answer, 404):
        return fault
    message = answer.error["message"]
    is_said = _SAID.search(message)
    if not is_said or not any(id in message for id in ids):
        return f"these are not OpenAI's words: {message}"
    return None


async def _other_method(judge: Judge, operation: OracleOperation, request: Request) -> None:
    answer = await judge.target.call("PUT", path_of(operation, request.ids), {})
    fault = envelope_fault(answer, 405)
    if fault is None and operation.method not in answer.headers.get("allow", ""):
        fault = f"the header Allow does not name {operation.method}: {answer.headers.get('allow')}"
    judge.find(operation, "errors", "405 for another method", fault)


async def _query(judge: Judge, operation: OracleOperation, request: Request) -> None:
    entry = judge.oracle.document()["paths"][operation.path][operation.method.lower()]
    for parameter in entry.get("parameters", ()):
        name = parameter["name"]
        kinds = {
            "enum" if "enum" in each else each.get("type")
            for each in alternatives(parameter["schema"], judge.named)
        }
        if parameter["in"] != "query" or not kinds <= {"enum", "integer", "boolean", "null"}:
            continue
        answer = await judge.ask(operation, request, query={name: "sideways"})
        judge.find(
            operation, "errors", f"400 for query.{name} = sideways", param_fault(answer, name)
        )
    for name in ("after", "before"):
        if any(each["name"] == name for each in entry.get("parameters", ())):
            answer = await judge.ask(operation, request, query={name: NOBODY})
            fault = param_fault(answer, name)
            judge.find(operation, "errors", f"400 for an unknown query.{name}", fault)


# --- bodies --------------------------------------------------------------------------------------


async def _body(judge: Judge, operation: OracleOperation, request: Request, schema: Schema) -> None:
    for what, content in () if request.files else NO_OBJECTS:
        answer = await judge.ask(operation, request, content=content)
        judge.find(operation, "errors", f"400 for {what}", envelope_fault(answer, 400))
    for plain in alternatives(schema, judge.named):
        await _fields(judge, operation, request, plain)


async def _fields(
    judge: Judge, operation: OracleOperation, request: Request, plain: Mapping[str, Any]
) -> None:
    body = request.body or {}

    async def refused(what: str, sent: Any, param: str, *codes: str) -> None:
        answer = await judge.ask(operation, request, body=sent)
        fault = param_fault(answer, param) or (_code_fault(answer, *codes) if codes else None)
        judge.find(operation, "errors", f"400 for {what}", fault)

    if plain.get("additionalProperties") is False:
        sent = {**body, UNKNOWN: 1}
        await refused("an unknown parameter", sent, UNKNOWN, "unknown_parameter")
    for name in plain.get("required", ()):
        sent = {key: value for key, value in body.items() if key != name}
        await refused(f"a missing {name}", sent, name, "missing_required_parameter")
    for name, part in plain.get("properties", {}).items():
        value = wrong_value(part, judge.named)
        if value is not None:
            sent = {**body, name: value}
            await refused(f"{name} of a wrong type", sent, name)


def _code_fault(answer: Answer, *codes: str) -> str | None:
    code = answer.error.get("code")
    return None if code in codes else f"expected code {' or '.join(codes)}, got {code!r}"
