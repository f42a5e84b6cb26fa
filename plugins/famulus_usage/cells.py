"""What was used, added up: cells of events, of rows, and how they come together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from famulus_schemas.usage import What

Dimensions = tuple[What, str, str, str]
"""What, by whom, with which key, of which model."""


class Cell(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of one kind of use, by one principal, with one key, of one model, from `at` on."""

    at: int
    what: What = "completions"
    user: str = ""
    key: str = ""
    model: str = ""
    requests: int = 0
    input: int = 0
    cached: int = 0
    output: int = 0
    cost: int = 0
    """In billionths of the currency, so that sums stay exact."""

    @property
    def dimensions(self) -> Dimensions:
        """What tells it from others of its time."""
        return (self.what, self.user, self.key, self.model)


def plus(one: Cell, other: Cell) -> Cell:
    """Both together, at the time of the first."""
    return msgspec.structs.replace(
        one,
        requests=one.requests + other.requests,
        input=one.input + other.input,
        cached=one.cached + other.cached,
        output=one.output + other.output,
        cost=one.cost + other.cost,
    )


def summed(cells: Iterable[Cell]) -> list[Cell]:
    """The same with those of one time and the same dimensions made one."""
    found: dict[tuple[int, Dimensions], Cell] = {}
    for cell in cells:
        name = (cell.at, cell.dimensions)
        known = found.get(name)
        found[name] = cell if known is None else plus(known, cell)
    return list(found.values())


def row_id(cell: Cell) -> str:
    """The id of the row that a cell goes to."""
    text = "\x00".join(cell.dimensions).encode()
    return f"{cell.at}.{hashlib.blake2b(text, digest_size=12).hexdigest()}"


encode_cells = msgspec.json.Encoder().encode
decode_cells = msgspec.json.Decoder(list[Cell]).decode
decode_cell = msgspec.json.Decoder(Cell).decode
