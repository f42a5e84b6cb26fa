"""Lists of files of a store: kept under ids that name the store too, and told by the file's own."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import UNSET

from famulus import Problem, Wire
from famulus.lists import list_of
from famulus_schemas.errors import UNKNOWN_CURSOR
from famulus_schemas.lists import ListPage
from famulus_schemas.records import Record, Records, UnknownCursor
from famulus_schemas.vector_stores import VectorStoreFile, VectorStoreFileListQuery
from famulus_vector_stores.kinds import file_key


async def list_files(
    records: Records,
    store_id: str,
    query: VectorStoreFileListQuery,
    *,
    where: Mapping[str, str] = {},
) -> Wire[ListPage[VectorStoreFile]]:
    """The page that a client asked for. Raises Problem where its cursor is unknown."""
    chosen = dict(where) if query.filter is UNSET else {**where, "status": query.filter}
    try:
        page = await records.page(
            "vector_store_file",
            store_id,
            where=chosen,
            order=query.order,
            after=None if query.after is None else file_key(store_id, query.after),
            before=None if query.before is None else file_key(store_id, query.before),
            limit=query.limit,
        )
    except UnknownCursor as error:
        id = query.after if error.name == "after" else query.before
        raise Problem(UNKNOWN_CURSOR, param=error.name, name=error.name, id=id) from error
    ids = [file_id_of(record) for record in page.records]
    ends = (ids[0], ids[-1]) if ids else (None, None)
    return Wire(list_of([record.body for record in page.records], ends, page.has_more))


def file_id_of(record: Record) -> str:
    """The id of the file that a record of a store is about."""
    return record.id.removeprefix(f"{record.parent}/")
