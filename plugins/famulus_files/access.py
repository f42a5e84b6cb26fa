"""Files as they may be seen: one that has expired is not there, though it is still stored."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import UNSET

from famulus import Problem
from famulus.lists import list_of
from famulus_files.kinds import decode_file
from famulus_schemas.errors import NO_SUCH_FILE, UNKNOWN_CURSOR
from famulus_schemas.files import File, FileListQuery
from famulus_schemas.records import Record, RecordStore, UnknownCursor

PAGE_RECORDS_MAX = 1000
"""Read at once: a page of a client's may be ten times as long."""
_MAY_EXPIRE = b'"expires_at":'


class Access:
    """Finds and lists the files of projects."""

    def __init__(self, records: RecordStore, now: Callable[[], int]) -> None:
        self._records = records
        self._now = now

    async def get(self, project: str, file_id: str) -> Record | None:
        """The file's record, unless it has expired."""
        record = await self._records.of(project).get("file", file_id)
        return None if record is None or self.is_over(record) else record

    async def found(self, project: str, file_id: str) -> Record:
        """The file's record. Raises Problem (404)."""
        record = await self.get(project, file_id)
        if record is None:
            raise Problem(NO_SUCH_FILE, param="id", id=file_id)
        return record

    def is_over(self, record: Record) -> bool:
        """Whether a file has expired."""
        # Most never do, and are sent as they are stored.
        if _MAY_EXPIRE not in record.body:
            return False
        at = decode_file(record.body).expires_at
        return at is not UNSET and at <= self._now()

    async def page(self, project: str, query: FileListQuery) -> bytes:
        """The list envelope of a page. Raises Problem for an unknown cursor."""
        found: list[Record] = []
        after, has_more = query.after, True
        while has_more and len(found) < query.limit:
            try:
                page = await self._records.of(project).page(
                    "file",
                    where={"purpose": query.purpose} if query.purpose else {},
                    order=query.order,
                    after=after,
                    limit=min(query.limit - len(found), PAGE_RECORDS_MAX),
                )
            except UnknownCursor as error:
                raise Problem(
                    UNKNOWN_CURSOR, param=error.name, name=error.name, id=error.id
                ) from error
            found += [record for record in page.records if not self.is_over(record)]
            has_more = page.has_more
            after = page.records[-1].id if page.records else after
        ends = (found[0].id, found[-1].id) if found else (None, None)
        return list_of([record.body for record in found], ends, has_more)

    async def room(self, project: str, limit: int | None) -> int | None:
        """Bytes that a project may still add; None where there is no limit."""
        if limit is None:
            return None
        used = 0
        after: str | None = None
        while True:
            page = await self._records.of(project).page("file", after=after, limit=PAGE_RECORDS_MAX)
            used += sum(decode_file(record.body).bytes for record in page.records)
            if not page.has_more:
                return max(limit - used, 0)
            after = page.records[-1].id


def as_file(record: Record) -> File:
    """A file as its record has it."""
    return decode_file(record.body)
