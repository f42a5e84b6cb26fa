"""Judging units: which of a batch may be written, and what they come to together.

Every record store does the same thing with the units that wait for it: read the rows that they
name, judge each unit with the earlier accepted ones laid over those rows, write the net effect,
commit once. The reading and writing is the store's own; the judging is here, and is pure.

    names = names_of(batch)                      # what to read, and in which order to lock it
    stored = {key: Row(...), ...}                # the rows of names.keys that there are
    judged = judge(batch, stored, next_seq)
    # Write judged.effect in the order of its fields, commit, then answer judged.refusals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from famulus_schemas.records import Clear, Conflict, Delete, Guard, Insert, Reason, Replace, Unit

Key = tuple[str, str, str]
"""(project, kind, id)"""

Parent = tuple[str, str, str]
"""(project, kind, parent): one list of records."""

Batch = Sequence[tuple[str, Unit]]
"""Units in the order in which they came, each with its project."""


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A record as far as judging needs it; a field that is None is left as it is stored."""

    parent: str
    seq: int
    version: int
    fence: int
    is_new: bool = False
    """Inserted by this batch: every field but `index` is given, and `index` may be empty."""
    created_at: int = 0
    body: bytes | None = None
    extra: bytes | None = None
    shape: int | None = None
    index: Mapping[str, str] | None = None
    """All of the record's index values, which take the place of the stored ones."""


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch names."""

    keys: list[Key]
    """Every record that a write speaks of, once and sorted: the order to lock them in."""
    parents: list[Parent]
    """Every list that is inserted into or cleared, once and sorted."""
    beyond: list[tuple[Parent, int]]
    """Lists of which every record past a `seq` is to be read (and locked) as the keys are."""
    inserts: int
    """How often `judge` can call `next_seq` at most."""


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """What the accepted units of a batch come to; to be written in the order of the fields.

    No key is in more than one of `inserts` and `replaces`. A key that is in `deletes` may also
    be in `inserts`.
    """

    clears: list[Parent]
    """Remove all records, index values and tombstones that were stored under these."""
    deletes: list[tuple[Key, Row]]
    """Remove these stored records and their index values; the row is the stored one."""
    tombstones: dict[tuple[str, str, str, str], int]
    """(project, kind, parent, id) to seq: remember these, over older ones of the same key."""
    inserts: list[tuple[Key, Row]]
    """Add these records; each row `is_new`."""
    replaces: list[tuple[Key, Row]]
    """Bring these stored records to this version and fence, and what is not None of the rest."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on a batch."""

    effect: Effect
    refusals: list[Conflict | None]
    """For each unit of the batch, in its order, why it was refused; None where accepted."""


def names_of(batch: Batch) -> Names:
    """What the units name: read (and lock) that before judging."""
    keys: set[Key] = set()
    parents: set[Parent] = set()
    beyond: dict[Parent, int] = {}
    inserts = 0
    for project, unit in batch:
        for write in unit:
            if isinstance(write, Clear):
                parent = (project, write.kind, write.parent)
                parents.add(parent)
                if write.until is not None:
                    beyond[parent] = min(write.until, beyond.get(parent, write.until))
                continue
            keys.add((project, write.kind, write.id))
            if isinstance(write, Insert):
                parents.add((project, write.kind, write.parent))
                inserts += 1
    return Names(
        keys=sorted(keys), parents=sorted(parents), beyond=sorted(beyond.items()), inserts=inserts
    )


def judge(batch: Batch, stored: Mapping[Key, Row], next_seq: Callable[[], int]) -> Judged:
    """Judge each unit with the earlier accepted ones laid over the stored rows.

    `stored` has the row of every named key that exists, and those beyond; such a row holds
    parent, seq, version and fence, and None for the rest. `next_seq` gives rising numbers, above
    every one given before; a refused unit may use some up.
    """
    overlay = _Overlay(stored, next_seq)
    refusals = [overlay.take(project, unit) for project, unit in batch]
    return Judged(effect=overlay.effect(), refusals=refusals)


class _Cell(msgspec.Struct, frozen=True, gc=False):
    """One key in the midst of a batch. Immutable, so that a refused unit is undone by reference."""

    stored: Row | None
    """The stored row, unless a Clear has taken it."""
    now: Row | None
    tombstones: tuple[tuple[str, int], ...] = ()
    """(parent, seq) of what was deleted, oldest first."""


class _Refused(Exception):
    def __init__(self, reason: Reason) -> None:
        self.reason: Reason = reason


