"""The installed official client as an oracle: its types, written as an OpenAPI document.

They say less than OpenAI's document: no limits, and little of what is required though it may be
null. What holds for whole kinds of objects is put back here.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from famulus_conformance.client_walk import ClientCall, Params, client_calls
from famulus_conformance.described import CHUNKS, EVENT_UNIONS, DescribedOracle, in_scope
from famulus_conformance.overlay import overlaid
from famulus_conformance.scope import scope
from famulus_conformance.shapes import REF

CLOSED = {"assistants", "threads", "messages", "runs", "embeddings", "files", "uploads"}
CLOSED |= {"vector_stores", "vector_store_files", "vector_store_file_batches"}
"""Groups whose requests may have no further keys."""

WHOLE = {
    "Assistant": {"tool_resources", "temperature", "top_p", "response_format"},
    "Thread": set(),
    "Message": set(),
    "Run": {"temperature", "top_p"},
    "RunStep": set(),
}
"""Objects that always have all their fields, and which may be missing all the same."""

EVENTS = {
    "AssistantStreamEvent": "openai.types.beta",
    "ResponseStreamEvent": "openai.types.responses",
}
CHUNK_TYPES = {
    "CreateChatCompletionStreamResponse": ("openai.types.chat", "ChatCompletionChunk"),
    "CreateCompletionResponse": ("openai.types", "Completion"),
}
FORM_ORDER = 2
"""Raised when what is derived from one version of the client changes."""


def wheel_oracle(cache: Path | None = None) -> DescribedOracle:
    """The oracle of the installed client; its document is kept in `cache`, a folder.

    Raises ImportError where the client is not installed.
    """
    document = wheel_document(cache or cache_folder())
    return DescribedOracle(
        overlaid(document, "client"),
        name=f"the types of the official client, openai {_version()}",
        is_document=False,
    )


def cache_folder() -> Path:
    """The user's own."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "famulus"


def wheel_document(cache: Path) -> dict[str, Any]:
    """The document, derived once for each version of the client."""
    kept = cache / f"openai-{_version()}-{FORM_ORDER}.json"
    try:
        document: dict[str, Any] = json.loads(kept.read_text())
    except (OSError, ValueError):
        document = _derived()
        _keep(kept, document)
    return document


def _version() -> str:
    try:
        return importlib.metadata.version("openai")
    except importlib.metadata.PackageNotFoundError as error:
        raise ImportError("the official client is not installed") from error


def _keep(path: Path, document: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            json.dump(document, file)
        os.replace(file.name, path)
    except OSError:
        # Without a cache it is derived again the next time.
        return


# --- the document --------------------------------------------------------------------------------


def _derived() -> dict[str, Any]:
    calls = _first_calls()
    types = _Types()
    paths: dict[str, Any] = {}
    for operation in scope():
        call = calls[operation.method, operation.path]
        entry = _entry(call, types, is_closed=operation.group in CLOSED)
        paths.setdefault(operation.path, {})[operation.method.lower()] = entry
    for name, module in EVENTS.items():
        types.name_as(name, _attribute(module, name))
    for name, (module, attribute) in CHUNK_TYPES.items():
        types.name_as(name, _attribute(module, attribute))
    return in_scope(
        {
            "openapi": "3.1.0",
            "info": {"title": "OpenAI API, as its client has it", "version": _version()},
            "paths": paths,
            "components": {"schemas": {**types.settled(), **_FAULT}},
        }
    )


def _first_calls() -> dict[tuple[str, str], ClientCall]:
    """The first call of each operation that says what it answers; the rest are conveniences."""
    found: dict[tuple[str, str], ClientCall] = {}
    for call in client_calls():
        known = found.get((call.method, call.path))
        if known is None or (known.answer is None and call.answer is not None):
            found[call.method, call.path] = call
    return found


def _entry(call: ClientCall, types: _Types, *, is_closed: bool) -> dict[str, Any]:
    names = [part[1:-1] for part in call.path.split("/") if part.startswith("{")]
    entry: dict[str, Any] = {
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in names
        ],
        "responses": {"200": {"description": "OK"}},
    }
    if call.query is not None:
        entry["parameters"] += types.query(call.query)
    if call.body is not None:
        media, schema = types.body(call.body, streams=call.streams, is_closed=is_closed)
        needed = bool(schema.get("required"))
        entry["requestBody"] = {"required": needed, "content": {media: {"schema": schema}}}
    if call.answer is not None:
        schema = _paged(call.page, types.of(call.answer)) if call.page else types.of(call.answer)
        entry["responses"]["200"]["content"] = {"application/json": {"schema": schema}}
    return entry


def _paged(page: str, item: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "object": {"type": "string"},
        "data": {"type": "array", "items": item},
    }
    if "Cursor" in page:
        ends = {name: {"type": "string"} for name in ("first_id", "last_id")}
        properties |= {**ends, "has_more": {"type": "boolean"}}
    return {"type": "object", "properties": properties, "required": list(properties)}


