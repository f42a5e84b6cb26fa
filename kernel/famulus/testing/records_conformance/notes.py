"""Records to try a store on, and ways to look at what it has of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from famulus_schemas.records import Conflict, Delete, Insert, Kind, Page, Record, Records, Write

PLAIN = Kind(name="plain")
NOTE = Kind(
    name="note",
    indexes=("color", "owner"),
    index_of=lambda record: msgspec.json.decode(record.body, type=dict[str, str]),
)
GONE = Delete(kind="plain", id="a")
BODY = b'{"color":"red","text":"na\xc3\xafve"}'


def plain(id: str, parent: str = "", **fields: Any) -> Insert:
    """The insertion of a record of no indexed kind."""
    given: dict[str, Any] = {"kind": "plain", "created_at": 5, "body": b"{}"} | fields
    return Insert(id=id, parent=parent, **given)


def note(id: str, parent: str = "", *, body: bytes = b"{}", **index: str) -> Insert:
    """The insertion of a record with index values."""
    return Insert(kind="note", id=id, parent=parent, created_at=5, body=body, index=index)


def ids(records: Page | Sequence[Record]) -> list[str]:
    """The ids, in order."""
    return [record.id for record in (records.records if isinstance(records, Page) else records)]


async def present(records: Records, *names: str, kind: str = "plain") -> list[str]:
    """Which of these ids there are."""
    return [id for id in names if await records.get(kind, id) is not None]


async def walk(
    records: Records, parent: str = "", *, kind: str = "plain", limit: int = 7, **how: Any
) -> list[str]:
    """Every id of a list, page by page."""
    found: list[str] = []
    after: str | None = None
    while True:
        page = await records.page(kind, parent, after=after, limit=limit, **how)
        found += ids(page)
        if not page.has_more:
            return found
        assert len(page.records) == limit
        after = found[-1]


async def refused(records: Records, *unit: Write) -> Conflict:
    """The conflict that a unit is refused with."""
    with pytest.raises(Conflict) as caught:
        await records.commit(unit)
    return caught.value