class _Overlay:
    """The stored rows with what was accepted so far on top."""

    def __init__(self, stored: Mapping[Key, Row], next_seq: Callable[[], int]) -> None:
        self._cells = {key: _Cell(row, row) for key, row in stored.items()}
        self._next_seq = next_seq
        self._clears: dict[Parent, None] = {}

    def take(self, project: str, unit: Unit) -> Conflict | None:
        """Lay a unit over the rest, or leave everything as it was and say why."""
        undo: dict[Key, _Cell | None] = {}
        cleared: list[Parent] = []
        for write in unit:
            try:
                if isinstance(write, Clear):
                    parent = (project, write.kind, write.parent)
                    self._hold_until(write.until, parent)
                    cleared.append(parent)
                    self._clear(parent, undo)
                else:
                    self._write((project, write.kind, write.id), write, undo)
            except _Refused as refused:
                self._undo(undo)
                return Conflict(write, refused.reason)
        self._clears.update(dict.fromkeys(cleared))
        return None

    def effect(self) -> Effect:
        """What all accepted units come to."""
        effect = Effect(
            clears=list(self._clears), deletes=[], tombstones={}, inserts=[], replaces=[]
        )
        for key, cell in self._cells.items():
            if cell.now is not cell.stored:
                if cell.stored is not None and (cell.now is None or cell.now.is_new):
                    effect.deletes.append((key, cell.stored))
                if cell.now is not None:
                    (effect.inserts if cell.now.is_new else effect.replaces).append((key, cell.now))
            project, kind, id = key
            for parent, seq in cell.tombstones:
                effect.tombstones[project, kind, parent, id] = seq
        return effect

    def _undo(self, undo: Mapping[Key, _Cell | None]) -> None:
        for key, cell in undo.items():
            if cell is None:
                del self._cells[key]
            else:
                self._cells[key] = cell

    def _write(
        self, key: Key, write: Insert | Replace | Delete | Guard, undo: dict[Key, _Cell | None]
    ) -> None:
        cell = self._cells.get(key)
        now = cell.now if cell is not None else None
        if isinstance(write, Guard):
            _check_guard(write, now)
            return
        stored = cell.stored if cell is not None else None
        tombstones = cell.tombstones if cell is not None else ()
        if isinstance(write, Insert):
            after = _Cell(stored, _inserted(write, now, self._next_seq), tombstones)
        elif isinstance(write, Replace):
            after = _Cell(stored, _replaced(write, now), tombstones)
        else:
            gone = _present(now, write.version)
            after = _Cell(stored, None, (*tombstones, (gone.parent, gone.seq)))
        undo.setdefault(key, cell)
        self._cells[key] = after

    def _hold_until(self, until: int | None, cleared: Parent) -> None:
        if until is None:
            return
        for key, cell in self._cells.items():
            now = cell.now
            is_there = now is not None and (*key[:2], now.parent) == cleared
            if now is not None and is_there and now.seq > until:
                raise _Refused("exists")

    def _clear(self, cleared: Parent, undo: dict[Key, _Cell | None]) -> None:
        for key, cell in self._cells.items():
            if key[:2] != cleared[:2]:
                continue
            undo.setdefault(key, cell)
            # Assigning to a present key while iterating is allowed: no key comes or goes.
            self._cells[key] = _Cell(
                _unless_under(cleared[2], cell.stored),
                _unless_under(cleared[2], cell.now),
                tuple(stone for stone in cell.tombstones if stone[0] != cleared[2]),
            )


def _unless_under(parent: str, row: Row | None) -> Row | None:
    return None if row is None or row.parent == parent else row


def _present(now: Row | None, version: int | None) -> Row:
    if now is None:
        raise _Refused("missing")
    if version is not None and now.version != version:
        raise _Refused("version")
    return now


def _check_guard(guard: Guard, now: Row | None) -> None:
    if guard.absent:
        if now is not None:
            raise _Refused("exists")
        return
    row = _present(now, guard.version)
    if guard.fence is not None and row.fence != guard.fence:
        raise _Refused("fence")


def _inserted(insert: Insert, now: Row | None, next_seq: Callable[[], int]) -> Row:
    if now is not None:
        raise _Refused("exists")
    return Row(
        parent=insert.parent,
        seq=next_seq(),
        version=1,
        fence=insert.fence,
        is_new=True,
        created_at=insert.created_at,
        body=insert.body,
        extra=insert.extra,
        shape=insert.shape,
        index=insert.index,
    )


def _replaced(replace: Replace, now: Row | None) -> Row:
    row = _present(now, replace.version)
    return Row(
        parent=row.parent,
        seq=row.seq,
        version=row.version + 1,
        fence=row.fence if replace.fence is None else replace.fence,
        is_new=row.is_new,
        created_at=row.created_at,
        body=row.body if replace.body is None else replace.body,
        extra=row.extra if replace.extra is None else replace.extra,
        shape=row.shape if replace.shape is None else replace.shape,
        index=row.index if replace.index is None else replace.index,
    )
