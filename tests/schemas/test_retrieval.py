"""What a predicate over a document's attributes means."""

from __future__ import annotations

import pytest

from famulus_schemas.retrieval import Attributes, Comparison, Group, Predicate, holds

AUTHOR: Attributes = {"author": "Ada", "year": 1843.0, "draft": False}


def test_an_attribute_is_compared_with_a_value_of_its_type() -> None:
    assert holds(Comparison(op="eq", key="author", value="Ada"), AUTHOR)
    assert holds(Comparison(op="gte", key="year", value=1843), AUTHOR)
    assert not holds(Comparison(op="gt", key="year", value=1843), AUTHOR)
    assert holds(Comparison(op="lt", key="author", value="Bea"), AUTHOR)
    assert holds(Comparison(op="in", key="author", value=("Bea", "Ada")), AUTHOR)


@pytest.mark.parametrize("op", ["eq", "gt", "gte", "lt", "lte"])
@pytest.mark.parametrize(
    ("key", "value"), [("pages", 3), ("author", 3), ("year", "1843"), ("draft", 0), ("year", True)]
)
def test_what_is_lacking_or_of_another_type_does_not_compare(
    op: str, key: str, value: str | float
) -> None:
    assert not holds(Comparison(op=op, key=key, value=value), AUTHOR)  # type: ignore[arg-type]


def test_opposites_hold_where_the_attribute_is_lacking() -> None:
    assert holds(Comparison(op="ne", key="pages", value=3), AUTHOR)
    assert holds(Comparison(op="nin", key="pages", value=(3,)), AUTHOR)
    assert not holds(Comparison(op="ne", key="author", value="Ada"), AUTHOR)
    assert not holds(Comparison(op="nin", key="author", value=("Ada",)), AUTHOR)


def test_groups_nest() -> None:
    early: Predicate = Comparison(op="lt", key="year", value=1900)
    bea: Predicate = Comparison(op="eq", key="author", value="Bea")
    assert holds(Group(op="or", parts=(bea, early)), AUTHOR)
    assert not holds(Group(op="and", parts=(bea, early)), AUTHOR)
    assert holds(Group(op="and", parts=(early, Group(op="or", parts=(bea, early)))), AUTHOR)
