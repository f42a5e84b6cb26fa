"""The statements of lists: keyset pages of one parent, and scans of a kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from famulus_schemas.records import Order, Record

COLUMNS = "project, kind, id, parent, seq, version, fence, created_at, body, extra, shape"

# What a list's question says is not read again: a value costs as much as a step of the search.
_OF_LIST = "id, seq, version, fence, created_at, body, extra, shape"

POINT = f"select {COLUMNS} from record where project = ? and kind = ? and id = ?"  # noqa: S608

CURSOR = """
    select coalesce(
        (select seq from record where project = ? and kind = ? and id = ? and parent = ?),
        (select seq from tombstone where project = ? and kind = ? and id = ? and parent = ?)
    )
"""
"""The place of an id in a list; the values are (project, kind, id, parent), twice."""

Question = tuple[str, list[Any]]
"""A statement and its values."""


def record_of(row: tuple[Any, ...]) -> Record:
    """The record that a row of COLUMNS holds."""
    project, kind, id, parent, seq, version, fence, created_at, body, extra, shape = row
    return Record(
        project=project,
        kind=kind,
        id=id,
        parent=parent,
        seq=seq,
        version=version,
        fence=fence,
        created_at=created_at,
        body=body,
        extra=extra,
        shape=shape,
    )


def records_under(
    project: str, kind: str, parent: str, rows: Sequence[tuple[Any, ...]]
) -> list[Record]:
    """The records that the rows of a page hold."""
    return [
        Record(
            project=project,
            kind=kind,
            id=id,
            parent=parent,
            seq=seq,
            version=version,
            fence=fence,
            created_at=created_at,
            body=body,
            extra=extra,
            shape=shape,
        )
        for id, seq, version, fence, created_at, body, extra, shape in rows
    ]


def page_question(
    project: str,
    kind: str,
    parent: str,
    *,
    where: Mapping[str, str],
    order: Order,
    above: int,
    below: int,
    limit: int,
) -> Question:
    """Records of one list with `above < seq < below`."""
    names = tuple(sorted(where))
    values: list[Any] = [project, kind, parent]
    for name in names:
        values += (name, where[name])
    return _page(len(names), order), [*values, above, below, limit]


def scan_question(
    kind: str, *, where: Mapping[str, str], order: Order, above: int, below: int, limit: int
) -> Question:
    """Records of a kind in every project with `above < seq < below`."""
    names = tuple(sorted(where))
    values: list[Any] = [kind]
    for name in names:
        values += (name, where[name])
    return _scan(len(names), order), [*values, above, below, limit]


@lru_cache
def _page(names: int, order: Order) -> str:
    keys = "project = ? and kind = ? and parent = ?"
    return _question(_OF_LIST, names, keys, order)


@lru_cache
def _scan(names: int, order: Order) -> str:
    return _question(COLUMNS, names, "kind = ?", order)


def _question(columns: str, names: int, keys: str, order: Order) -> str:
    if not names:
        return (
            f"select {columns} from record where {keys} and seq > ? and seq < ?"  # noqa: S608
            f" order by seq {order} limit ?"
        )
    # The first name's values lie in the order of seq; the other names are looked up for each.
    others = (names - 1) * (
        " and exists (select 1 from record_index other"
        " where other.seq = first.seq and other.name = ? and other.value = ?)"
    )
    return (
        f"select {columns} from record where seq in"  # noqa: S608
        f" (select seq from record_index first where {keys} and name = ? and value = ?{others}"
        f" and seq > ? and seq < ? order by seq {order} limit ?) order by seq {order}"
    )
