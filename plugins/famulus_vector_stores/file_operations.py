"""Operations of the files of a store: add, list, retrieve, change, take out, and their text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from famulus import Call, Problem, Wire, operation
from famulus.failpoints import failpoint
from famulus_schemas.errors import INVALID
from famulus_schemas.jobs import Ticket
from famulus_schemas.lists import ListPage
from famulus_schemas.records import Insert, Record, Replace, Unit
from famulus_schemas.vector_stores import (
    ContentQuery,
    CreateVectorStoreFile,
    FileContentPage,
    FoundText,
    ModifyVectorStoreFile,
    VectorStoreFile,
    VectorStoreFileDeleted,
    VectorStoreFileListQuery,
)
from famulus_vector_stores.attaching import wanted
from famulus_vector_stores.faults import NO_FILE
from famulus_vector_stores.kinds import decode_file, decode_file_extra, encode, file_key
from famulus_vector_stores.ledger import Ledger
from famulus_vector_stores.lists import list_files

if TYPE_CHECKING:
    from famulus_vector_stores.plugin import VectorStoresPlugin

_FILES = "/v1/vector_stores/{vector_store_id}/files"


class StoreFileOperations:
    """What clients may do with the files of a vector store."""

    def __init__(self, plugin: VectorStoresPlugin) -> None:
        self._plugin = plugin

    @operation("POST", _FILES, action="vector_stores.write")
    async def create_vector_store_file(
        self, call: Call, vector_store_id: str, body: CreateVectorStoreFile
    ) -> Wire[VectorStoreFile]:
        """Add a file to a vector store; it is read in the background."""
        plugin = self._plugin
        await plugin.found(call.project, vector_store_id)
        plugin.rate.take(call.project, vector_store_id)
        files = wanted([body])
        plugin.tell_when_to_poll(call)
        started: Sequence[Ticket] = ()
        answer = b""

        async def plan(ledger: Ledger) -> Unit:
            nonlocal started, answer
            await plugin.attaching.require(call.project, files)
            unit, started = await plugin.attaching.add(
                call.project, ledger, files, by=call.principal
            )
            ledger.used()
            answer = _said(unit, file_key(vector_store_id, body.file_id))
            call.answer = answer
            failpoint("store_file_add_before_commit")
            return unit

        await plugin.shelf.change(
            call.project,
            vector_store_id,
            plan,
            join=partial(plugin.joined, call.principal, "vector_stores.add_file"),
        )
        failpoint("store_file_added")
        plugin.start(started)
        return Wire(answer)

    @operation("GET", _FILES, action="vector_stores.read")
    async def list_vector_store_files(
        self, call: Call, vector_store_id: str, query: VectorStoreFileListQuery
    ) -> Wire[ListPage[VectorStoreFile]]:
        """List the files of a vector store, perhaps only those of one status."""
        await self._plugin.found(call.project, vector_store_id)
        return await list_files(self._plugin.records.of(call.project), vector_store_id, query)

    @operation("GET", _FILES + "/{file_id}", action="vector_stores.read")
    async def retrieve_vector_store_file(
        self, call: Call, vector_store_id: str, file_id: str
    ) -> Wire[VectorStoreFile]:
        """Retrieve a file of a vector store."""
        self._plugin.tell_when_to_poll(call)
        return Wire((await self._found(call, vector_store_id, file_id)).body)

    @operation("POST", _FILES + "/{file_id}", action="vector_stores.write")
    async def modify_vector_store_file(
        self, call: Call, vector_store_id: str, file_id: str, body: ModifyVectorStoreFile
    ) -> Wire[VectorStoreFile]:
        """Change a file's attributes: all of them are what is given."""
        plugin = self._plugin
        answer = b""

        async def plan(ledger: Ledger) -> Unit:
            nonlocal answer
            record = await self._found(call, vector_store_id, file_id)
            file = replace(decode_file(record.body), attributes=body.attributes or {})
            answer = encode(file)
            call.answer = answer
            ledger.found_otherwise()
            return [
                Replace(kind="vector_store_file", id=record.id, version=record.version, body=answer)
            ]

        await plugin.shelf.change(
            call.project,
            vector_store_id,
            plan,
            join=partial(plugin.joined, call.principal, "vector_stores.modify_file"),
        )
        await plugin.vectors.changed(call.project, vector_store_id)
        return Wire(answer)

    @operation("DELETE", _FILES + "/{file_id}", action="vector_stores.write")
    async def delete_vector_store_file(
        self, call: Call, vector_store_id: str, file_id: str
    ) -> VectorStoreFileDeleted:
        """Take a file out of a vector store; the file itself stays."""
        plugin = self._plugin
        started: Sequence[Ticket] = ()

        async def plan(ledger: Ledger) -> Unit:
            nonlocal started
            record = await self._found(call, vector_store_id, file_id)
            gone = await plugin.detaching.file(call.project, record, ledger)
            started = gone.tickets
            failpoint("store_file_remove_before_commit")
            return gone.unit

        await plugin.shelf.change(
            call.project,
            vector_store_id,
            plan,
            join=partial(plugin.joined, call.principal, "vector_stores.remove_file"),
        )
        failpoint("store_file_removed")
        plugin.start(started)
        await plugin.vectors.changed(call.project, vector_store_id)
        return VectorStoreFileDeleted(id=file_id)

    @operation("GET", _FILES + "/{file_id}/content", action="vector_stores.read")
    async def retrieve_vector_store_file_content(
        self, call: Call, vector_store_id: str, file_id: str, query: ContentQuery
    ) -> FileContentPage:
        """Retrieve what a file of a vector store says, in parts; nothing until it is completed."""
        plugin = self._plugin
        record = await self._found(call, vector_store_id, file_id)
        first, end = _position(query.page)
        if decode_file(record.body).status != "completed":
            return FileContentPage(data=[])
        document = decode_file_extra(record.extra).document
        texts: list[FoundText] = []
        size = 0
        async for bundle in plugin.chunks.bundles(call.project, document, first=first):
            if size >= plugin.settings.content_page_bytes:
                page = f"{bundle.first}-{end}"
                return FileContentPage(data=texts, has_more=True, next_page=page)
            for chunk in bundle.chunks:
                # What a chunk shares with the one before was told with that.
                fresh = chunk.text[max(0, end - chunk.start) :]
                end = max(end, chunk.end)
                if fresh:
                    texts.append(FoundText(text=fresh))
                    size += len(fresh.encode())
        return FileContentPage(data=texts)

    async def _found(self, call: Call, vector_store_id: str, file_id: str) -> Record:
        """The file's record. Raises Problem (404), also where the store is not there."""
        plugin = self._plugin
        await plugin.found(call.project, vector_store_id)
        records = plugin.records.of(call.project)
        record = await records.get("vector_store_file", file_key(vector_store_id, file_id))
        if record is None:
            raise Problem(NO_FILE, id=file_id, store=vector_store_id)
        return record


def _position(page: str | None) -> tuple[int, int]:
    """The chunk that a page begins with, and the end of the text before it."""
    if page is None:
        return 0, 0
    number, _, end = page.partition("-")
    if not (_is_count(number) and _is_count(end)):
        reason = "it is not the `next_page` of an answer."
        raise Problem(INVALID, param="page", name="page", reason=reason)
    return int(number), int(end)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= len(str(2**53))


def _said(unit: Unit, id: str) -> bytes:
    """The body that a unit leaves a record with."""
    bodies = [
        write.body
        for write in unit
        if isinstance(write, Insert | Replace) and write.id == id and write.body is not None
    ]
    return bodies[-1]
