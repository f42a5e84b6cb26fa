"""Both oracles know the same operations, and say the same where both can."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from famulus_conformance.oracles import find_oracle
from famulus_conformance.scope import groups, scope
from famulus_conformance.spec_oracle import spec_oracle
from famulus_conformance.wheel_oracle import wheel_document

EVENTS = [
    *(f"thread.run.{each}" for each in ("created", "queued", "in_progress", "requires_action")),
    *(f"thread.run.{each}" for each in ("completed", "failed", "cancelling", "cancelled")),
    *(f"thread.run.step.{each}" for each in ("created", "delta", "completed", "expired")),
    *(f"thread.message.{each}" for each in ("created", "delta", "completed", "incomplete")),
    *("thread.created", "error", "chat.completion.chunk", "text_completion"),
]
THREAD = {
    "id": "thread_1",
    "object": "thread",
    "created_at": 1,
    "metadata": {},
    "tool_resources": {},
}


def operation(oracle: Any, id: str) -> Any:
    [found] = [each for each in oracle.operations() if each.id == id]
    return found


def valid(oracle: Any, schema: Any, value: Any) -> bool:
    whole = {**schema, "components": oracle.document()["components"]}
    return bool(jsonschema_rs.Draft202012Validator(whole).is_valid(value))


def test_all_99_operations_are_known_under_unique_names(oracle):
    operations = oracle.operations()
    assert len(operations) == len({each.id for each in operations}) == 99
    assert [each.id for each in operations] == [each.id for each in scope()]
    assert {each.group for each in operations} == set(groups())


def test_every_post_says_what_it_takes_and_every_answer_what_it_is(oracle):
    bare = {"cancelRun", "cancelUpload", "cancelVectorStoreFileBatch", "cancelResponse"}
    for each in oracle.operations():
        if each.method == "POST" and each.id not in bare | {"cancelBatch"}:
            assert oracle.request_schema(each) is not None, each.id
    silent = {each.id for each in oracle.operations() if oracle.response_schema(each) is None}
    assert silent <= {
        *("downloadFile", "deleteResponse", "DeleteContainer", "DeleteContainerFile"),
        *("RetrieveContainerFileContent", "GetSkillContent", "GetSkillVersionContent"),
    }


def test_a_thread_must_have_all_that_threads_have(oracle):
    schema = oracle.response_schema(operation(oracle, "getThread"))
    assert valid(oracle, schema, THREAD)
    for name in THREAD:
        assert not valid(oracle, schema, {**THREAD, name: 1.5})
        assert not valid(oracle, schema, {k: v for k, v in THREAD.items() if k != name})


def test_a_request_may_have_no_unknown_key_and_lacks_none_that_it_must_have(oracle):
    schema = oracle.request_schema(operation(oracle, "createAssistant"))
    assert valid(oracle, schema, {"model": "m"})
    assert not valid(oracle, schema, {})
    assert not valid(oracle, schema, {"model": "m", "modell": "m"})


def test_metadata_is_limited_as_their_text_says(oracle):
    schema = oracle.request_schema(operation(oracle, "modifyThread"))
    assert valid(oracle, schema, {"metadata": {"k" * 64: "v" * 512}})
    assert not valid(oracle, schema, {"metadata": {"k" * 65: "v"}})
    assert not valid(oracle, schema, {"metadata": {"k": "v" * 513}})
    assert not valid(oracle, schema, {"metadata": {f"k{number}": "" for number in range(17)}})


def test_every_fault_has_the_envelope(oracle):
    schema = oracle.response_schema(operation(oracle, "getThread"), 404)
    error = {"message": "m", "type": "t", "param": None, "code": None}
    assert valid(oracle, schema, {"error": error})
    for name in error:
        assert not valid(oracle, schema, {"error": {k: v for k, v in error.items() if k != name}})


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_has_a_schema_that_refuses_something(oracle, name):
    schema = oracle.event_schema(name)
    assert schema is not None
    assert not valid(oracle, schema, {"object": 5})


def test_an_unknown_event_has_none(oracle):
    assert oracle.event_schema("thread.gone") is None


def test_it_is_known_what_streams(oracle):
    streams = {each.id for each in oracle.operations() if each.streams}
    assert streams == {
        *("createThreadAndRun", "createRun", "submitToolOuputsToRun"),
        *("createChatCompletion", "createCompletion", "createResponse"),
    }


def test_the_document_is_one_that_others_can_load(oracle):
    document = oracle.document()
    text = json.dumps(document)
    names = set(document["components"]["schemas"])
    used = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert used <= names
    assert all(
        "default" in entry["responses"]
        for methods in document["paths"].values()
        for entry in methods.values()
    )


def test_only_the_document_is_one(oracle):
    assert oracle.is_document == oracle.name.startswith("OpenAI's OpenAPI document")


# --- where they come from ------------------------------------------------------------------------


def test_the_client_s_document_is_derived_once(client_oracle, cache_folder: Path):
    [kept] = cache_folder.iterdir()
    derived = kept.read_bytes()
    assert "createThread" in client_oracle.document()["paths"]["/threads"]["post"].values()
    assert wheel_document(cache_folder) == json.loads(derived)
    try:
        kept.write_text('{"paths": "from the cache"}')
        assert wheel_document(cache_folder) == {"paths": "from the cache"}
    finally:
        kept.write_bytes(derived)


def test_a_document_that_lacks_operations_is_refused(tmp_path: Path):
    path = tmp_path / "openapi.json"
    path.write_text('{"info": {"version": "1"}, "paths": {}, "components": {"schemas": {}}}')
    with pytest.raises(LookupError, match="there is no GET /assistants in it"):
        spec_oracle(path)


def test_without_a_document_the_client_is_believed(
    client_oracle, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("FAMULUS_OPENAI_SPEC", raising=False)
    assert find_oracle(None, cache=cache_folder).name == client_oracle.name
    assert "official client" in client_oracle.name
