"""Whose something is, as clients say by metadata, and what a record names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from famulus_schemas.records import Record
from famulus_schemas.retention import DataKind

FIELDS = ("metadata", "attributes")
"""By which clients say whose something is."""
_QUOTES = ("annotations",)
_WORD = re.compile(rb"[A-Za-z0-9_-]+")
"""As all ids are."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Whose data: who is named so, and what is named here."""

    named: tuple[tuple[str, str], ...] = ()
    """Keys of metadata and their values; any of them is enough."""
    ids: frozenset[str] = frozenset()

    def is_meant(self, data: DataKind, record: Record) -> bool:
        """Whether a record stands for something that is wanted."""
        return record.id in self.ids or (bool(data.named_by) and self.names(data.named_by, record))

    def names(self, field: str, record: Record) -> bool:
        """Whether a field of the record's body says so."""
        body = _decoded(record.body)
        return isinstance(body, dict) and self._is_said(body.get(field))

    def is_named_in(self, record: Record) -> bool:
        """Whether anything in the record's body says so, as an event of a stream may."""
        rest = [_decoded(record.body)]
        while rest:
            value = rest.pop()
            if isinstance(value, list):
                rest += value
            elif isinstance(value, dict):
                if any(self._is_said(value.get(field)) for field in FIELDS):
                    return True
                rest += value.values()
        return False

    def _is_said(self, said: Any) -> bool:
        if not isinstance(said, dict):
            return False
        return any(str(said.get(key)) == value for key, value in self.named if key in said)


def _decoded(data: bytes) -> Any:
    """What JSON says; None where it is none."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def named_in(record: Record, *, quotes: bool = True) -> set[str]:
    """Every text that a record holds as a whole: opaque ids are among these.

    Without `quotes` none of those that tell where a text comes from.
    """
    skipped = () if quotes else _QUOTES
    return {text for data in (record.body, record.extra) for text in _texts(data, skipped)}


def _texts(data: bytes, skipped: Collection[str]) -> Iterator[str]:
    rest = [_decoded(data)]
    if rest == [None]:
        # Such as the events of a stream: any word of it may be an id.
        yield from (word.decode() for word in _WORD.findall(data))
        return
    while rest:
        value = rest.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            rest += value
        elif isinstance(value, dict):
            yield from value
            rest += [each for key, each in value.items() if key not in skipped]
