"""Projects and service accounts as they are kept.

Projects are records of nobody's project, so that none of them can hold what others are. The
default project is made at the first start.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from famulus.resources import Join, alone
from famulus_schemas.identity import DEFAULT_PROJECT, SYSTEM_PROJECT
from famulus_schemas.keys import StoredAccount, StoredProject
from famulus_schemas.records import (
    Conflict,
    Insert,
    Kind,
    Record,
    Records,
    Replace,
    SystemRecords,
)


def project_of(record: Record) -> StoredProject:
    """The project that a record keeps."""
    return msgspec.json.decode(record.body, type=StoredProject)


def account_of(record: Record) -> StoredAccount:
    """The service account that a record keeps."""
    return msgspec.json.decode(record.body, type=StoredAccount)


def _index(record: Record) -> Mapping[str, str]:
    return _status(project_of(record))


def _status(project: StoredProject) -> Mapping[str, str]:
    return {"status": "active" if project.archived_at is None else "archived"}


PROJECT = Kind(name="project", indexes=("status",), index_of=_index)
"""Body: the StoredProject."""

ACCOUNT = Kind(name="service_account")
"""Body: the StoredAccount."""

DEFAULT_NAME = "Default project"

ALWAYS = frozenset({DEFAULT_PROJECT, SYSTEM_PROJECT})
"""Projects that cannot be archived."""


class ProjectStore:
    """The projects."""

    def __init__(self, records: SystemRecords) -> None:
        self._all = records

    @property
    def records(self) -> Records:
        """Where they are kept."""
        return self._all.of(SYSTEM_PROJECT)

    async def declare(self, *, now: int) -> None:
        """Make the kinds known to the store, and the default project one of those kept."""
        await self._all.declare(PROJECT, ACCOUNT)
        if await self.records.get("project", DEFAULT_PROJECT) is None:
            await self.add(StoredProject(id=DEFAULT_PROJECT, name=DEFAULT_NAME, created_at=now))

    async def add(self, project: StoredProject, *, join: Join = alone) -> bool:
        """Keep a new project; False where its id is taken."""
        write = Insert(
            kind="project",
            id=project.id,
            created_at=project.created_at,
            body=msgspec.json.encode(project),
            index=_status(project),
        )
        try:
            await self.records.commit(await join([write]))
        except Conflict:
            return False
        return True

    async def is_active(self, id: str) -> bool:
        """Whether who comes with one of its keys is let in; what is not kept is no obstacle."""
        if id in ALWAYS:
            return True
        record = await self.records.get("project", id)
        return record is None or project_of(record).archived_at is None


def rewritten(record: Record, project: StoredProject) -> Replace:
    """The write that keeps a project as it is now."""
    return Replace(
        kind="project",
        id=record.id,
        version=record.version,
        body=msgspec.json.encode(project),
        index=_status(project),
    )
