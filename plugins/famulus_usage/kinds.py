"""The records of usage."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from famulus_schemas.records import Kind, Record
from famulus_schemas.usage import Held, What
from famulus_usage.times import Width


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one step of a run used, and what it cost when it did."""

    at: int
    what: What = "completions"
    run: str = ""
    step: str = ""
    thread: str = ""
    assistant: str = ""
    user: str = ""
    key: str = ""
    model: str = ""
    requests: int = 1
    input: int = 0
    cached: int = 0
    output: int = 0
    cost: int = 0
    is_estimate: bool = False


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """How much a project had, last in the time that begins at `at`."""

    at: int
    what: Held = "vector_stores"
    bytes: int


decode_level = msgspec.json.Decoder(Level).decode
decode_entry = msgspec.json.Decoder(Entry).decode


def _event_index(record: Record) -> Mapping[str, str]:
    return {"worker": record.parent.partition(".")[0]}


def _row_index(record: Record) -> Mapping[str, str]:
    return {"shelf": record.parent}


def _entry_index(record: Record) -> Mapping[str, str]:
    return entry_index(decode_entry(record.body))


def entry_index(entry: Entry) -> Mapping[str, str]:
    """The indexed names of an entry."""
    return {"run": entry.run, "assistant": entry.assistant}


EVENT = Kind(name="usage_event", indexes=("worker",), index_of=_event_index)
"""What was used and is not added up yet: cells. Parent: the process that wrote it, and the hour."""

ENTRY = Kind(name="usage_entry", indexes=("run", "assistant"), index_of=_entry_index)
"""Of runs, what each step used. Parent: the thread, with which it goes."""

ROWS: dict[Width, Kind] = {
    "1m": Kind(name="usage_minute", indexes=("shelf",), index_of=_row_index),
    "1h": Kind(name="usage_hour", indexes=("shelf",), index_of=_row_index),
    "1d": Kind(name="usage_day", indexes=("shelf",), index_of=_row_index),
}
"""Cells, added up. Parent: the hour, day or month that their time lies in."""

LEVEL = Kind(name="usage_level")
"""How much a project has, as it was last measured; by what it has."""

LEVELS: dict[Width, Kind] = {
    "1m": Kind(name="usage_level_minute", indexes=("shelf",), index_of=_row_index),
    "1h": Kind(name="usage_level_hour", indexes=("shelf",), index_of=_row_index),
    "1d": Kind(name="usage_level_day", indexes=("shelf",), index_of=_row_index),
}
"""How much it had. Parent: the hour or day that it lies in. Where nothing changed there may be
none, but of each day there is one for a project that has anything."""

SPENT = Kind(name="usage_spent", indexes=("time",), index_of=lambda record: {"time": record.parent})
"""What a project, or one of its keys, has spent in a day or month. Parent: that time."""

LIMIT = Kind(name="usage_limit")
"""A budget that was set by the API: of a project among its records, of all among nobody's."""

KINDS = (EVENT, ENTRY, *ROWS.values(), LEVEL, *LEVELS.values(), SPENT, LIMIT)
