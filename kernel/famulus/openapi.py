"""The OpenAPI 3.1 document of what is served, made from the signatures that serve it."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec
from msgspec import inspect as mi

from famulus import __version__
from famulus.forms import MEDIA_TYPE
from famulus.operations import Operation, answer_parts
from famulus.shapes import Orders, alternatives, structs_in, written_orders
from famulus_schemas.errors import ErrorEnvelope
from famulus_schemas.wire import Answer, always_sent

Json = dict[str, Any]

_REF_START = "#/components/schemas/"
_REF = _REF_START + "{name}"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_PATH_KIND = re.compile(r":[a-z]+\}")
_VERSION = re.compile(r"v[0-9]+$")
_OWN = "Server"
_SECURITY = "bearer"

_FAULTS = {
    "400": ("BadRequest", "The request is wrong; `param` names what."),
    "401": ("Unauthorized", "There is no API key, or it is wrong."),
    "404": ("NotFound", "What the path names does not exist, or belongs to another project."),
    "429": ("TooManyRequests", "A limit is reached; wait for as long as `Retry-After` says."),
    "default": ("Fault", "Any other failure, in the same envelope."),
}


def openapi_document(
    operations: Iterable[Operation],
    *,
    title: str = "Famulus",
    version: str = __version__,
    description: str = "",
    server_url: str = "/",
    public_paths: Collection[str] = (),
) -> Json:
    """The document of these operations, the same for the same operations in any order.

    `public_paths` are served without a key.
    """
    schemas = _Schemas()
    writer = _Writer(schemas, frozenset(public_paths))
    paths: Json = {}
    for operation in sorted(operations, key=_place):
        entry = paths.setdefault(_path(operation), {})
        entry[operation.method.lower()] = writer.operation(operation)
    faults = writer.faults()
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version}
        | ({"description": description} if description else {}),
        "servers": [{"url": server_url}],
        "security": [{_SECURITY: []}],
        "tags": [{"name": tag} for tag in sorted(writer.tags, key=lambda tag: (tag == _OWN, tag))],
        "paths": paths,
        "components": {
            "schemas": schemas.settle(),
            "responses": faults,
            "securitySchemes": {
                _SECURITY: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key of this server.",
                }
            },
        },
    }


class _Schemas:
    """Schemas that are asked for one at a time and made all at once, so that names agree."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Any, Json, Callable[[Json], None] | None]] = []

    def of(self, kind: Any, then: Callable[[Json], None] | None = None) -> Json:
        """An object that will hold the schema of a type; `then` is called once it does."""
        schema: Json = {}
        self._waiting.append((kind, schema, then))
        return schema

    def settle(self) -> Json:
        """Fill every object that was handed out; the components that they refer to."""
        kinds = [kind for kind, _, _ in self._waiting]
        structs = structs_in(kinds)
        made, components = msgspec.json.schema_components([*kinds, *structs], ref_template=_REF)
        names = [one["$ref"].rpartition("/")[2] for one in made[len(kinds) :]]
        for struct, name in zip(structs, names, strict=True):
            _require_what_is_sent(struct, components[name])
        orders: Orders = {}
        for kind in kinds:
            orders = written_orders(kind) | orders
        for (_, schema, then), one in zip(self._waiting, made, strict=False):
            schema.update(_polished(one, orders))
            if then is not None:
                then(schema)
        return {_named(name): _polished(components[name], orders) for name in sorted(components)}


