"""An oracle that is an OpenAPI document, wherever the document comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from famulus_conformance.oracle import OracleOperation, Schema
from famulus_conformance.scope import scope, streaming
from famulus_conformance.shapes import REF, alternatives, tag_of

EVENT_UNIONS = ("AssistantStreamEvent", "ResponseStreamEvent")
"""Each event of the first is `{event, data}`; one of the second is its data itself."""

CHUNKS = {
    "chat.completion.chunk": "CreateChatCompletionStreamResponse",
    "text_completion": "CreateCompletionResponse",
}
"""What streams that do not name their events are made of, by the chunks' `object`."""


class DescribedOracle:
    """What a document with the overlay applied says of the operations in scope."""

    def __init__(self, document: Mapping[str, Any], *, name: str, is_document: bool) -> None:
        self.name = name
        self.is_document = is_document
        self._document = document
        self._schemas: Mapping[str, Any] = document["components"]["schemas"]
        self._entries = {
            (method.upper(), path): entry
            for path, methods in document["paths"].items()
            for method, entry in methods.items()
        }
        self._operations = tuple(self._known(each) for each in scope())
        # `error` is an event of both unions; the first is asked for by that name.
        self._events = dict(reversed([*self._named_events()]))

    def operations(self) -> Sequence[OracleOperation]:
        """Every operation in scope, in the report's order."""
        return self._operations

    def request_schema(self, operation: OracleOperation) -> Schema | None:
        """The body's; a multipart form's where it takes no JSON."""
        return _first_schema(self._entry(operation).get("requestBody", {}))

    def response_schema(self, operation: OracleOperation, status: int = 200) -> Schema | None:
        """The JSON body's; every status but 200 has the envelope of errors."""
        responses = self._entry(operation)["responses"]
        answer = responses.get(str(status)) or responses["default"]
        schema = answer.get("content", {}).get("application/json", {}).get("schema")
        return schema or None

    def event_schema(self, name: str) -> Schema | None:
        """The `data` of an event, by its name, its `type`, or its chunk's `object`."""
        return self._events.get(name)

    def document(self) -> Mapping[str, Any]:
        """The operations in scope, each also with a `default` answer: the envelope of errors."""
        return self._document

    def _entry(self, operation: OracleOperation) -> Mapping[str, Any]:
        entry: Mapping[str, Any] = self._entries[operation.method, operation.path]
        return entry

    def _known(self, operation: OracleOperation) -> OracleOperation:
        return streaming(operation) if self._streams(operation) else operation

    def _streams(self, operation: OracleOperation) -> bool:
        schema = self.request_schema(operation)
        plain = alternatives(schema, self._schemas) if schema else ()
        return any("stream" in each.get("properties", {}) for each in plain)

    def _named_events(self) -> Iterator[tuple[str, Schema]]:
        for union in EVENT_UNIONS:
            for each in alternatives({"$ref": REF + union}, self._schemas):
                properties = each.get("properties", {})
                is_named = "event" in properties
                yield tag_of(each), properties["data"] if is_named else each
        for name, component in CHUNKS.items():
            yield name, {"$ref": REF + component}


def _first_schema(holder: Mapping[str, Any]) -> Schema | None:
    content = holder.get("content", {})
    media = content.get("application/json") or next(iter(content.values()), None)
    return media.get("schema") if media else None


def in_scope(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document of just the operations in scope, each with a `default` answer.

    Raises LookupError where it lacks one.
    """
    paths: dict[str, dict[str, Any]] = {}
    for operation in scope():
        entry = document["paths"].get(operation.path, {}).get(operation.method.lower())
        if entry is None:
            raise LookupError(f"there is no {operation} in it")
        paths.setdefault(operation.path, {})[operation.method.lower()] = _with_default(
            entry, operation.id
        )
    return {**document, "paths": paths}


def _with_default(entry: Mapping[str, Any], id: str) -> dict[str, Any]:
    schema = {"$ref": f"{REF}ErrorResponse"}
    fault = {"description": "A fault.", "content": {"application/json": {"schema": schema}}}
    success = {status: one for status, one in entry["responses"].items() if status == "200"}
    return {**entry, "operationId": id, "responses": {**success, "default": fault}}
