"""Which of OpenAI's operations are judged, under which names and in which order."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec

from famulus_conformance.oracle import OracleOperation

LIST = Path(__file__).with_name("scope.txt")


@cache
def scope() -> tuple[OracleOperation, ...]:
    """Every operation in scope; `streams` is for an oracle to say."""
    found: list[OracleOperation] = []
    group = ""
    for line in LIST.read_text().splitlines():
        if line.startswith("# "):
            group = line.removeprefix("# ")
            continue
        id, method, path = line.split()
        found.append(OracleOperation(id=id, method=method, path=path, group=group))
    return tuple(found)


def groups() -> tuple[str, ...]:
    """The names of all groups."""
    return tuple(dict.fromkeys(operation.group for operation in scope()))


def streaming(operation: OracleOperation) -> OracleOperation:
    """The same, said to stream."""
    return msgspec.structs.replace(operation, streams=True)
