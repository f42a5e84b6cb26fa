"""Every place of a body that a schema speaks of, and bodies that have something there."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from famulus_conformance.samples import sample
from famulus_conformance.shapes import alternatives, is_object, tag_of, words_of

DEPTH_MAX = 8
"""Schemas that hold themselves have no end."""


class Step(msgspec.Struct, frozen=True):
    """One step down: into a property, an item, or the value or the name of a pair."""

    kind: str
    name: str
    holder: Any
    """The plain schema that the step goes down from."""


class Place(msgspec.Struct, frozen=True):
    """A place: the steps that lead to it, and one of the plain schemas of what may stand there."""

    steps: tuple[Step, ...]
    plain: Any
    tag: str = ""
    """Which of several objects; empty where there is no other."""

    @property
    def path(self) -> str:
        """The place as `shapes` has it, less the names of alternatives."""
        names = [step.name if step.kind == "property" else step.kind for step in self.steps]
        return ".".join(names)

    @property
    def param(self) -> str:
        """The place as OpenAI's errors name it, of the first item."""
        named = ""
        for step in self.steps:
            if step.kind == "each":
                named += "[0]"
            elif step.kind == "property":
                named += f".{step.name}" if named else step.name
        return named


def places(schema: Any, named: Mapping[str, Any]) -> Iterator[Place]:
    """Every place below a body, each alternative of it by itself, nearest first."""
    waiting: list[tuple[tuple[Step, ...], Any]] = [((), schema)]
    seen: set[tuple[int, int]] = set()
    for steps, node in waiting:
        plains = list(alternatives(node, named))
        objects = [each for each in plains if is_object(each)]
        for plain in plains:
            tag = tag_of(plain) if len(objects) > 1 and is_object(plain) else ""
            yield Place(steps, plain, tag)
            # A component that is met again below itself has been seen with all its places.
            if (id(plain), len(steps)) in seen or len(steps) >= DEPTH_MAX:
                continue
            seen.add((id(plain), len(steps)))
            waiting += [((*steps, step), child) for step, child in _below(plain)]


def _below(plain: Any) -> Iterator[tuple[Step, Any]]:
    for name, child in plain.get("properties", {}).items():
        yield Step("property", name, plain), child
    if isinstance(plain.get("additionalProperties"), dict):
        yield Step("value", "value", plain), plain["additionalProperties"]
    if "propertyNames" in plain:
        yield Step("key", "key", plain), plain["propertyNames"]
    if "items" in plain:
        yield Step("each", "each", plain), plain["items"]


def placed(
    body: Any, steps: Sequence[Step], value: Any, named: Mapping[str, Any], known: Mapping[str, Any]
) -> Any:
    """A copy of the body with a value at a place; what is missing on the way is made up.

    `known` has values for properties that not any value will do for, by their names.
    """
    if not steps:
        return copy.deepcopy(value)
    step, *rest = steps
    if step.kind == "each":
        return [placed(_first(body), rest, value, named, known)]
    if step.kind == "key":
        return {value: sample(step.holder.get("additionalProperties", {}), named, known)}
    if step.kind == "value":
        return {"a": placed(None, rest, value, named, known)}
    made = _without_rivals(_as_holder(body, step, named, known), step)
    made[step.name] = placed(made.get(step.name), rest, value, named, known)
    return made


def _without_rivals(made: dict[str, Any], step: Step) -> dict[str, Any]:
    """Without what must not stand beside the step's property: one of several is required."""
    choices = [
        set(each["required"])
        for each in (*step.holder.get("oneOf", ()), *step.holder.get("anyOf", ()))
        if set(each) == {"required"}
    ]
    if not any(step.name in choice for choice in choices):
        return made
    rivals = set().union(*(choice for choice in choices if step.name not in choice))
    return {name: value for name, value in made.items() if name not in rivals}


def _first(body: Any) -> Any:
    return body[0] if isinstance(body, list) and body else None


def _as_holder(
    body: Any, step: Step, named: Mapping[str, Any], known: Mapping[str, Any]
) -> dict[str, Any]:
    """The body if it is of the alternative that the step goes down from, else one that is."""
    fresh: dict[str, Any] = sample(step.holder, named, known)
    if not isinstance(body, dict):
        return fresh
    properties = step.holder.get("properties", {})
    same = all(
        body.get(name) == fresh[name]
        for name in ("type", "role")
        if name in fresh and words_of(properties[name])
    )
    return {**fresh, **copy.deepcopy(body)} if same else fresh
