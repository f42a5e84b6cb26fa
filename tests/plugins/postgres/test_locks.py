from __future__ import annotations

from famulus.units import names_of
from famulus_postgres.locks import Locks, lock_number, locks_of
from famulus_schemas.records import Clear, Delete, Guard, Insert, Replace, Unit


def insert(id: str, parent: str = "") -> Insert:
    return Insert(kind="k", id=id, parent=parent, created_at=1, body=b"")


def locks(*units: Unit, schema: str = "famulus") -> Locks:
    batch = [("p", unit) for unit in units]
    return locks_of(schema, batch, names_of(batch))


def test_locks_come_in_one_order_whatever_the_order_of_the_writes() -> None:
    unit = [insert(f"n{number}", f"list{number % 7}") for number in range(50)]
    forth, back = locks(unit), locks(unit[::-1])
    assert forth == back
    assert forth.own == sorted(set(forth.own))
    assert len(forth.own) == 50 + 7


def test_a_list_is_locked_by_who_adds_to_it_and_by_who_clears_it() -> None:
    adds, clears = locks([insert("a", "list")]), locks([Clear(kind="k", parent="list")])
    assert set(clears.own) < set(adds.own)


def test_an_id_is_locked_by_who_inserts_it_and_by_who_guards_it_as_absent() -> None:
    inserts = locks([insert("a", "list")])
    guards = locks([Guard(kind="k", id="a", absent=True)])
    assert set(guards.own) < set(inserts.own)
    assert not set(guards.own) & set(locks([Clear(kind="k", parent="list")]).own)


def test_records_that_are_there_need_no_lock_of_their_own() -> None:
    unit: Unit = [
        Replace(kind="k", id="a", version=1),
        Delete(kind="k", id="b"),
        Guard(kind="k", id="c", version=1),
    ]
    assert locks(unit).own == []


def test_two_schemas_of_one_database_share_no_lock() -> None:
    unit = [insert(f"n{number}") for number in range(50)]
    one, other = locks(unit, schema="one"), locks(unit, schema="other")
    assert not {one.everybody, *one.own} & {other.everybody, *other.own}


def test_a_number_is_the_same_in_every_process_and_version_and_one_that_postgres_takes() -> None:
    assert lock_number("famulus", "key", "p", "k", "a") == -3357426386684762832
    assert -(2**63) <= lock_number("x", "key") < 2**63
