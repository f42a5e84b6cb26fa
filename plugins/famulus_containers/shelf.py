"""Containers and their files as they are kept: found, filled, used and ended.

Every change of what is in a container replaces its record, so that two at once never give two files
one path, and none comes into a container that is gone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from famulus import Call, Problem, missing
from famulus.failpoints import failpoint
from famulus_containers.faults import EXPIRED, TOO_MANY_BYTES, TOO_MANY_FILES
from famulus_containers.kinds import (
    as_of,
    decode_container,
    decode_file,
    encode,
    insert_file,
    replace_container,
)
from famulus_schemas.box_names import name_in_box
from famulus_schemas.containers import Container, ContainerFile
from famulus_schemas.errors import TOO_BUSY
from famulus_schemas.identity import Principal
from famulus_schemas.records import Clear, Conflict, Delete, Record, Unit
from famulus_schemas.sandbox import HOME

if TYPE_CHECKING:
    from famulus_containers.plugin import ContainersPlugin

Source: TypeAlias = Literal["user", "assistant"]

ATTEMPTS_MAX = 16
"""Changes of one container at once of which each is made in the end."""
PAGE_RECORDS_MAX = 100


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """A new file whose content is kept."""

    id: str
    filename: str
    bytes: int
    sha256: str
    path: str = ""
    """Where code wrote it, in the place of what was there; a client's has a path of its own."""


