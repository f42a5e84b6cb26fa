"""A fuzzer that finds nothing proves nothing: servers that are broken on purpose are caught."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from famulus_conformance.findings import Finding
from famulus_conformance.fuzz import Fuzzing
from famulus_conformance.fuzz_excuses import EXCUSES, NEGATIVE, POSITIVE, excuse
from famulus_conformance.fuzz_judge import ENVELOPE, NO_FAULT
from famulus_conformance.fuzz_profiles import FULL, PROFILES, QUICK, VARIABLE, chosen_profile
from famulus_conformance.oracle import OracleOperation, Schema

KEY = "sk-the-only-key"
PROFILE = msgspec.structs.replace(QUICK, examples=8, walks=8)

Answerer = Callable[[Request], Response]

NOTE = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "text": {"type": "string", "maxLength": 20}},
    "required": ["id", "text"],
}
CREATE = {
    "type": "object",
    "properties": {"text": {"type": "string", "maxLength": 20}},
    "required": ["text"],
    "additionalProperties": False,
}
ERROR = {
    "type": "object",
    "properties": {
        "error": {"type": "object", "required": ["message", "type", "param", "code"]},
    },
    "required": ["error"],
}


def answering(schema: str, **more: Any) -> dict[str, Any]:
    def of(name: str) -> dict[str, Any]:
        found = {"schema": {"$ref": f"#/components/schemas/{name}"}}
        return {"description": name, "content": {"application/json": found}}

    return {"responses": {"200": of(schema), "default": of("ErrorResponse")}, **more}


class SmallOracle:
    """Says that there are notes, and files that the server does not have."""

    name = "a small one"
    is_document = True

    def operations(self) -> Sequence[OracleOperation]:
        return (
            OracleOperation(id="createNote", method="POST", path="/notes", group="notes"),
            OracleOperation(id="getNote", method="GET", path="/notes/{note_id}", group="notes"),
            OracleOperation(id="getFile", method="GET", path="/files/{file_id}", group="files"),
        )

    def request_schema(self, operation: OracleOperation) -> Schema | None:
        return CREATE if operation.id == "createNote" else None

    def response_schema(self, operation: OracleOperation, status: int = 200) -> Schema | None:
        return NOTE if status == 200 else ERROR

    def event_schema(self, name: str) -> Schema | None:
        return None

    def document(self) -> Mapping[str, Any]:
        body = {"required": True, "content": {"application/json": {"schema": CREATE}}}

        def by_id(name: str) -> list[dict[str, Any]]:
            return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}}]

        return {
            "openapi": "3.1.0",
            "info": {"title": "notes", "version": "1"},
            "paths": {
                "/notes": {"post": answering("Note", operationId="createNote", requestBody=body)},
                "/notes/{note_id}": {
                    "get": answering("Note", operationId="getNote", parameters=by_id("note_id"))
                },
                "/files/{file_id}": {
                    "get": answering("Note", operationId="getFile", parameters=by_id("file_id"))
                },
            },
            "components": {"schemas": {"Note": NOTE, "ErrorResponse": ERROR}},
        }


def refusal(status: int, message: str) -> Response:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    allow = {"allow": "POST" if "notes" in message else "GET, HEAD"} if status == 405 else {}
    return JSONResponse({"error": error}, status, headers=allow)


class Notes:
    """A small server that is right, but for what a test takes from it."""

    def __init__(self, broken: Callable[[Request, Response], Response] | None = None) -> None:
        self.broken = broken
        self.ignores_keys = False
        self.takes_anything = False
        self.notes: dict[str, str] = {}

    async def create(self, request: Request) -> Response:
        try:
            body = json.loads(await request.body())
            assert self.takes_anything or body.keys() == {"text"}
            assert self.takes_anything or (
                isinstance(body["text"], str) and len(body["text"]) <= 20
            )
        except (AssertionError, ValueError, AttributeError):
            return refusal(400, "That is no note.")
        id = f"note_{len(self.notes)}"
        text = body.get("text") if isinstance(body, dict) else None
        self.notes[id] = text if isinstance(text, str) else ""
        return JSONResponse({"id": id, "text": self.notes[id][:20]})

    async def get(self, request: Request) -> Response:
        id = request.path_params["note_id"]
        if id not in self.notes:
            return refusal(404, f"No note found with id '{id}'.")
        return JSONResponse({"id": id, "text": self.notes[id]})

    async def serve(self, request: Request) -> Response:
        parts = request.url.path.split("/")[2:]
        if parts[:1] != ["notes"] or len(parts) > 2:
            answer = refusal(404, f"Unknown request URL: {request.url.path}")
        elif not self.ignores_keys and request.headers.get("authorization") != f"Bearer {KEY}":
            answer = refusal(401, "Incorrect API key provided.")
        elif request.method not in (("POST",) if len(parts) == 1 else ("GET", "HEAD")):
            answer = refusal(405, "/notes" if len(parts) == 1 else "one")
        elif len(parts) == 1:
            answer = await self.create(request)
        else:
            request.path_params["note_id"] = parts[1]
            answer = await self.get(request)
        return self.broken(request, answer) if self.broken else answer


METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"]


@contextmanager
def serving(notes: Notes) -> Iterator[str]:
    """The base URL of it, on a socket of its own."""
    app = Starlette(routes=[Route("/{path:path}", notes.serve, methods=METHODS)])
    config = uvicorn.Config(app, port=0, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
        (port,) = [sock.getsockname()[1] for one in server.servers for sock in one.sockets]
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.should_exit = True
        thread.join()


def fuzzed(notes: Notes) -> list[Finding]:
    with serving(notes) as url:
        return [*Fuzzing(SmallOracle(), url, KEY, profile=PROFILE).findings()]


def wrong(notes: Notes) -> set[tuple[str, str]]:
    return {(found.operation, found.what) for found in fuzzed(notes) if not found.kept}


def of_success(change: Callable[[dict[str, Any]], Any]) -> Callable[[Request, Response], Response]:
    def broken(request: Request, answer: Response) -> Response:
        if answer.status_code != 200:
            return answer
        return JSONResponse(change(json.loads(bytes(answer.body))))

    return broken


def test_nothing_is_found_in_a_server_that_is_right() -> None:
    found = fuzzed(Notes())
    assert [each for each in found if not each.kept] == []
    assert {each.operation for each in found} == {"createNote", "getNote"}
    assert {POSITIVE, NEGATIVE, ENVELOPE, NO_FAULT, "ignored_auth"} <= {one.what for one in found}


def test_a_dropped_property_is_found() -> None:
    found = wrong(Notes(of_success(lambda note: {"id": note["id"]})))
    assert ("createNote", "response_schema_conformance") in found


def test_a_value_over_its_limit_is_found() -> None:
    found = wrong(Notes(of_success(lambda note: {**note, "text": "long" * 9})))
    assert ("createNote", "response_schema_conformance") in found


def test_a_fault_is_found() -> None:
    def broken(request: Request, answer: Response) -> Response:
        return refusal(500, "Oh.") if answer.status_code == 200 else answer

    found = wrong(Notes(broken))
    assert {("createNote", NO_FAULT), ("createNote", "not_a_server_error")} <= found


def test_a_wrong_content_type_is_found() -> None:
    def broken(request: Request, answer: Response) -> Response:
        return PlainTextResponse(bytes(answer.body), answer.status_code)

    found = wrong(Notes(broken))
    assert {("createNote", "content_type_conformance"), ("createNote", ENVELOPE)} <= found


def test_a_bare_error_is_found() -> None:
    def broken(request: Request, answer: Response) -> Response:
        if answer.status_code < 400:
            return answer
        return JSONResponse({"detail": "no"}, answer.status_code)

    found = wrong(Notes(broken))
    assert {("createNote", ENVELOPE), ("createNote", "response_schema_conformance")} <= found


def test_an_envelope_that_lacks_a_key_is_found() -> None:
    def broken(request: Request, answer: Response) -> Response:
        if answer.status_code < 400:
            return answer
        error = {"message": "no", "type": "invalid_request_error"}
        return JSONResponse({"error": error}, answer.status_code)

    found = [each for each in fuzzed(Notes(broken)) if each.what == ENVELOPE and not each.kept]
    assert found
    assert all("lacks code, param" in each.detail for each in found)


def test_ignored_keys_are_found() -> None:
    notes = Notes()
    notes.ignores_keys = True
    assert ("createNote", "ignored_auth") in wrong(notes)


def test_a_wrong_request_that_is_taken_is_found() -> None:
    notes = Notes()
    notes.takes_anything = True
    assert ("createNote", NEGATIVE) in wrong(notes)


def test_a_right_request_that_is_refused_is_found() -> None:
    def broken(request: Request, answer: Response) -> Response:
        return refusal(400, "Not today.") if answer.status_code == 200 else answer

    assert ("createNote", POSITIVE) in wrong(Notes(broken))


def test_a_method_that_allow_does_not_name_is_found() -> None:
    def broken(request: Request, answer: Response) -> Response:
        if answer.status_code == 405:
            answer.headers["allow"] = "PATCH"
        return answer

    assert ("createNote", "allow_header_conformance") in wrong(Notes(broken))


def test_a_server_that_has_none_of_the_operations_has_nothing_to_be_found() -> None:
    def broken(request: Request, answer: Response) -> Response:
        return refusal(404, f"Unknown request URL: {request.url.path}")

    assert fuzzed(Notes(broken)) == []


def test_a_finding_tells_how_to_see_it_again() -> None:
    found = fuzzed(Notes(of_success(lambda note: {"id": note["id"]})))
    detail = next(each.detail for each in found if not each.kept)
    assert "curl -X POST" in detail
    assert '{"id":"note_' in detail
    assert KEY not in detail


# --- what is excused, and how much is asked -----------------------------------------------------


@pytest.mark.parametrize(
    ("check", "operation", "error"),
    [
        (POSITIVE, "listRuns", {"param": "after", "code": None, "message": "No object found"}),
        (POSITIVE, "createRun", {"message": "Thread t already has an active run r."}),
        (POSITIVE, "createCompletion", {"code": "unsupported", "message": "no logprobs"}),
        (NEGATIVE, "createChatCompletion", None),
    ],
)
def test_an_answer_that_no_schema_could_foresee_is_excused(
    check: str, operation: str, error: Any
) -> None:
    assert excuse(check, operation, json.dumps({"error": error} if error else {}).encode())


@pytest.mark.parametrize(
    ("check", "operation", "body"),
    [
        (POSITIVE, "createRun", b'{"error": {"param": "model", "message": "No."}}'),
        (POSITIVE, "createRun", b"no JSON"),
        (POSITIVE, "createRun", b"[]"),
        (NEGATIVE, "createRun", b"{}"),
        ("not_a_server_error", "createRun", b'{"error": {"code": "unsupported"}}'),
    ],
)
def test_any_other_answer_is_not_excused(check: str, operation: str, body: bytes) -> None:
    assert excuse(check, operation, body) is None


def test_every_excuse_has_its_reason_and_is_not_for_everything() -> None:
    for each in EXCUSES:
        assert each.why.endswith(".")
        assert each.operation or each.code or each.param or each.message


def test_the_profile_is_chosen_by_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert chosen_profile() is QUICK
    monkeypatch.setenv(VARIABLE, "full")
    assert chosen_profile() is FULL
    monkeypatch.setenv(VARIABLE, "enormous")
    with pytest.raises(LookupError, match=", ".join(PROFILES)):
        chosen_profile()
