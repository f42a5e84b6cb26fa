from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from famulus.testing.records_conformance import model as records_model
from famulus.units import Effect, Key, Row, judge, names_of
from famulus_schemas.records import (
    Clear,
    Conflict,
    Delete,
    Guard,
    Insert,
    Replace,
    Unit,
)


def thing(id: str, parent: str = "", **index: str) -> Insert:
    return Insert(kind="thing", id=id, parent=parent, created_at=5, body=b"{}", index=index)


def stored(*, parent: str = "", seq: int = 1, version: int = 1, fence: int = 0) -> Row:
    return Row(parent=parent, seq=seq, version=version, fence=fence)


def from_ten() -> Callable[[], int]:
    return itertools.count(10).__next__


A: Key = ("p", "thing", "a")


def test_names_are_those_of_every_write_in_the_order_of_locking() -> None:
    names = names_of(
        [
            ("q", [thing("b", "shelf"), Guard(kind="other", id="z")]),
            ("p", [thing("b"), Replace(kind="thing", id="b", version=1)]),
            ("p", [Delete(kind="thing", id="a"), Clear(kind="note", parent="shelf")]),
        ]
    )
    assert names.keys == [
        ("p", "thing", "a"),
        ("p", "thing", "b"),
        ("q", "other", "z"),
        ("q", "thing", "b"),
    ]
    assert names.parents == [("p", "note", "shelf"), ("p", "thing", ""), ("q", "thing", "shelf")]
    assert names.inserts == 2
    assert names.beyond == []


def test_of_a_list_that_is_cleared_as_it_was_seen_all_that_came_later_is_to_be_read() -> None:
    shelf = ("p", "thing", "shelf")
    clears = [Clear(kind="thing", parent="shelf", until=until) for until in (7, 3, 9)]
    names = names_of([("p", [clear]) for clear in clears])
    assert (names.parents, names.beyond) == ([shelf], [(shelf, 3)])


def test_a_list_is_cleared_as_it_was_seen_by_those_who_come_first() -> None:
    def clear(until: int) -> Unit:
        return [Clear(kind="thing", parent="shelf", until=until)]

    judged = judge(
        [
            ("p", clear(3)),
            ("p", [Delete(kind="thing", id="a")]),
            ("p", clear(3)),
            ("p", [thing("b", "shelf")]),
            ("p", clear(9)),
            ("q", clear(0)),
        ],
        {A: stored(parent="shelf", seq=4)},
        from_ten(),
    )
    reasons = [refusal and refusal.reason for refusal in judged.refusals]
    assert reasons == ["exists", None, None, None, "exists", None]
    assert [(key[2], row.seq) for key, row in judged.effect.inserts] == [("b", 10)]


def test_guards_alone_have_no_effect() -> None:
    judged = judge(
        [("p", [Guard(kind="thing", id="a", version=1)]), ("p", [Guard(kind="thing", id="b")])],
        {A: stored()},
        from_ten(),
    )
    assert judged.effect == Effect(clears=[], deletes=[], tombstones={}, inserts=[], replaces=[])
    assert [refusal and refusal.reason for refusal in judged.refusals] == [None, "missing"]


def test_replacements_of_a_stored_record_come_to_one() -> None:
    judged = judge(
        [
            ("p", [Replace(kind="thing", id="a", version=1, body=b"1", fence=3)]),
            ("p", [Replace(kind="thing", id="a", version=2, extra=b"2")]),
        ],
        {A: stored(parent="shelf", seq=4)},
        from_ten(),
    )
    row = Row(parent="shelf", seq=4, version=3, fence=3, body=b"1", extra=b"2")
    assert judged.effect.replaces == [(A, row)]
    assert judged.effect.inserts == []


def test_what_is_inserted_and_deleted_leaves_its_tombstone_alone() -> None:
    judged = judge(
        [("p", [thing("a", "shelf")]), ("p", [Delete(kind="thing", id="a")])], {}, from_ten()
    )
    assert judged.effect == Effect(
        clears=[],
        deletes=[],
        tombstones={("p", "thing", "shelf", "a"): 10},
        inserts=[],
        replaces=[],
    )


