"""Predicates as conditions of SQL: every key and value is a parameter, none is part of the text."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from famulus_schemas.retrieval import Attributes, AttributeValue, Comparison, Predicate

_ORDERS: Final = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def kept(attributes: Attributes) -> str:
    """Attributes as JSON that PostgreSQL can keep."""
    named = {storable(key): _value(value) for key, value in attributes.items()}
    return msgspec.json.encode(named).decode()


def condition(predicate: Predicate, parameters: list[Any]) -> str:
    """True for the rows whose column `attributes` it holds for; its parameters are added."""
    if isinstance(predicate, Comparison):
        return _comparison(predicate, parameters)
    parts = [condition(part, parameters) for part in predicate.parts]
    if predicate.op == "and":
        return f"({' and '.join(parts)})" if parts else "true"
    return f"({' or '.join(parts)})" if parts else "false"


def _comparison(comparison: Comparison, parameters: list[Any]) -> str:
    op, value = comparison.op, comparison.value
    if op in _ORDERS and isinstance(value, bool):
        return "false"
    found = f"(attributes -> {_add(parameters, storable(comparison.key))}::text)"
    if op in ("in", "nin"):
        assert isinstance(value, tuple)
        values = [msgspec.json.encode(_value(each)).decode() for each in value]
        holds = f"coalesce({found} = any ({_add(parameters, values)}::jsonb[]), false)"
        return holds if op == "in" else f"not {holds}"
    assert not isinstance(value, tuple)
    if op in ("eq", "ne"):
        wanted = msgspec.json.encode(_value(value)).decode()
        holds = f"coalesce({found} = {_add(parameters, wanted)}::jsonb, false)"
        return holds if op == "eq" else f"not {holds}"
    if isinstance(value, str):
        # Characters are compared by their numbers, as Python does.
        asked = (
            f"({found} #>> '{{}}') collate \"C\" {_ORDERS[op]} {_add(parameters, _value(value))}"
        )
        return f"(case when jsonb_typeof({found}) = 'string' then {asked}::text else false end)"
    asked = f"({found} #>> '{{}}')::float8 {_ORDERS[op]} {_add(parameters, float(value))}"
    return f"(case when jsonb_typeof({found}) = 'number' then {asked}::float8 else false end)"


def _add(parameters: list[Any], value: Any) -> str:
    parameters.append(value)
    return f"${len(parameters)}"


def _value(value: AttributeValue) -> AttributeValue:
    return storable(value) if isinstance(value, str) else value


def storable(text: str) -> str:
    """The text without the one character that PostgreSQL does not keep; the order stays."""
    if "\0" not in text and "\1" not in text:
        return text
    return text.replace("\1", "\1\2").replace("\0", "\1\1")
