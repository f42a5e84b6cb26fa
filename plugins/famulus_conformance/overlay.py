"""The overlay: each point in which we knowingly part from an oracle, with its reason.

`overlay.toml` is the one list. An entry names places in operations by `at`, each a pattern over
`<operation>.request.<path>`, `.response.<path>`, `.query.<name>`, or over `<component>.<path>`
of a stream's events; paths are those of `shapes`. What it changes there is said by `limits`
(and `was`, what they must have been), `null`, `open` (to unknown properties), `unlimited`, `add`
(`key` is for the names in a map), `one_of` (must be there), `also` (a further alternative),
`schema` (all of it) or `no_body`; `never_succeeds` is for an operation.

What only documents tell apart stands under `told`, as patterns over the lines of `comparison`;
what probes find, and we know of, under `known`, as patterns over `<operation>: <what>`.
"""

from __future__ import annotations

import copy
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import translate
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from famulus_conformance.shapes import LIMITS, alternatives, is_object, shape

LIST = Path(__file__).with_name("overlay.toml")

Source = Literal["document", "client"]

_OF_KIND = {
    "minLength": "string",
    "maxLength": "string",
    "pattern": "string",
    "minItems": "array",
    "maxItems": "array",
    "minimum": "number",
    "maximum": "number",
    "minProperties": "object",
    "maxProperties": "object",
}


class Deviation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One entry of the overlay."""

    at: list[str]
    why: str
    except_: list[str] = msgspec.field(default=[], name="except")
    """Places that are not meant though a pattern covers them."""
    only: Source | None = None
    """The one source that it corrects; both where it is not said."""
    limits: dict[str, Any] = {}
    was: dict[str, Any] = {}
    null: bool = False
    open: bool = False
    unlimited: bool = False
    add: dict[str, Any] = {}
    one_of: list[str] = []
    also: Any = None
    schema: Any = None
    no_body: bool = False
    of_others: bool = False
    """Of operations that we do not serve: it is needed by who judges other servers."""
    on_wire: bool = False
    """Probes show it; our own document does not speak of it."""
    never_succeeds: bool = False

    @property
    def what(self) -> str:
        """The change, in one line."""
        changes = msgspec.to_builtins(self)
        told = [
            f"{name} {_short(value)}"
            for name, value in changes.items()
            if name not in _BESIDE and value not in (None, {}, [], False)
        ]
        return f"{', '.join(self.at)}: {'; '.join(told)}"


_BESIDE = ("at", "except", "why", "only", "was", "of_others", "on_wire")


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Differences between documents that are none on the wire."""

    lines: list[str]
    why: str


class Known(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Findings of probes that are as we know them to be."""

    findings: list[str]
    why: str
    code: str | None = None
    """The code that the refusal must have; any will do where it is not said."""


class Overlay(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole list."""

    deviation: list[Deviation]
    told: list[Told]
    known: list[Known]


class StaleDeviation(Exception):
    """An entry of the overlay that changes nothing any more."""


@cache
def overlay() -> Overlay:
    """The list as it stands in the file."""
    return msgspec.convert(tomllib.loads(LIST.read_text()), Overlay)


def never_succeeding() -> dict[str, str]:
    """The operations that no request can bring a 200 of, each with the reason."""
    return {id: one.why for one in overlay().deviation if one.never_succeeds for id in one.at}


def overlaid(
    document: Mapping[str, Any], source: Source, entries: Sequence[Deviation] | None = None
) -> dict[str, Any]:
    """A copy of an OpenAPI document with the overlay applied. Raises StaleDeviation."""
    # By way of text, so that no two places are one object.
    changed: dict[str, Any] = json.loads(json.dumps(document))
    for entry in overlay().deviation if entries is None else entries:
        if entry.never_succeeds or entry.only not in (None, source):
            continue
        if not _apply(entry, changed):
            raise StaleDeviation(f"the {source} needs no change any more by: {entry.what}")
    return changed


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


# --- where ---------------------------------------------------------------------------------------


def _apply(entry: Deviation, document: dict[str, Any]) -> bool:
    """Make the change wherever it is not made yet; whether there was such a place."""
    meant, not_meant = _pattern(entry.at), _pattern(entry.except_)
    named = document["components"]["schemas"]
    changed = False
    for root, schema, owner in _roots(document):
        if entry.no_body:
            changed |= bool(meant.match(root)) and owner.pop("content", None) is not None
            continue
        for path, node in _places(root, schema, named):
            if meant.match(path) and not not_meant.match(path):
                changed |= _change(entry, node, named)
    return changed


def _pattern(globs: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(translate(each) for each in globs) or "(?!)")


def _roots(document: Mapping[str, Any]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Each schema that an operation or a stream begins with, its name, and what holds it."""
    for entry in document["paths"].values():
        for operation in entry.values():
            yield from _roots_of(operation)
    for name in ("AssistantStreamEvent",):
        if name in document["components"]["schemas"]:
            yield name, document["components"]["schemas"][name], {}


def _roots_of(operation: Mapping[str, Any]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    id = operation["operationId"]
    for parameter in operation.get("parameters", ()):
        yield f"{id}.{parameter['in']}.{parameter['name']}", parameter["schema"], parameter
    for part, owner in (
        ("request", operation.get("requestBody", {})),
        ("response", operation["responses"].get("200", {})),
    ):
        for media in owner.get("content", {}).values():
            if "schema" in media:
                yield f"{id}.{part}", media["schema"], owner


def _places(root: str, schema: Any, named: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every schema below a root, nearest first; a component only where it is met first."""
    seen: set[int] = set()
    waiting = [(root, schema)]
    for path, node in waiting:
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield path, node
        waiting += [(f"{path}.{name}", part) for name, part in shape(node, named).parts.items()]


# --- what ----------------------------------------------------------------------------------------


def _change(entry: Deviation, node: dict[str, Any], named: Mapping[str, Any]) -> bool:
    before = json.dumps([node, *alternatives(node, named)], sort_keys=True)
    for plain in alternatives(node, named):
        _limit(entry, plain)
        if is_object(plain) and entry.add:
            _add(entry.add, plain)
        if is_object(plain) and entry.one_of:
            plain["oneOf"] = [{"required": [name]} for name in entry.one_of]
        if entry.open:
            plain.pop("additionalProperties", None)
        for name in LIMITS if entry.unlimited else ():
            plain.pop(name, None)
    if entry.schema is not None:
        node.clear()
        node.update(copy.deepcopy(entry.schema))
    if entry.also is not None:
        _add_branch(node, entry.also, named)
    if entry.null:
        _add_branch(node, {"type": "null"}, named)
    return json.dumps([node, *alternatives(node, named)], sort_keys=True) != before


def _limit(entry: Deviation, plain: dict[str, Any]) -> None:
    kind = "number" if plain.get("type") == "integer" else plain.get("type", "object")
    for name, value in entry.limits.items():
        if _OF_KIND[name] == kind and plain.get(name) == entry.was.get(name):
            plain[name] = value


def _add(properties: Mapping[str, Any], plain: dict[str, Any]) -> None:
    added = copy.deepcopy(dict(properties))
    if "key" in added:
        plain["propertyNames"] = added.pop("key")
    if added:
        plain["properties"] = {**plain.get("properties", {}), **added}


def _add_branch(node: dict[str, Any], branch: Any, named: Mapping[str, Any]) -> None:
    if branch in alternatives(node, named):
        return
    union = next((node[name] for name in ("anyOf", "oneOf") if name in node), None)
    if union is None:
        whole = dict(node)
        node.clear()
        union = node["anyOf"] = [whole]
    union.append(copy.deepcopy(branch))
