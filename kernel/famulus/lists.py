"""Lists of stored resources: a page of records becomes a list envelope with no decode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from famulus.answers import Wire
from famulus_schemas.errors import UNKNOWN_CURSOR, Problem
from famulus_schemas.records import Page, Record, Records, UnknownCursor
from famulus_schemas.wire import ListQuery

_encode = msgspec.json.encode


async def list_page(
    records: Records,
    kind: str,
    parent: str = "",
    *,
    query: ListQuery,
    where: Mapping[str, str] = {},
    body_of: Callable[[Record], bytes] | None = None,
) -> Wire[Any]:
    """The page that a client asked for. Raises Problem where its cursor is unknown.

    With `body_of`, what is answered of a record is not simply its body.
    """
    try:
        page = await records.page(
            kind,
            parent,
            where=where,
            order=query.order,
            after=query.after,
            before=query.before,
            limit=query.limit,
        )
    except UnknownCursor as error:
        raise Problem(UNKNOWN_CURSOR, param=error.name, name=error.name, id=error.id) from error
    if body_of is None:
        return Wire(envelope(page))
    bodies = [body_of(record) for record in page.records]
    return Wire(list_of(bodies, _ends(page.records), page.has_more))


def envelope(page: Page) -> bytes:
    """The wire form of a page."""
    rows = page.records
    return list_of([row.body for row in rows], _ends(rows), page.has_more)


def list_of(bodies: list[bytes], ends: tuple[str | None, str | None], has_more: bool) -> bytes:
    """The list envelope around bodies that are JSON already."""
    return b"".join(
        (
            b'{"object":"list","data":[',
            b",".join(bodies),
            b'],"first_id":',
            _encode(ends[0]),
            b',"last_id":',
            _encode(ends[1]),
            b',"has_more":true}' if has_more else b',"has_more":false}',
        )
    )


def _ends(rows: Any) -> tuple[str | None, str | None]:
    if not rows:
        return None, None
    first: Record = rows[0]
    last: Record = rows[-1]
    return first.id, last.id
