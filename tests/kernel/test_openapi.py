"""The document says what the signatures say, and is one that tools can read."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
from jsonschema import Draft202012Validator
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from openapi_spec_validator import OpenAPIV31SpecValidator

from famulus.answers import Bytes, EventStream, Wire
from famulus.call import Call
from famulus.openapi import openapi_document
from famulus.operations import operation, operations
from famulus_schemas.assistants import Assistant, CreateAssistant, ModifyAssistant
from famulus_schemas.chat import ChatCompletion, ChatCompletionChunk, ChatFields
from famulus_schemas.events import AssistantStreamEvent
from famulus_schemas.lists import ListPage
from famulus_schemas.runs import CreateRun, Run, RunQuery
from famulus_schemas.wire import Answer, ListQuery

Json = dict[str, Any]


class Search(Struct, kw_only=True):
    """A query with all that a query can hold."""

    text: Annotated[str, Meta(description="What to look for.", min_length=1)]
    deep: bool = False
    near: float | None = None
    later: int | UnsetType = UNSET
    either: int | Literal["all"] | None = None
    tags: list[str] | None = None
    metadata: dict[str, str] = {}


class Upload(Struct, kw_only=True):
    """The fields of a form."""

    purpose: str
    file: Annotated[str, Meta(extra_json_schema={"format": "binary"})]


class Note(Answer, frozen=True, kw_only=True, omit_defaults=True):
    """An answer that leaves out what has not been said."""

    id: str
    text: str = ""


class House:
    """Operations of every form that a signature can have."""

    @operation("POST", "/v1/assistants", action="assistants.write")
    async def create_assistant(self, call: Call, body: CreateAssistant) -> Wire[Assistant]:
        """Create an assistant.

        It keeps its name until
        it is renamed.
        """
        raise NotImplementedError

    @operation("GET", "/v1/assistants", action="assistants.read")
    async def list_assistants(self, call: Call, query: ListQuery) -> Wire[ListPage[Assistant]]:
        """List assistants, the newest first."""
        raise NotImplementedError

    @operation("POST", "/v1/assistants/{assistant_id}", action="assistants.write")
    async def modify_assistant(
        self, call: Call, assistant_id: str, body: ModifyAssistant | None
    ) -> Assistant:
        raise NotImplementedError

    @operation("POST", "/v1/threads/{thread_id}/runs", action="runs.write", tags=("Runs",))
    async def create_run(
        self, call: Call, thread_id: str, body: CreateRun, query: RunQuery
    ) -> Wire[Run] | EventStream[AssistantStreamEvent]:
        """Run an assistant on a thread."""
        raise NotImplementedError

    @operation(
        "POST",
        "/v1/chat/completions",
        action="chat.create",
        documented_body=ChatFields,
        documented_answer=ChatCompletion,
    )
    async def create_chat(
        self, call: Call, body: dict[str, Raw]
    ) -> Bytes | EventStream[ChatCompletionChunk]:
        """Continue a conversation."""
        raise NotImplementedError

    @operation("GET", "/v1/vector_stores/search", action="search.read")
    async def search(self, call: Call, query: Search) -> Note:
        """Search."""
        raise NotImplementedError

    @operation(
        "POST",
        "/v1/files",
        action="files.write",
        documented_body={"multipart/form-data": Upload},
        documented_answer={"application/json": Note, "text/plain": str},
    )
    async def upload(self, call: Call) -> Bytes:
        """Upload a file."""
        raise NotImplementedError

    @operation("GET", "/v1/models/{model:path}", action="models.read")
    async def get_model(self, call: Call, model: str) -> Bytes:
        """Describe a model."""
        raise NotImplementedError

    @operation(
        "GET",
        "/v1/models/{model}/log",
        action="models.read",
        documented_answer=Note | EventStream[ChatCompletionChunk],
    )
    async def get_log(self, call: Call, model: str) -> Bytes:
        """Read what a model said."""
        raise NotImplementedError

    @operation("DELETE", "/-/cache", action="cache.write", name="search")
    async def drop_cache(self, call: Call) -> None:
        """Forget what can be computed again."""
        raise NotImplementedError

    @operation("GET", "/v1/events", action="events.read")
    async def listen(self, call: Call) -> EventStream[AssistantStreamEvent]:
        """Listen to all that happens."""
        raise NotImplementedError

    @operation("GET", "/health/live", action="health.read")
    async def live(self, call: Call) -> Note:
        """Whether the process answers."""
        raise NotImplementedError


@pytest.fixture(scope="module")
def document() -> Json:
    return openapi_document(
        operations(House()),
        title="House",
        version="1.2.3",
        description="Ours.",
        server_url="https://house.example",
        public_paths={"/health/live"},
    )


def at(document: Json, path: str, method: str = "get") -> Json:
    found: Json = document["paths"][path][method]
    return found


def parameters(document: Json, path: str, method: str = "get") -> dict[str, Json]:
    return {one["name"]: one for one in at(document, path, method)["parameters"]}


def answer(document: Json, path: str, method: str = "get") -> Json:
    found: Json = at(document, path, method)["responses"]["200"]["content"]
    return found


def schema(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


# --- tools can read it ----------------------------------------------------------------------------


def test_the_document_is_valid_openapi(document: Json) -> None:
    errors = [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()]
    assert errors == []


def test_every_schema_is_a_valid_json_schema(document: Json) -> None:
    assert len(document["components"]["schemas"]) > 30
    for one in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(one)


def test_every_reference_leads_somewhere(document: Json) -> None:
    found = list(references(document))
    assert len(found) > 50
    for reference in found:
        part: Any = document
        for step in reference.removeprefix("#/").split("/"):
            part = part[step]


def references(part: Any) -> Any:
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for one in part:
            yield from references(one)


def test_a_right_body_satisfies_its_schema_and_a_wrong_one_does_not(document: Json) -> None:
    whole = {**schema("CreateAssistant"), "components": document["components"]}
    validator = Draft202012Validator(whole)
    assert validator.is_valid({"model": "m", "tools": [{"type": "code_interpreter"}]})
    assert not validator.is_valid({"model": "m", "tools": [{"type": "other"}]})
    assert not validator.is_valid({"model": "m", "colour": "red"})


def test_the_document_does_not_depend_on_the_order_of_operations() -> None:
    forward, backward = operations(House()), operations(House())[::-1]
    encode = msgspec.json.encode
    assert encode(openapi_document(forward)) == encode(openapi_document(backward))


def test_no_operations_make_a_valid_document_too() -> None:
    assert OpenAPIV31SpecValidator(openapi_document([])).is_valid()


# --- the server -----------------------------------------------------------------------------------


def test_the_server_is_described_as_it_was_asked_for(document: Json) -> None:
    assert document["openapi"].startswith("3.1.")
    assert document["info"] == {"title": "House", "version": "1.2.3", "description": "Ours."}
    assert document["servers"] == [{"url": "https://house.example"}]


def test_a_key_is_asked_for_everywhere_but_on_public_paths(document: Json) -> None:
    assert document["security"] == [{"bearer": []}]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert "security" not in at(document, "/v1/assistants")
    public = at(document, "/health/live")
    assert public["security"] == []
    assert set(public["responses"]) == {"200", "default"}


# --- operations -----------------------------------------------------------------------------------


def test_an_operation_is_named_and_summed_up(document: Json) -> None:
    found = at(document, "/v1/assistants", "post")
    assert found["operationId"] == "create_assistant"
    assert found["summary"] == "Create an assistant"
    assert found["description"] == "It keeps its name until\nit is renamed."
    assert found["x-action"] == "assistants.write"


def test_an_operation_without_words_is_named_after_itself(document: Json) -> None:
    assert at(document, "/v1/assistants/{assistant_id}", "post")["summary"] == "Modify assistant"


def test_operations_are_grouped_by_what_they_are_about(document: Json) -> None:
    assert at(document, "/v1/assistants")["tags"] == ["Assistants"]
    assert at(document, "/v1/vector_stores/search")["tags"] == ["Vector stores"]
    assert at(document, "/v1/threads/{thread_id}/runs", "post")["tags"] == ["Runs"]
    assert at(document, "/-/cache", "delete")["tags"] == ["Server"]
    assert at(document, "/health/live")["tags"] == ["Server"]
    assert {"name": "Runs"} in document["tags"]


def test_two_operations_of_one_name_can_be_told_apart(document: Json) -> None:
    names = {at(document, "/v1/vector_stores/search")["operationId"]}
    names.add(at(document, "/-/cache", "delete")["operationId"])
    assert names == {"search", "search_2"}


# --- what comes in --------------------------------------------------------------------------------


def test_path_parameters_are_required(document: Json) -> None:
    assert parameters(document, "/v1/threads/{thread_id}/runs", "post")["thread_id"] == {
        "name": "thread_id",
        "in": "path",
        "required": True,
        "description": "The id of the thread.",
        "schema": {"type": "string"},
    }


def test_a_path_parameter_that_spans_slashes_is_written_plainly(document: Json) -> None:
    assert parameters(document, "/v1/models/{model}")["model"]["description"] == "The model."


def test_query_parameters_carry_their_defaults_and_bounds(document: Json) -> None:
    found = parameters(document, "/v1/assistants")
    assert found["limit"] == {
        "name": "limit",
        "in": "query",
        "description": "How many to return.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
    }
    assert found["order"]["schema"] == {"enum": ["asc", "desc"], "default": "desc"}
    assert found["after"]["schema"] == {"type": "string"}


def test_query_parameters_of_every_form_are_written(document: Json) -> None:
    found = parameters(document, "/v1/vector_stores/search")
    assert found["text"]["required"] is True
    assert found["text"]["schema"] == {"type": "string", "minLength": 1}
    assert found["deep"]["schema"] == {"type": "boolean", "default": False}
    assert found["near"]["schema"] == {"type": "number"}
    assert found["later"]["schema"] == {"type": "integer"}
    assert found["either"]["schema"] == {"anyOf": [{"type": "integer"}, {"enum": ["all"]}]}
    assert found["tags[]"]["schema"] == {"type": "array", "items": {"type": "string"}}
    assert found["metadata"]["style"] == "deepObject"


def test_lists_in_a_query_are_named_with_brackets(document: Json) -> None:
    found = parameters(document, "/v1/threads/{thread_id}/runs", "post")["include[]"]
    assert (found["style"], found["explode"]) == ("form", True)
    assert found["schema"]["type"] == "array"


def test_a_body_is_required_unless_it_may_be_left_out(document: Json) -> None:
    assert at(document, "/v1/assistants", "post")["requestBody"] == {
        "required": True,
        "content": {"application/json": {"schema": schema("CreateAssistant")}},
    }
    optional = at(document, "/v1/assistants/{assistant_id}", "post")["requestBody"]
    assert optional["required"] is False
    assert "requestBody" not in at(document, "/v1/assistants")


def test_a_documented_body_stands_for_one_that_is_kept_as_it_came(document: Json) -> None:
    content = at(document, "/v1/chat/completions", "post")["requestBody"]["content"]
    assert content == {"application/json": {"schema": schema("ChatFields")}}


def test_a_form_is_documented_by_its_media_type(document: Json) -> None:
    content = at(document, "/v1/files", "post")["requestBody"]["content"]
    assert content == {"multipart/form-data": {"schema": schema("Upload")}}
    assert "400" in at(document, "/v1/files", "post")["responses"]


# --- what goes out --------------------------------------------------------------------------------


def test_a_list_is_named_after_what_it_holds(document: Json) -> None:
    assert answer(document, "/v1/assistants") == {
        "application/json": {"schema": schema("ListPage_Assistant")}
    }


def test_a_stream_stands_beside_the_json_answer(document: Json) -> None:
    found = answer(document, "/v1/threads/{thread_id}/runs", "post")
    assert found["application/json"] == {"schema": schema("Run")}
    stream = found["text/event-stream"]
    assert stream["schema"] == {"type": "string"}
    assert schema("ThreadMessageDelta") in stream["x-event-schema"]["anyOf"]
    assert stream["x-event-schema"]["discriminator"]["propertyName"] == "event"


def test_a_stream_may_be_all_that_an_operation_answers(document: Json) -> None:
    assert set(answer(document, "/v1/events")) == {"text/event-stream"}


def test_a_stream_stands_beside_a_documented_answer(document: Json) -> None:
    found = answer(document, "/v1/chat/completions", "post")
    assert found["application/json"] == {"schema": schema("ChatCompletion")}
    assert found["text/event-stream"]["x-event-schema"] == schema("ChatCompletionChunk")


def test_a_stream_of_bytes_can_be_documented_as_events(document: Json) -> None:
    found = answer(document, "/v1/models/{model}/log")
    assert found["application/json"] == {"schema": schema("Note")}
    assert found["text/event-stream"]["x-event-schema"] == schema("ChatCompletionChunk")


def test_answers_can_be_documented_by_their_media_types(document: Json) -> None:
    found = answer(document, "/v1/files", "post")
    assert set(found) == {"application/json", "text/plain"}


def test_an_answer_of_any_bytes_may_be_anything(document: Json) -> None:
    assert answer(document, "/v1/models/{model}") == {"*/*": {}}


def test_an_answer_of_nothing_has_no_content(document: Json) -> None:
    assert at(document, "/-/cache", "delete")["responses"]["200"] == {"description": "Success."}


def test_what_is_always_sent_is_required_of_an_answer(document: Json) -> None:
    schemas = document["components"]["schemas"]
    assert "usage" in schemas["Run"]["required"]
    assert set(schemas["Run"]["required"]) == set(schemas["Run"]["properties"])
    assert schemas["ThreadCreated"]["required"] == ["event", "data"]
    assert schemas["Note"]["required"] == ["id"]
    assert schemas["CreateRun"]["required"] == ["assistant_id"]


def test_values_stand_in_the_order_in_which_they_were_written(document: Json) -> None:
    status = document["components"]["schemas"]["Run"]["properties"]["status"]
    assert status["enum"][:2] == ["queued", "in_progress"]


def test_structs_are_described_by_their_docstrings(document: Json) -> None:
    assert document["components"]["schemas"]["Upload"]["description"] == "The fields of a form."


def test_failures_are_told_in_one_envelope(document: Json) -> None:
    responses = document["components"]["responses"]
    for name in ("BadRequest", "Unauthorized", "NotFound", "TooManyRequests", "Fault"):
        content = responses[name]["content"]["application/json"]
        assert content == {"schema": schema("ErrorEnvelope")}
    assert "Retry-After" in responses["TooManyRequests"]["headers"]


def test_failures_are_named_where_they_apply(document: Json) -> None:
    statuses = set(at(document, "/v1/threads/{thread_id}/runs", "post")["responses"])
    assert statuses == {"200", "400", "401", "404", "429", "default"}
    assert set(at(document, "/v1/models/{model}")["responses"]) == {
        "200",
        "401",
        "404",
        "429",
        "default",
    }
    assert "404" not in at(document, "/v1/assistants")["responses"]
