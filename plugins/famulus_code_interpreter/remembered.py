"""What is remembered of a thread's box, so that another one can take its place.

A box and its variables last as long as the process, at best. Which files it was given and which it
made is kept in a record of the thread, so that they come again, under the same names.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from famulus_schemas.records import Clear, Guard, Insert, Kind, Record, Replace, Unit


class MadeFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that code wrote, as it was kept."""

    file_id: str
    bytes: int


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a thread's boxes."""

    box: str = ""
    """The id of the last one; empty where there was none."""
    inputs: dict[str, str] = {}
    """The names of given files in a box, by the files' ids."""
    made: dict[str, MadeFile] = {}
    """What code wrote, by its path, the newest last."""

    def in_box(self, box: str, inputs: dict[str, str]) -> Remembered:
        """The same in another box, with these given files."""
        return replace(self.with_inputs(inputs), box=box)

    def with_inputs(self, inputs: dict[str, str]) -> Remembered:
        """The same with further given files."""
        return replace(self, inputs={**self.inputs, **inputs})

    def with_made(self, path: str, file: MadeFile, *, known_max: int) -> Remembered:
        """The same with a file that was written, and without the oldest where those are many."""
        made = {name: one for name, one in self.made.items() if name != path}
        made[path] = file
        return replace(self, made=dict(list(made.items())[-known_max:]))

    def without_made(self, paths: Sequence[str]) -> Remembered:
        """The same without files that are there no more."""
        gone = set(paths)
        if gone.isdisjoint(self.made):
            return self
        made = {path: file for path, file in self.made.items() if path not in gone}
        return replace(self, made=made)


KIND = Kind(name="code_session")
"""Parent: the thread; its id is the thread's."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Remembered).decode


def remembered_of(record: Record | None) -> Remembered:
    """What the record says; nothing where there is none."""
    return Remembered() if record is None else _decode(record.body)


def remember(thread_id: str, remembered: Remembered, *, over: Record | None, now: int) -> Unit:
    """The writes that keep it, refused (kind `thread`) where the thread is deleted."""
    body = _encode(remembered)
    is_there = Guard(kind="thread", id=thread_id)
    if over is not None:
        return [
            is_there,
            Replace(kind=KIND.name, id=thread_id, version=over.version, body=body),
        ]
    insert = Insert(kind=KIND.name, id=thread_id, parent=thread_id, created_at=now, body=body)
    return [is_there, insert]


def forget(thread_id: str) -> Clear:
    """The write that goes with a deleted thread."""
    return Clear(kind=KIND.name, parent=thread_id)
