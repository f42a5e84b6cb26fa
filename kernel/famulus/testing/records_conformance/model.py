"""What a record store must do, as plain dictionaries, and random walks to compare it on.

The model is written from the contract alone and as simply as can be: it copies everything, tries
the writes one after the other, and keeps the copy if none was refused.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from typing import Literal, assert_never

import msgspec
from hypothesis import strategies as st

from famulus_schemas.records import (
    Clear,
    Delete,
    Guard,
    Insert,
    Kind,
    Order,
    Reason,
    Record,
    Replace,
    Write,
)

PROJECTS = ("one", "two")
PARENTS = ("", "shelf")
IDS = ("a", "b", "c", "d")
COLORS = ("red", "blue")
NEVER_USED = "never"


def kinds_named(*names: str) -> list[Kind]:
    """Kinds with an index `color`; nothing of theirs is ever back-filled."""
    return [Kind(name=name, indexes=("color",), index_of=lambda record: {}) for name in names]


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A write whose version is not chosen yet: `off` is how far it is from the right one."""

    verb: Literal["insert", "replace", "delete", "clear", "guard", "guard_absent"]
    kind: int
    id: str
    parent: str
    off: int
    fence: int | None
    body: bytes | None
    extra: bytes | None
    shape: int | None
    index: Mapping[str, str] | None


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """Commit a unit."""

    project: str
    drafts: Sequence[Draft]


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for a page."""

    project: str
    kind: int
    parent: str
    where: Mapping[str, str]
    order: Order
    after: str | None
    before: str | None
    limit: int


Step = Commit | Ask


def steps() -> st.SearchStrategy[list[Step]]:
    """Random walks: commits that mostly fit what is stored, and pages asked in between."""
    usually_right = st.sampled_from([0] * 8 + [1, -1])
    index = st.one_of(
        st.just({}), st.builds(lambda color: {"color": color}, st.sampled_from(COLORS))
    )
    drafts = st.builds(
        Draft,
        verb=st.sampled_from(
            ["insert"] * 4 + ["replace"] * 3 + ["delete"] * 2 + ["clear", "guard", "guard_absent"]
        ),
        kind=st.integers(0, 1),
        id=st.sampled_from(IDS),
        parent=st.sampled_from(PARENTS),
        off=usually_right,
        fence=st.one_of(st.none(), st.integers(0, 2)),
        body=st.one_of(st.none(), st.binary(max_size=20)),
        extra=st.one_of(st.none(), st.binary(max_size=20)),
        shape=st.one_of(st.none(), st.integers(1, 3)),
        index=st.one_of(st.none(), index),
    )
    commits = st.builds(
        Commit,
        project=st.sampled_from(PROJECTS),
        drafts=st.lists(drafts, min_size=1, max_size=4),
    )
    cursors = st.one_of(st.none(), st.sampled_from([*IDS, NEVER_USED]))
    asks = st.builds(
        Ask,
        project=st.sampled_from(PROJECTS),
        kind=st.integers(0, 1),
        parent=st.sampled_from(PARENTS),
        where=index,
        order=st.sampled_from(["asc", "desc"]),
        after=cursors,
        before=cursors,
        limit=st.integers(1, 5),
    )
    return st.lists(st.one_of(commits, commits, asks), min_size=1, max_size=30)


def every_list(kind: int) -> list[Ask]:
    """Every list of a kind as a whole, and by each value."""
    wheres: list[dict[str, str]] = [{}, *({"color": color} for color in COLORS)]
    return [
        Ask(
            project=project,
            kind=kind,
            parent=parent,
            where=where,
            order="asc",
            after=None,
            before=None,
            limit=100,
        )
        for project, parent, where in itertools.product(PROJECTS, PARENTS, wheres)
    ]


class _State:
    """All that is stored. Places count up where the store's `seq` may skip."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str, str], Record] = {}
        self.indexes: dict[tuple[str, str, str], Mapping[str, str]] = {}
        self.places: dict[tuple[str, str, str, str], int] = {}
        """(project, kind, parent, id) to the place of a record that is or was there."""
        self.last = 0


class Refused(Exception):
    """The model refused the write of this number in its unit, for this reason."""

    def __init__(self, number: int, reason: Reason) -> None:
        super().__init__(number, reason)
        self.number = number
        self.reason = reason