class Shelf:
    """All that is done to the records of containers."""

    def __init__(self, plugin: ContainersPlugin) -> None:
        self._plugin = plugin

    # --- finding ------------------------------------------------------------------------------

    async def found(self, project: str, id: str) -> tuple[Record, Container]:
        """The container as it is now. Raises Problem (404)."""
        record = await self._plugin.records.of(project).get("container", id)
        if record is None:
            raise missing("container", id)
        return record, as_of(decode_container(record.body), self._plugin.now())

    async def running(self, project: str, id: str) -> tuple[Record, Container]:
        """The container, unless it is over. Raises Problem (404)."""
        record, container = await self.found(project, id)
        if container.status != "running":
            raise Problem(EXPIRED, param="container_id", id=id)
        return record, container

    async def file(self, project: str, container_id: str, file_id: str) -> Record:
        """A file of a running container. Raises Problem (404)."""
        await self.running(project, container_id)
        record = await self._plugin.records.of(project).get("container_file", file_id)
        if record is None or record.parent != container_id:
            raise missing("container file", file_id)
        return record

    async def files(self, project: str, container_id: str) -> list[ContainerFile]:
        """All files of a container, the oldest first."""
        records = self._records(project, container_id)
        return [decode_file(record.body) async for record in records]

    async def _records(self, project: str, container_id: str) -> AsyncIterator[Record]:
        records, after = self._plugin.records.of(project), None
        while True:
            page = await records.page(
                "container_file", container_id, order="asc", after=after, limit=PAGE_RECORDS_MAX
            )
            for record in page.records:
                yield record
            if not page.has_more:
                return
            after = page.records[-1].id

    # --- changing -----------------------------------------------------------------------------

    async def commit(self, principal: Principal, action: str, unit: Unit) -> None:
        """Commit writes with what others add to them. Raises Conflict."""
        joined = await self._plugin.joined(principal, action, unit)
        failpoint("container_before_commit")
        await self._plugin.records.of(principal.project).commit(joined)
        failpoint("container_committed")

    async def used(self, project: str, record: Record, container: Container) -> Container:
        """The container, active now; noted only where it was not just before."""
        now = self._plugin.now()
        if now - container.last_active_at <= self._plugin.settings.activity_s:
            return container
        active = replace(container, last_active_at=now)
        try:
            await self.commit(
                self._plugin.caller(project), "containers.use", [replace_container(record, active)]
            )
        except Conflict:
            # Somebody else uses it, or has ended it: whoever asks next will see.
            return container
        return active

    async def add(
        self,
        principal: Principal,
        container_id: str,
        given: Sequence[Given],
        *,
        answered: Call | None = None,
        source: Source = "user",
    ) -> list[ContainerFile]:
        """Have new files in a container. Raises Problem, and the contents are still the caller's.

        What they take the place of is gone.
        """
        for _ in range(ATTEMPTS_MAX):
            record, container = await self.running(principal.project, container_id)
            there = await self.files(principal.project, container_id)
            made = self.placed(container, there, given, source=source)
            if answered is not None:
                # The unit changes the container, too, which is not what is answered.
                answered.answer = encode(made[0])
            paths = {file.path for file in made}
            over = [file.id for file in there if file.path in paths]
            kept = [file for file in there if file.path not in paths]
            self.hold(len(kept) + len(made), sum(file.bytes for file in [*kept, *made]))
            active = replace(container, last_active_at=self._plugin.now())
            unit: Unit = [
                *(Delete(kind="container_file", id=id) for id in over),
                *(insert_file(file, one.sha256) for file, one in zip(made, given, strict=True)),
                replace_container(record, active),
            ]
            try:
                await self.commit(principal, "containers.add_file", unit)
            except Conflict:
                continue
            await self._plugin.contents.drop(principal.project, over)
            return made
        raise self._busy(container_id)

    def hold(self, files: int, size: int) -> None:
        """Raise Problem where a container may not have so many files, or bytes."""
        settings = self._plugin.settings
        if files > settings.files_max:
            raise Problem(TOO_MANY_FILES, limit=settings.files_max)
        if size > settings.container_bytes_max:
            raise Problem(TOO_MANY_BYTES, limit=settings.container_bytes_max)

    def placed(
        self,
        container: Container,
        there: Sequence[ContainerFile],
        given: Sequence[Given],
        *,
        source: Source = "user",
    ) -> list[ContainerFile]:
        """The new files, each at a path of its own."""
        taken = {file.path.removeprefix(f"{HOME}/") for file in there}
        made: list[ContainerFile] = []
        for one in given:
            path = one.path or name_in_box(one.filename, taken=taken)
            taken.add(path)
            made.append(
                ContainerFile(
                    id=one.id,
                    container_id=container.id,
                    created_at=self._plugin.now(),
                    bytes=one.bytes,
                    path=f"{HOME}/{path}",
                    source=source,
                )
            )
        return made

    async def remove_file(
        self, principal: Principal, container_id: str, file_id: str
    ) -> ContainerFile:
        """Delete a file; what it was. Raises Problem (404)."""
        project = principal.project
        for _ in range(ATTEMPTS_MAX):
            record, container = await self.running(project, container_id)
            file = await self.file(project, container_id, file_id)
            active = replace(container, last_active_at=self._plugin.now())
            unit: Unit = [
                Delete(kind="container_file", id=file_id),
                replace_container(record, active),
            ]
            try:
                await self.commit(principal, "containers.delete_file", unit)
            except Conflict:
                continue
            await self._plugin.contents.drop(project, [file_id])
            return decode_file(file.body)
        raise self._busy(container_id)

    async def delete(self, principal: Principal, container_id: str) -> None:
        """Delete a container with its files. Raises Problem (404)."""
        for _ in range(ATTEMPTS_MAX):
            record, _container = await self.found(principal.project, container_id)
            if await self.try_delete(principal, record):
                return
        raise self._busy(container_id)

    async def try_delete(self, principal: Principal, record: Record, guards: Unit = ()) -> bool:
        """Delete a container with its files; False where it is another than it was."""
        files = await self.files(principal.project, record.id)
        unit: Unit = [
            *guards,
            Delete(kind="container", id=record.id, version=record.version),
            Clear(kind="container_file", parent=record.id),
        ]
        try:
            await self.commit(principal, "containers.delete", unit)
        except Conflict:
            return False
        await self._plugin.contents.drop(principal.project, [file.id for file in files])
        return True

    async def expire(self, record: Record) -> bool:
        """End a container whose time is over, and its files; whether it was ended here."""
        container = as_of(decode_container(record.body), self._plugin.now())
        if container.status != "expired":
            return False
        files = await self.files(record.project, record.id)
        unit: Unit = [
            replace_container(record, container),
            Clear(kind="container_file", parent=record.id),
        ]
        caller = self._plugin.caller(record.project)
        try:
            await self.commit(caller, "containers.expire", unit)
        except Conflict:
            return False
        await self._plugin.contents.drop(record.project, [file.id for file in files])
        return True

    def _busy(self, id: str) -> Problem:
        return Problem(TOO_BUSY, reason=f"container {id} is being changed by many. Try again.")
