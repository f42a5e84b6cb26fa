"""What all probes work with: an oracle, a target, and the findings so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from famulus_conformance.findings import Aspect, Finding
from famulus_conformance.oracle import Oracle, OracleOperation, Schema
from famulus_conformance.recipes import FUNCTION, RECIPES, Kitchen, Request, path_of
from famulus_conformance.samples import Named
from famulus_conformance.target import Answer, Target

KNOWN_NAME = str(FUNCTION["function"]["name"])
"""The name of the one function that every assistant here has."""

ENVELOPE = ("message", "type", "param", "code")


class Judge:
    """Asks a target and writes down what it finds."""

    def __init__(self, oracle: Oracle, target: Target) -> None:
        self.oracle = oracle
        self.target = target
        self.kitchen = Kitchen(target)
        self.named: Named = oracle.document()["components"]["schemas"]
        self.findings: list[Finding] = []
        self._validators: dict[str, Any] = {}

    def find(
        self, operation: OracleOperation, aspect: Aspect, what: str, fault: str | None = None
    ) -> None:
        """Write down what was looked at, and what is wrong with it, if anything is."""
        self.findings.append(
            Finding(
                operation=operation.id,
                aspect=aspect,
                what=what,
                kept=not fault,
                detail=fault or "",
            )
        )

    async def prepared(self, operation: OracleOperation) -> Request:
        """A request that must bring a 200. Raises NotPrepared."""
        return await RECIPES[operation.id](self.kitchen)

    async def ask(self, operation: OracleOperation, request: Request, **given: Any) -> Answer:
        """Make the request, with what differs from it."""
        path = path_of(operation, request.ids)
        body = given.pop("body", request.body)
        if request.files and "content" not in given:
            body = dict(body or {})
            given["files"] = {name: _file(body.pop(name)) for name in request.files if name in body}
        return await self.target.call(operation.method, path, body, **given)

    def invalid(self, schema: Schema, value: Any) -> Iterator[tuple[str, str]]:
        """Where a value breaks a schema, as a path and what is wrong there."""
        for error in self._validator(schema).iter_errors(value):
            path = ".".join(str(part) for part in error.instance_path)
            yield path, error.message

    def _validator(self, schema: Schema) -> Any:
        import jsonschema_rs

        key = repr(schema)
        if key not in self._validators:
            whole = {**schema, "components": {"schemas": self.named}}
            self._validators[key] = jsonschema_rs.Draft202012Validator(whole)
        return self._validators[key]


def _file(value: Any) -> Any:
    """A file of a form; what is no text is sent as a field that is no file."""
    return ("hello.txt", value.encode()) if isinstance(value, str) else (None, str(value).encode())


def known_values(judge: Judge) -> Mapping[str, Any]:
    """Values for required properties that not any value will do for."""
    return {"model": judge.target.model, "name": KNOWN_NAME}


def envelope_fault(answer: Answer, status: int) -> str | None:
    """What is wrong with an answer that must be a refusal of this status."""
    if answer.status != status:
        return f"expected {status}, got {answer}"
    missing = [name for name in ENVELOPE if name not in answer.error]
    if missing:
        return f"the envelope lacks {', '.join(missing)}: {answer}"
    if not isinstance(answer.error["message"], str) or not isinstance(answer.error["type"], str):
        return f"`message` and `type` must be texts: {answer}"
    return None


def param_fault(answer: Answer, param: str) -> str | None:
    """What is wrong with a 400 that must name a parameter; a part or the whole of it will do."""
    if fault := envelope_fault(answer, 400):
        return fault
    named = answer.error["param"]
    if not isinstance(named, str) or not (_is_part(named, param) or _is_part(param, named)):
        return f"expected param {param!r}, got {named!r}: {answer.error['message']}"
    return None


def _is_part(part: str, whole: str) -> bool:
    return part == whole or (part.startswith(whole) and part[len(whole)] in ".[")