_FAULT = {
    "Error": {
        "type": "object",
        "properties": {
            "code": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "message": {"type": "string"},
            "param": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "type": {"type": "string"},
        },
        "required": ["type", "message", "param", "code"],
    },
    "ErrorResponse": {
        "type": "object",
        "properties": {"error": {"$ref": f"{REF}Error"}},
        "required": ["error"],
    },
}
"""The client has no type for it; it reads these keys."""


# --- its schemas ---------------------------------------------------------------------------------


class _Types:
    """Schemas of the client's types, with the names that they share."""

    def __init__(self) -> None:
        self._components: dict[str, Any] = {}
        self._roots: dict[int, tuple[Any, dict[str, Any]]] = {}

    def of(self, kind: Any) -> dict[str, Any]:
        """A type's schema, as a reference to a component of its own."""
        if id(kind) not in self._roots:
            self._roots[id(kind)] = kind, self._component(kind)
        return dict(self._roots[id(kind)][1])

    def name_as(self, name: str, kind: Any) -> None:
        """Have a component of this name for a type."""
        self._components[name] = self.of(kind)

    def settled(self) -> dict[str, Any]:
        """Every component."""
        return dict(sorted(self._components.items()))

    def query(self, params: Params) -> list[dict[str, Any]]:
        """Parameters of a query; lists are sent with brackets."""
        schema = self._plain(params.kind)
        return [
            {
                "name": f"{name}[]" if one.get("type") == "array" else name,
                "in": "query",
                "required": name in schema.get("required", ()),
                "schema": one,
            }
            for name, one in schema["properties"].items()
            if params.has(name)
        ]

    def body(self, params: Params, *, streams: bool, is_closed: bool) -> tuple[str, dict[str, Any]]:
        """What a request takes, and as which media type."""
        schema = dict(self._plain(params.kind))
        properties = {name: one for name, one in schema["properties"].items() if params.has(name)}
        if streams:
            properties["stream"] = {"anyOf": [{"type": "boolean"}, {"type": "null"}]}
        schema["properties"] = properties
        schema["required"] = [name for name in schema.get("required", ()) if name in properties]
        if is_closed:
            schema["additionalProperties"] = False
        is_form = any(one.get("format") == "binary" for one in properties.values())
        return "multipart/form-data" if is_form else "application/json", schema

    def _plain(self, kind: Any) -> Any:
        """The schema itself of parameters."""
        schema = self.of(kind)
        while "$ref" in schema:
            schema = self._components[schema["$ref"].removeprefix(REF)]
        return schema

    def _component(self, kind: Any) -> dict[str, Any]:
        written = _json_schema(kind)
        prefix = _name(kind, written)
        whole = _polished(written, f"{REF}{prefix}.")
        for name, schema in whole.pop("$defs", {}).items():
            self._components[f"{prefix}.{name}"] = _required_whole(name, schema)
        self._components[prefix] = _required_whole(prefix.rpartition(".")[2], whole)
        return {"$ref": f"{REF}{prefix}"}


def _name(kind: Any, schema: Any) -> str:
    """A name that no other type of the client has."""
    module = str(getattr(kind, "__module__", "")).removeprefix("openai.types.")
    name = str(getattr(kind, "__name__", ""))
    if not name or module == "typing":
        return f"union.{sha256(json.dumps(schema).encode()).hexdigest()[:12]}"
    return f"{module}.{name}"


def _attribute(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def _json_schema(kind: Any) -> Any:
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticSchemaGenerationError

    try:
        return TypeAdapter(kind).json_schema()
    except PydanticSchemaGenerationError:
        return _form(kind)


def _form(kind: Any) -> dict[str, Any]:
    """A form's schema, field by field: what pydantic has no schema for is a file."""
    import typing_extensions

    fields = typing_extensions.get_type_hints(kind)
    schemas: dict[str, Any] = {}
    defs: dict[str, Any] = {}
    for name, hint in fields.items():
        schema = _field(hint)
        defs |= schema.pop("$defs", {})
        schemas[name] = schema
    required = sorted(kind.__required_keys__)
    return {"type": "object", "properties": schemas, "required": required, "$defs": defs}


def _field(hint: Any) -> Any:
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticSchemaGenerationError

    try:
        return TypeAdapter(hint).json_schema()
    except PydanticSchemaGenerationError:
        return {"type": "string", "format": "binary"}


def _polished(part: Any, prefix: str) -> Any:
    """The same with references to components, and without what only a reader wants."""
    if isinstance(part, list):
        return [_polished(each, prefix) for each in part]
    if not isinstance(part, dict):
        return part
    return dict(_polished_items(part, prefix))


def _polished_items(part: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in part.items():
        if name in ("properties", "$defs"):
            yield name, {key: _polished(one, prefix) for key, one in value.items()}
        elif name == "$ref":
            yield name, value.replace("#/$defs/", prefix)
        elif name == "const":
            yield "enum", [value]
        elif name not in ("title", "description", "default", "discriminator"):
            yield name, _polished(value, prefix)


def _required_whole(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    if name not in WHOLE or "properties" not in schema:
        return schema
    return {
        **schema,
        "required": [each for each in schema["properties"] if each not in WHOLE[name]],
    }


assert set(EVENTS) == set(EVENT_UNIONS)
assert set(CHUNK_TYPES) == set(CHUNKS.values())
