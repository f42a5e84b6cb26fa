"""Operations of files: create, list, retrieve, delete, and their content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus import Bytes, Call, FileField, FilePart, Form, Problem, Wire, operation
from famulus.downloads import download
from famulus.failpoints import failpoint
from famulus_files.contents import tag_of
from famulus_files.faults import NO_DOWNLOAD
from famulus_files.kinds import Piece, decode_file, decode_file_extra, encode
from famulus_files.making import refusal, seconds_of
from famulus_schemas.files import CreateFile, File, FileListQuery
from famulus_schemas.lists import FileDeleted, ListPage
from famulus_schemas.records import Conflict, Unit

if TYPE_CHECKING:
    from famulus_files.plugin import FilesPlugin


class FileOperations:
    """What clients may do with files."""

    def __init__(self, plugin: FilesPlugin) -> None:
        self._plugin = plugin

    @operation("POST", "/v1/files", action="files.write")
    async def create_file(self, call: Call, form: Form[CreateFile]) -> Wire[File]:
        """Upload a file."""
        plugin = self._plugin
        id = plugin.maker.new_id()
        mime_types: list[str] = []

        async def save(part: FilePart) -> Piece:
            plugin.maker.name(part.filename, param="file")
            mime_types.append(part.content_type)
            return await plugin.contents.keep(call.project, id, part)

        try:
            fields, files = await form.read(save, file_bytes_max=plugin.settings.file_bytes_max)
            piece = files["file"]
            await plugin.maker.hold_quota(call.project, piece.bytes)
            file = plugin.maker.file(
                id,
                size=piece.bytes,
                filename=fields.file,
                purpose=fields.purpose,
                expires_s=seconds_of(fields.expires_after),
            )
            unit = plugin.maker.unit(file, piece, mime_types[0])
            joined = await plugin.joined(call.principal, "files.create", unit)
        except BaseException:
            # Nothing names it yet, and now nothing will.
            await plugin.contents.drop(call.project, id)
            raise
        failpoint("file_create_before_commit")
        await self._commit(call, id, joined)
        failpoint("file_created")
        return Wire(encode(file))

    async def _commit(self, call: Call, key: str, unit: Unit) -> None:
        try:
            await self._plugin.records.of(call.project).commit(unit)
        except Conflict as conflict:
            # It was not written, which of other failures is not always certain.
            await self._plugin.contents.drop(call.project, key)
            raise refusal(conflict) from conflict

    @operation("GET", "/v1/files", action="files.read")
    async def list_files(self, call: Call, query: FileListQuery) -> Wire[ListPage[File]]:
        """List the files, perhaps only those of one purpose."""
        return Wire(await self._plugin.access.page(call.project, query))

    @operation("GET", "/v1/files/{file_id}", action="files.read")
    async def retrieve_file(self, call: Call, file_id: str) -> Wire[File]:
        """Retrieve a file, without its content."""
        return Wire((await self._plugin.access.found(call.project, file_id)).body)

    @operation("DELETE", "/v1/files/{file_id}", action="files.write")
    async def delete_file(self, call: Call, file_id: str) -> FileDeleted:
        """Delete a file, and take it out of whatever it was in."""
        record = await self._plugin.access.found(call.project, file_id)
        await self._plugin.removal.delete(call.principal, record)
        return FileDeleted(id=file_id)

    @operation(
        "GET",
        "/v1/files/{file_id}/content",
        action="files.read",
        documented_answer={"application/octet-stream": FileField},
    )
    async def download_file(self, call: Call, file_id: str) -> Bytes:
        """Download a file's content, or a range of it."""
        record = await self._plugin.access.found(call.project, file_id)
        file, pieces = decode_file(record.body), decode_file_extra(record.extra).pieces
        if file.purpose in self._plugin.settings.not_downloaded:
            raise Problem(NO_DOWNLOAD, purpose=file.purpose)
        return await download(
            call,
            lambda start, end: self._plugin.contents.open(
                call.project, pieces, start=start, end=end
            ),
            size=file.bytes,
            filename=file.filename,
            etag=tag_of(pieces),
        )