class Model:
    """The contract, without durability and without concurrency."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self.kinds = kinds
        self._state = _State()

    def unit_of(self, commit: Commit) -> list[Write]:
        """The unit that a step stands for, its versions chosen by the writes before them."""
        trial = copy.deepcopy(self._state)
        unit = []
        for draft in commit.drafts:
            write = _write_of(draft, self.kinds[draft.kind], trial, commit.project)
            unit.append(write)
            # A write that will be refused stands anyway, and leaves the next ones to guess.
            _reason_or_apply(trial, commit.project, write)
        return unit

    def commit(self, project: str, unit: Sequence[Write]) -> None:
        """Write all of it, or raise Refused and write nothing."""
        trial = copy.deepcopy(self._state)
        for number, write in enumerate(unit):
            reason = _reason_or_apply(trial, project, write)
            if reason is not None:
                raise Refused(number, reason)
        self._state = trial

    def get(self, project: str, kind: str, id: str) -> Record | None:
        """The record; its `seq` is the model's own."""
        return self._state.records.get((project, kind, id))

    def all_of(self, kind: str) -> list[Record]:
        """A kind's records in every project, in the order in which they were inserted."""
        found = [record for record in self._state.records.values() if record.kind == kind]
        return sorted(found, key=lambda record: record.seq)

    def page(self, ask: Ask) -> tuple[list[Record], bool] | None:
        """The page and whether there is more; None where a cursor is unknown."""
        kind = self.kinds[ask.kind]
        places: list[int | None] = []
        for id in (ask.after, ask.before):
            place = self._state.places.get((ask.project, kind, ask.parent, id or ""))
            if id is not None and place is None:
                return None
            places.append(place if id is not None else None)
        after, before = places
        sign = 1 if ask.order == "asc" else -1
        records = [
            record
            for key, record in self._state.records.items()
            if (record.project, record.kind, record.parent) == (ask.project, kind, ask.parent)
            and ask.where.items() <= self._state.indexes[key].items()
            and (after is None or sign * record.seq > sign * after)
            and (before is None or sign * record.seq < sign * before)
        ]
        records.sort(key=lambda record: sign * record.seq)
        has_more = len(records) > ask.limit
        if before is not None and after is None:
            return records[-ask.limit :], has_more
        return records[: ask.limit], has_more


def _write_of(draft: Draft, kind: str, state: _State, project: str) -> Write:
    stored = state.records.get((project, kind, draft.id))
    version = (stored.version if stored else 1) + draft.off
    match draft.verb:
        case "insert":
            return Insert(
                kind=kind,
                id=draft.id,
                parent=draft.parent,
                created_at=7,
                body=draft.body or b"{}",
                extra=draft.extra or b"",
                shape=draft.shape or 1,
                fence=draft.fence or 0,
                index=draft.index or {},
            )
        case "replace":
            return Replace(
                kind=kind,
                id=draft.id,
                version=version,
                body=draft.body,
                extra=draft.extra,
                shape=draft.shape,
                fence=draft.fence,
                index=draft.index,
            )
        case "delete":
            return Delete(kind=kind, id=draft.id, version=None if draft.off < 0 else version)
        case "clear":
            return Clear(kind=kind, parent=draft.parent)
        case "guard":
            return Guard(
                kind=kind,
                id=draft.id,
                version=None if draft.off < 0 else version,
                fence=draft.fence,
            )
        case "guard_absent":
            return Guard(kind=kind, id=draft.id, absent=True)
        case _:
            assert_never(draft.verb)


def _reason_or_apply(state: _State, project: str, write: Write) -> Reason | None:
    """Do the write, or say why not."""
    if isinstance(write, Clear):
        _clear(state, (project, write.kind, write.parent))
        return None
    key = (project, write.kind, write.id)
    record = state.records.get(key)
    reason = _reason(write, record)
    if reason is None:
        _apply(state, key, record, write)
    return reason


def _reason(write: Insert | Replace | Delete | Guard, record: Record | None) -> Reason | None:
    if isinstance(write, Insert) or (isinstance(write, Guard) and write.absent):
        return None if record is None else "exists"
    if record is None:
        return "missing"
    if write.version is not None and write.version != record.version:
        return "version"
    if isinstance(write, Guard) and write.fence is not None and write.fence != record.fence:
        return "fence"
    return None


def _apply(
    state: _State,
    key: tuple[str, str, str],
    record: Record | None,
    write: Insert | Replace | Delete | Guard,
) -> None:
    if isinstance(write, Insert):
        state.last += 1
        project, kind, id = key
        state.records[key] = Record(
            project=project,
            kind=kind,
            id=id,
            parent=write.parent,
            seq=state.last,
            fence=write.fence,
            created_at=write.created_at,
            body=write.body,
            extra=write.extra,
            shape=write.shape,
        )
        state.indexes[key] = write.index
        state.places[project, kind, write.parent, id] = state.last
    elif isinstance(write, Replace):
        assert record is not None
        given = {
            name: value
            for name in ("body", "extra", "shape", "fence")
            if (value := getattr(write, name)) is not None
        }
        state.records[key] = msgspec.structs.replace(record, version=record.version + 1, **given)
        if write.index is not None:
            state.indexes[key] = write.index
    elif isinstance(write, Delete):
        del state.records[key], state.indexes[key]


def _clear(state: _State, parent: tuple[str, str, str]) -> None:
    for key, record in list(state.records.items()):
        if (record.project, record.kind, record.parent) == parent:
            del state.records[key], state.indexes[key]
    for place in list(state.places):
        if place[:3] == parent:
            del state.places[place]
