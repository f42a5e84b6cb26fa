"""Which stores a file is in: a record of each file, so that one that is deleted leaves all.

Whoever adds a file to a store commits against the version that it read, and so does whoever
deletes the file: no store can come in between.
"""

from __future__ import annotations

from famulus_schemas.errors import Problem
from famulus_schemas.records import Clear, Guard, Insert, Records, Replace, Unit
from famulus_vector_stores.faults import IN_TOO_MANY
from famulus_vector_stores.kinds import decode_members, encode

_KIND = "vector_store_membership"


async def joined_to(
    records: Records, file_id: str, store_id: str, *, param: str, now: int, stores_max: int
) -> Unit:
    """The writes by which a file is in a store. Raises Problem where it is in too many."""
    record = await records.get(_KIND, file_id)
    if record is None:
        return [
            Insert(
                kind=_KIND,
                id=file_id,
                parent=file_id,
                created_at=now,
                body=encode((store_id,)),
            )
        ]
    members = decode_members(record.body)
    if store_id in members:
        return []
    if len(members) >= stores_max:
        raise Problem(IN_TOO_MANY, param=param, id=file_id, limit=stores_max)
    body = encode((*members, store_id))
    return [Replace(kind=_KIND, id=file_id, version=record.version, body=body)]


async def left(records: Records, file_id: str, store_id: str) -> Unit:
    """The writes by which a file is not in a store any more."""
    record = await records.get(_KIND, file_id)
    if record is None:
        return []
    members = tuple(each for each in decode_members(record.body) if each != store_id)
    if members:
        return [Replace(kind=_KIND, id=file_id, version=record.version, body=encode(members))]
    # Not Delete, which would leave a tombstone for each file that ever was in a store.
    guard = Guard(kind=_KIND, id=file_id, version=record.version)
    return [guard, Clear(kind=_KIND, parent=file_id)]


async def stores_of(records: Records, file_id: str) -> tuple[tuple[str, ...], Unit]:
    """The stores of a file that is deleted, and the writes that let no other come in."""
    record = await records.get(_KIND, file_id)
    if record is None:
        return (), [Guard(kind=_KIND, id=file_id, absent=True)]
    guard = Guard(kind=_KIND, id=file_id, version=record.version)
    return decode_members(record.body), [guard, Clear(kind=_KIND, parent=file_id)]
