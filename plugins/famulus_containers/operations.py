"""Operations of containers and their files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from msgspec import UNSET

from famulus import Bytes, Call, FileField, FilePart, Form, Problem, Wire, operation
from famulus.downloads import download
from famulus.lists import list_page
from famulus_containers.faults import (
    EITHER,
    NO_FILE,
    NO_NETWORK,
    NO_SKILLS,
    TOO_MANY,
    TOO_MANY_FILES,
)
from famulus_containers.kinds import (
    PREFIX,
    as_of,
    decode_container,
    decode_extra,
    decode_file,
    encode,
    insert_container,
    insert_file,
)
from famulus_containers.shelf import Given
from famulus_schemas.containers import (
    AllowlistNetworkParam,
    Container,
    ContainerDeleted,
    ContainerExpiry,
    ContainerFile,
    ContainerFileDeleted,
    ContainerFileListQuery,
    ContainerListQuery,
    CreateContainer,
    CreateContainerFile,
    SendContainerFile,
)
from famulus_schemas.lists import ListPage
from famulus_schemas.records import Record
from famulus_schemas.wire import ListQuery

if TYPE_CHECKING:
    from famulus_containers.plugin import ContainersPlugin


class ContainerOperations:
    """What clients may do with containers."""

    def __init__(self, plugin: ContainersPlugin) -> None:
        self._plugin = plugin

    @operation("POST", "/v1/containers", action="containers.write")
    async def create_container(self, call: Call, body: CreateContainer) -> Wire[Container]:
        """Create a container, with copies of files."""
        plugin = self._plugin
        _hold_what_is_there(body)
        await self._hold_count(call.project)
        if len(body.file_ids) > plugin.settings.files_max:
            raise Problem(TOO_MANY_FILES, param="file_ids", limit=plugin.settings.files_max)
        named = {f"file_ids[{at}]": id for at, id in enumerate(body.file_ids)}
        await plugin.files.require(call.project, named)
        now = plugin.now()
        minutes = plugin.settings.expires_minutes
        container = Container(
            id=plugin.new_id("cntr_"),
            name=body.name,
            created_at=now,
            last_active_at=now,
            expires_after=ContainerExpiry(
                minutes=minutes if body.expires_after is UNSET else body.expires_after.minutes
            ),
            memory_limit=body.memory_limit,
        )
        given: list[Given] = []
        try:
            for id in body.file_ids:
                given.append(await self._plugin.copied(call.project, id))
                plugin.shelf.hold(len(given), sum(one.bytes for one in given))
            files = plugin.shelf.placed(container, (), given)
            unit = [
                insert_container(container),
                *(insert_file(file, one.sha256) for file, one in zip(files, given, strict=True)),
            ]
            await plugin.shelf.commit(call.principal, "containers.create", unit)
        except BaseException:
            await plugin.contents.drop(call.project, [one.id for one in given])
            raise
        return Wire(encode(container))

    async def _hold_count(self, project: str) -> None:
        """Raise Problem where a project has as many running containers as it may have."""
        limit = self._plugin.settings.containers_max
        where = {"status": "running"}
        page = await self._plugin.records.of(project).page("container", where=where, limit=limit)
        now = self._plugin.now()
        running = [one for one in page.records if _now(one, now).status == "running"]
        if len(running) >= limit:
            raise Problem(TOO_MANY, limit=limit)

    @operation("GET", "/v1/containers", action="containers.read")
    async def list_containers(
        self, call: Call, query: ContainerListQuery
    ) -> Wire[ListPage[Container]]:
        """List the containers, perhaps only those of one name."""
        now = self._plugin.now()
        page: Wire[ListPage[Container]] = await list_page(
            self._plugin.records.of(call.project),
            "container",
            query=ListQuery(limit=query.limit, order=query.order, after=query.after),
            where={} if query.name is None else {"name": query.name},
            body_of=lambda record: encode(_now(record, now)),
        )
        return page

    @operation("GET", "/v1/containers/{container_id}", action="containers.read")
    async def retrieve_container(self, call: Call, container_id: str) -> Wire[Container]:
        """Retrieve a container, which counts as a use of it."""
        shelf = self._plugin.shelf
        record, container = await shelf.found(call.project, container_id)
        if container.status == "running":
            container = await shelf.used(call.project, record, container)
        return Wire(encode(container))

    @operation("DELETE", "/v1/containers/{container_id}", action="containers.write")
    async def delete_container(self, call: Call, container_id: str) -> ContainerDeleted:
        """Delete a container, with its files."""
        await self._plugin.shelf.delete(call.principal, container_id)
        await self._plugin.service.close(call.project, container_id)
        return ContainerDeleted(id=container_id)


class ContainerFileOperations:
    """What clients may do with the files of containers."""

    def __init__(self, plugin: ContainersPlugin) -> None:
        self._plugin = plugin

    @operation("POST", "/v1/containers/{container_id}/files", action="containers.write")
    async def create_container_file(
        self,
        call: Call,
        container_id: str,
        body: CreateContainerFile | None,
        form: Form[SendContainerFile] | None,
    ) -> Wire[ContainerFile]:
        """Add a file to a container: a new one as a form, or a copy of one that is kept."""
        plugin = self._plugin
        await plugin.shelf.running(call.project, container_id)
        given = await self._given(call, body, form)
        try:
            (file,) = await plugin.shelf.add(call.principal, container_id, [given], answered=call)
        except BaseException:
            await plugin.contents.drop(call.project, [given.id])
            raise
        await plugin.service.was_added(call.project, file)
        return Wire(encode(file))

    async def _given(
        self, call: Call, body: CreateContainerFile | None, form: Form[SendContainerFile] | None
    ) -> Given:
        """The new file, its content kept."""
        if form is None:
            assert body is not None
            return await self._copy(call, body.file_id)
        plugin = self._plugin
        id = plugin.new_id(PREFIX)

        async def save(part: FilePart) -> Given:
            blob = await plugin.contents.keep(call.project, id, part)
            return Given(id=id, filename=part.filename, bytes=blob.bytes, sha256=blob.sha256)

        try:
            fields, sent = await form.read(save, file_bytes_max=plugin.settings.file_bytes_max)
            if "file" in sent and fields.file_id is not UNSET:
                raise Problem(EITHER, param="file_id")
        except BaseException:
            await plugin.contents.drop(call.project, [id])
            raise
        if "file" in sent:
            return sent["file"]
        if fields.file_id is UNSET:
            raise Problem(NO_FILE, param="file")
        return await self._copy(call, fields.file_id)

    async def _copy(self, call: Call, file_id: str) -> Given:
        await self._plugin.files.require(call.project, {"file_id": file_id})
        return await self._plugin.copied(call.project, file_id)

    @operation("GET", "/v1/containers/{container_id}/files", action="containers.read")
    async def list_container_files(
        self, call: Call, container_id: str, query: ContainerFileListQuery
    ) -> Wire[ListPage[ContainerFile]]:
        """List the files of a container."""
        await self._plugin.shelf.running(call.project, container_id)
        page: Wire[ListPage[ContainerFile]] = await list_page(
            self._plugin.records.of(call.project),
            "container_file",
            container_id,
            query=ListQuery(limit=query.limit, order=query.order, after=query.after),
        )
        return page

    @operation("GET", "/v1/containers/{container_id}/files/{file_id}", action="containers.read")
    async def retrieve_container_file(
        self, call: Call, container_id: str, file_id: str
    ) -> Wire[ContainerFile]:
        """Retrieve a file of a container, without its content."""
        return Wire((await self._plugin.shelf.file(call.project, container_id, file_id)).body)

    @operation(
        "GET",
        "/v1/containers/{container_id}/files/{file_id}/content",
        action="containers.read",
        documented_answer={"application/octet-stream": FileField},
    )
    async def retrieve_container_file_content(
        self, call: Call, container_id: str, file_id: str
    ) -> Bytes:
        """Download a file's content, or a range of it."""
        plugin = self._plugin
        record = await plugin.shelf.file(call.project, container_id, file_id)
        file = decode_file(record.body)

        async def open(start: int, end: int) -> AsyncIterator[bytes]:
            return await plugin.contents.open(call.project, file_id, start=start, end=end)

        return await download(
            call,
            open,
            size=file.bytes,
            filename=PurePosixPath(file.path).name,
            etag=decode_extra(record.extra).sha256,
        )

    @operation("DELETE", "/v1/containers/{container_id}/files/{file_id}", action="containers.write")
    async def delete_container_file(
        self, call: Call, container_id: str, file_id: str
    ) -> ContainerFileDeleted:
        """Delete a file of a container."""
        file = await self._plugin.shelf.remove_file(call.principal, container_id, file_id)
        await self._plugin.service.was_removed(call.project, file)
        return ContainerFileDeleted(id=file_id)


def _now(record: Record, now: int) -> Container:
    return as_of(decode_container(record.body), now)


def _hold_what_is_there(body: CreateContainer) -> None:
    """Raise Problem for what this server has not."""
    if body.skills:
        raise Problem(NO_SKILLS, param="skills", name="skills")
    if isinstance(body.network_policy, AllowlistNetworkParam):
        raise Problem(NO_NETWORK, param="network_policy.type", name="network_policy.type")
