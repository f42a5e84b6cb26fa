"""What a type allows, resolved once from its annotations, for those who explain or document it."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec
from msgspec import inspect as mi

Orders = dict[frozenset[Any], tuple[Any, ...]]


class Shape:
    """One type: its tree, and what the tree alone does not tell."""

    __slots__ = ("is_open", "keeps_raw", "orders", "root", "skips")

    def __init__(self, kind: Any) -> None:
        self.root = mi.type_info(kind)
        self.orders = written_orders(kind)
        parts = list(_parts(self.root, (), set()))
        self.is_open = any(isinstance(part, mi.AnyType | _Again) for part in parts)
        """Whether a part of it may nest without end."""
        self.keeps_raw = any(isinstance(part, mi.RawType) for part in parts)
        """Whether a part of it is passed on as it came."""
        self.skips = self.keeps_raw or any(_ignores(part) for part in parts)
        """Whether a part of what arrives is never decoded."""


def written_orders(kind: Any) -> Orders:
    """Each literal's values in the order in which they were written; msgspec sorts them."""
    orders: Orders = {}
    seen: set[Any] = set()
    waiting = [kind]
    while waiting:
        part = waiting.pop()
        arguments = typing.get_args(part)
        if typing.get_origin(part) is Literal:
            orders.setdefault(frozenset(arguments), arguments)
            continue
        waiting.extend(arguments)
        owner = typing.get_origin(part) or part
        if isinstance(owner, type) and issubclass(owner, msgspec.Struct) and owner not in seen:
            seen.add(owner)
            waiting.extend(typing.get_type_hints(owner, include_extras=True).values())
    return orders


def bare(kind: mi.Type) -> mi.Type:
    """The type itself, without what was noted about it for documents."""
    while isinstance(kind, mi.Metadata):
        kind = kind.type
    return kind


def alternatives(kind: mi.Type) -> list[mi.Type]:
    """The branches of a union; a type that is none is its own only branch."""
    kind = bare(kind)
    if not isinstance(kind, mi.UnionType):
        return [kind]
    return [branch for member in kind.types for branch in alternatives(member)]


def structs_in(kinds: Iterable[Any]) -> list[Any]:
    """Every struct that these types are made of, in the order in which they are met."""
    done: set[int] = set()
    parts = [part for tree in mi.multi_type_info(kinds) for part in _parts(tree, (), done)]
    found = dict.fromkeys(part.cls for part in parts if isinstance(part, mi.StructType))
    return list(found)


class _Again(mi.Type):
    """Stands for a type inside itself."""


def _parts(kind: mi.Type, above: tuple[int, ...], done: set[int]) -> Iterator[mi.Type]:
    kind = bare(kind)
    if id(kind) in above:
        yield _Again()
        return
    if id(kind) in done:
        return
    done.add(id(kind))
    yield kind
    for child in _children(kind):
        yield from _parts(child, (*above, id(kind)), done)


def _children(kind: mi.Type) -> tuple[mi.Type, ...]:
    if isinstance(kind, mi.UnionType):
        return kind.types
    if isinstance(kind, mi.CollectionType):
        return (kind.item_type,)
    if isinstance(kind, mi.TupleType):
        return kind.item_types
    if isinstance(kind, mi.DictType):
        return (kind.key_type, kind.value_type)
    fields: tuple[mi.Field, ...] = getattr(kind, "fields", ())
    return tuple(field.type for field in fields)


def _ignores(kind: mi.Type) -> bool:
    return hasattr(kind, "fields") and not getattr(kind, "forbid_unknown_fields", False)
