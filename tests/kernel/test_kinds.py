from __future__ import annotations

import pytest

from famulus.kinds import Kinds
from famulus_schemas.records import Clear, Delete, Guard, Insert, Kind, Replace

NOTE = Kind(name="note", indexes=("color",), index_of=lambda record: {})


@pytest.fixture
def kinds() -> Kinds:
    kinds = Kinds()
    kinds.add(NOTE)
    return kinds


def test_a_declared_name_may_be_asked_for(kinds: Kinds) -> None:
    kinds.check_where("note", {"color": "red"})
    kinds.check_where("note", {})


def test_a_name_of_another_kind_may_not_be_asked_for(kinds: Kinds) -> None:
    kinds.add(Kind(name="run"))
    for kind in ("run", "unheard of"):
        with pytest.raises(ValueError, match=f"kind '{kind}' declares no index 'color'"):
            kinds.check_where(kind, {"color": "red"})


def test_a_later_declaration_takes_the_place_of_an_earlier_one(kinds: Kinds) -> None:
    kinds.add(Kind(name="note", indexes=("size",), index_of=lambda record: {}))
    kinds.check_where("note", {"size": "1"})
    with pytest.raises(ValueError, match=r"no index 'color'; it declares \['size'\]"):
        kinds.check_where("note", {"color": "red"})


@pytest.mark.parametrize(
    "write",
    [
        Insert(kind="note", id="a", created_at=1, body=b"", index={"size": "1"}),
        Replace(kind="note", id="a", version=1, index={"color": "red", "size": "1"}),
        Insert(kind="run", id="a", created_at=1, body=b"", index={"color": "red"}),
    ],
)
def test_a_unit_with_an_undeclared_name_is_an_error(kinds: Kinds, write: Insert | Replace) -> None:
    with pytest.raises(ValueError, match="declares no index"):
        kinds.check_unit([Guard(kind="note", id="b"), write])


def test_a_unit_of_declared_names_passes(kinds: Kinds) -> None:
    kinds.check_unit(
        [
            Insert(kind="note", id="a", created_at=1, body=b"", index={"color": "red"}),
            Replace(kind="note", id="a", version=1, index={"color": "blue"}),
            Replace(kind="run", id="a", version=1),
            Delete(kind="run", id="a"),
            Clear(kind="run", parent=""),
        ]
    )


def test_indexes_that_cannot_be_filled_are_an_error(kinds: Kinds) -> None:
    kinds.check(NOTE)
    kinds.check(Kind(name="run"))
    with pytest.raises(ValueError, match="kind 'run' declares indexes and no index_of"):
        kinds.check(Kind(name="run", indexes=("status",)))
