"""Holds the data of each event to the schema that an oracle has for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs

from famulus_conformance.oracle import Oracle, Schema

COMPLAINTS_MAX = 5
"""Of one event: one wrong property can make a union complain of every branch."""


class EventShapes:
    """The schemas of an oracle's events, each compiled when it is first wanted."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self._components = oracle.document().get("components", {})
        self._validators: dict[str, Any] = {}

    def complaints(self, name: str, data: Any) -> Iterator[str]:
        """Where the data of an event of this name is not as the oracle has it."""
        if name not in self._validators:
            schema = self._oracle.event_schema(name)
            self._validators[name] = None if schema is None else self._compiled(schema)
        validator = self._validators[name]
        if validator is None:
            yield f"OpenAI has no event named {name!r}"
            return
        for count, error in enumerate(validator.iter_errors(data)):
            if count == COMPLAINTS_MAX:
                return
            place = ".".join(str(step) for step in error.instance_path)
            yield f"{place or 'its data'}: {error.message}"

    def _compiled(self, schema: Schema) -> Any:
        whole = {**schema, "components": self._components}
        return jsonschema_rs.Draft202012Validator(whole)