def test_what_is_deleted_and_inserted_is_both() -> None:
    before = stored(parent="shelf", seq=4)
    judged = judge([("p", [Delete(kind="thing", id="a"), thing("a")])], {A: before}, from_ten())
    assert judged.effect.deletes == [(A, before)]
    assert judged.effect.tombstones == {("p", "thing", "shelf", "a"): 4}
    assert [(key, row.seq, row.version) for key, row in judged.effect.inserts] == [(A, 10, 1)]


def test_what_is_cleared_is_not_deleted_as_well() -> None:
    judged = judge(
        [
            ("p", [thing("b", "shelf"), Delete(kind="thing", id="a")]),
            ("p", [Clear(kind="thing", parent="shelf"), thing("a", "shelf")]),
        ],
        {A: stored(parent="shelf")},
        from_ten(),
    )
    assert judged.effect.clears == [("p", "thing", "shelf")]
    assert judged.effect.deletes == []
    assert judged.effect.tombstones == {}
    assert [key for key, _ in judged.effect.inserts] == [A]


class Table:
    """A store in memory that writes effects as they ask for it."""

    def __init__(self) -> None:
        self.rows: dict[Key, Row] = {}
        self.tombstones: dict[tuple[str, str, str, str], int] = {}

    def stamps(self, keys: Sequence[Key]) -> Mapping[Key, Row]:
        return {
            key: stored(parent=row.parent, seq=row.seq, version=row.version, fence=row.fence)
            for key in keys
            if (row := self.rows.get(key)) is not None
        }

    def write(self, effect: Effect) -> None:
        for project, kind, parent in effect.clears:
            for key, row in list(self.rows.items()):
                if (*key[:2], row.parent) == (project, kind, parent):
                    del self.rows[key]
            for stone in list(self.tombstones):
                if stone[:3] == (project, kind, parent):
                    del self.tombstones[stone]
        for key, row in effect.deletes:
            assert self.rows.pop(key).seq == row.seq
        self.tombstones.update(effect.tombstones)
        for key, row in effect.inserts:
            assert row.is_new
            assert key not in self.rows
            self.rows[key] = msgspec.structs.replace(row, is_new=False)
        for key, row in effect.replaces:
            given = {
                name: getattr(row, name)
                for name in ("version", "fence", "body", "extra", "shape", "index")
                if getattr(row, name) is not None
            }
            assert self.rows[key].seq == row.seq
            self.rows[key] = msgspec.structs.replace(self.rows[key], **given)


@given(records_model.steps(), st.integers(1, 10))
def test_units_judged_together_come_to_what_they_come_to_one_by_one(
    steps: list[records_model.Step], size: int
) -> None:
    model = records_model.Model(("x", "y"))
    units: list[tuple[str, Unit]] = []
    expected: list[tuple[int, str] | None] = []
    for step in steps:
        if isinstance(step, records_model.Commit):
            units.append((step.project, model.unit_of(step)))
            try:
                model.commit(*units[-1])
            except records_model.Refused as refused:
                expected.append((refused.number, refused.reason))
            else:
                expected.append(None)
    tables = []
    for per_batch in (1, size, len(units) or 1):
        table, next_seq = Table(), itertools.count(1).__next__
        refusals: list[Conflict | None] = []
        for start in range(0, len(units), per_batch):
            batch = units[start : start + per_batch]
            judged = judge(batch, table.stamps(names_of(batch).keys), next_seq)
            table.write(judged.effect)
            refusals += judged.refusals
        for (_, unit), refusal, answer in zip(units, refusals, expected, strict=True):
            assert (refusal and refusal.reason) == (answer and answer[1])
            assert refusal is None or answer is None or refusal.write is unit[answer[0]]
        tables.append((table.rows, table.tombstones))
    assert tables[0] == tables[1] == tables[2]
    for kind in model.kinds:
        assert sorted(key for key in tables[0][0] if key[1] == kind) == sorted(
            (record.project, record.kind, record.id) for record in model.all_of(kind)
        )