class _Writer:
    """Writes operations one after the other."""

    def __init__(self, schemas: _Schemas, public_paths: frozenset[str]) -> None:
        self.tags: set[str] = set()
        self._schemas = schemas
        self._public_paths = public_paths
        self._ids: set[str] = set()

    def operation(self, operation: Operation) -> Json:
        is_public = operation.path in self._public_paths
        tags = list(operation.tags) or [_tag(operation.path, is_public)]
        self.tags.update(tags)
        entry: Json = {"operationId": self._id(operation.name), "tags": tags}
        entry["summary"] = operation.summary
        if rest := _description(operation):
            entry["description"] = rest
        parameters = [_path_parameter(name) for name in operation.path_names]
        parameters += self._query_parameters(operation)
        if parameters:
            entry["parameters"] = parameters
        if body := self._body(operation):
            entry["requestBody"] = body
        entry["responses"] = self._answers(operation, is_public)
        if is_public:
            entry["security"] = []
        entry["x-action"] = operation.action
        return entry

    def faults(self) -> Json:
        """The shared answers that are no success."""
        found: Json = {}
        for name, text in _FAULTS.values():
            content = {"application/json": {"schema": self._schemas.of(ErrorEnvelope)}}
            found[name] = {"description": text, "content": content}
        found["TooManyRequests"]["headers"] = {
            "Retry-After": {
                "description": "Seconds to wait.",
                "schema": {"type": "integer", "minimum": 1},
            }
        }
        return found

    def _id(self, name: str) -> str:
        unique, number = name, 1
        while unique in self._ids:
            number += 1
            unique = f"{name}_{number}"
        self._ids.add(unique)
        return unique

    # --- what comes in ------------------------------------------------------------------------

    def _query_parameters(self, operation: Operation) -> list[Json]:
        if operation.query_type is None:
            return []
        kinds = {field.encode_name: field.type for field in _tree(operation.query_type).fields}
        fields = msgspec.structs.fields(operation.query_type)
        return [self._query_parameter(field, kinds[field.encode_name]) for field in fields]

    def _query_parameter(self, field: msgspec.structs.FieldInfo, kind: mi.Type) -> Json:
        parameter: Json = {"name": field.encode_name, "in": "query"}
        if field.required:
            parameter["required"] = True
        branches = alternatives(kind)
        if any(isinstance(branch, mi.CollectionType) for branch in branches):
            parameter |= {"name": f"{field.encode_name}[]", "style": "form", "explode": True}
        elif any(isinstance(branch, mi.DictType | mi.StructType) for branch in branches):
            parameter |= {"style": "deepObject", "explode": True}

        def finish(schema: Json) -> None:
            _drop_null(schema)
            if "description" in schema:
                parameter["description"] = schema.pop("description")
            if not isinstance(field.default, type(msgspec.UNSET) | type(msgspec.NODEFAULT)):
                default = msgspec.to_builtins(field.default)
                schema |= {} if default is None else {"default": default}

        parameter["schema"] = self._schemas.of(field.type, finish)
        return parameter

    def _body(self, operation: Operation) -> Json | None:
        content: Json = {}
        documented = operation.documented_body
        kind = operation.body_type if documented is None else documented
        if kind is not None:
            content |= self._content(kind)
        if operation.form_type is not None:
            content[MEDIA_TYPE] = {"schema": self._schemas.of(operation.form_type)}
        return {"required": not operation.body_optional, "content": content} if content else None

    # --- what goes out ------------------------------------------------------------------------

    def _answers(self, operation: Operation, is_public: bool) -> Json:
        success: Json = {"description": "Success."}
        if content := self._success(operation):
            success["content"] = content
        statuses = ["400"] if operation.query_type or self._takes_body(operation) else []
        statuses += [] if is_public else ["401"]
        statuses += ["404"] if operation.path_names else []
        statuses += [] if is_public else ["429"]
        shared = {status: _fault(status) for status in [*statuses, "default"]}
        return {"200": success, **shared}

    def _takes_body(self, operation: Operation) -> bool:
        given = (operation.body_type, operation.form_type, operation.documented_body)
        return any(kind is not None for kind in given)

    def _success(self, operation: Operation) -> Json:
        documented = operation.documented_answer
        _, event_kind, raw = answer_parts(operation.answer_type)
        if documented is None:
            content = self._content(operation.answer_type)
            return content | {"*/*": {}} if raw else content
        content = self._content(documented)
        if event_kind is not None:
            content["text/event-stream"] = self._events(event_kind)
        return content

    def _events(self, kind: Any) -> Json:
        # OpenAPI 3.1 has no word for the items of a stream; 3.2 calls it `itemSchema`.
        return {"schema": {"type": "string"}, "x-event-schema": self._schemas.of(kind)}

    def _content(self, kind: Any) -> Json:
        """A type is JSON; a mapping gives a type for each media type."""
        if isinstance(kind, Mapping):
            return {media: {"schema": self._schemas.of(one)} for media, one in kind.items()}
        json_kind, event_kind, _ = answer_parts(kind)
        content: Json = {}
        if json_kind is not None:
            content["application/json"] = {"schema": self._schemas.of(json_kind)}
        if event_kind is not None:
            content["text/event-stream"] = self._events(event_kind)
        return content


def _place(operation: Operation) -> tuple[str, int, str]:
    return operation.path, _METHODS.index(operation.method), operation.name


def _path(operation: Operation) -> str:
    return _PATH_KIND.sub("}", operation.path)


def _tag(path: str, is_public: bool) -> str:
    """The first word of a path that is not its version; what the kernel serves is one group."""
    words = [part for part in path.split("/") if part and not _VERSION.match(part)]
    if is_public or not words or words[0] == "-":
        return _OWN
    return words[0].replace("_", " ").replace("-", " ").capitalize()


def _description(operation: Operation) -> str:
    doc = inspect.getdoc(operation.function) or ""
    return doc.partition("\n\n")[2].strip()


def _path_parameter(name: str) -> Json:
    thing = name.removesuffix("_id").replace("_", " ")
    text = f"The id of the {thing}." if name.endswith("_id") else f"The {thing}."
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": text,
        "schema": {"type": "string"},
    }


def _fault(status: str) -> Json:
    return {"$ref": f"#/components/responses/{_FAULTS[status][0]}"}


def _tree(kind: type[msgspec.Struct]) -> mi.StructType:
    tree = mi.type_info(kind)
    assert isinstance(tree, mi.StructType)
    return tree


def _require_what_is_sent(struct: Any, schema: Json) -> None:
    """Of an answer, a field with a default is as certain as one without."""
    owner = typing.get_origin(struct) or struct
    if not issubclass(owner, Answer) or owner.__struct_config__.omit_defaults:
        return
    tag = owner.__struct_config__.tag_field
    schema["required"] = [*([tag] if tag else []), *always_sent(owner)]


def _polished(part: Any, orders: Orders) -> Any:
    """The same with literals in the order in which they were written, and plain names."""
    if isinstance(part, dict):
        polished = {key: _polished(value, orders) for key, value in part.items()}
        values = polished.get("enum")
        if isinstance(values, list):
            polished["enum"] = list(orders.get(frozenset(values), values))
        return polished
    if isinstance(part, list):
        return [_polished(one, orders) for one in part]
    if isinstance(part, str) and part.startswith(_REF_START):
        return _named(part)
    return part


def _named(name: str) -> str:
    # msgspec writes `ListPage[Run]` as `ListPage_Run_`.
    return name.rstrip("_")


def _drop_null(schema: Json) -> None:
    """A query cannot say null; it leaves the name out."""
    branches = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    if len(branches) == 1:
        del schema["anyOf"]
        schema.update(branches[0])
    elif branches:
        schema["anyOf"] = branches
