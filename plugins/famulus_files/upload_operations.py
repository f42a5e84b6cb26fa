"""Operations of uploads: create, add a part, complete and cancel.

An upload's record changes only when it ends, and whatever is added to it is committed with a
guard on the version that was read: so parts may come at once, and none comes after the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET
from msgspec.structs import replace

from famulus import Call, FilePart, Form, Problem, Wire, found, operation
from famulus.failpoints import failpoint
from famulus_files.contents import size_of
from famulus_files.faults import (
    NO_PART,
    PART_TWICE,
    TOO_MANY_BYTES,
    TOO_MANY_PARTS,
    UPLOAD_OVER,
    UPLOADS_PENDING,
    WRONG_MD5,
    WRONG_SIZE,
)
from famulus_files.kinds import (
    FileExtra,
    Piece,
    UploadExtra,
    decode_piece,
    decode_upload,
    decode_upload_extra,
    encode,
    insert_file,
    insert_part,
    insert_upload,
    not_lost,
    own_pieces,
    upload_index,
)
from famulus_files.making import refusal, seconds_of
from famulus_schemas.errors import ARRAY_TOO_LONG, INTEGER_ABOVE
from famulus_schemas.jobs import Ticket
from famulus_schemas.records import Clear, Conflict, Guard, Record, Replace, Unit
from famulus_schemas.uploads import (
    AddUploadPart,
    CompleteUpload,
    CreateUpload,
    Upload,
    UploadPart,
    UploadStatus,
)

if TYPE_CHECKING:
    from famulus_files.plugin import FilesPlugin

TIMES_OVER = 2
"""How often the bytes of an upload may come: parts whose answer was lost are sent again."""


class UploadOperations:
    """What clients may do with uploads."""

    def __init__(self, plugin: FilesPlugin) -> None:
        self._plugin = plugin

    @operation("POST", "/v1/uploads", action="files.write")
    async def create_upload(self, call: Call, body: CreateUpload) -> Wire[Upload]:
        """Begin to upload a file in parts."""
        plugin, limit = self._plugin, self._plugin.settings.upload_bytes_max
        name = plugin.maker.name(body.filename, param="filename")
        if body.bytes > limit:
            raise Problem(INTEGER_ABOVE, param="bytes", name="bytes", limit=limit, got=body.bytes)
        await plugin.maker.hold_quota(call.project, body.bytes)
        await self._hold_place(call)
        now = plugin.now()
        upload = Upload(
            id=plugin.new_id("upload_"),
            bytes=body.bytes,
            created_at=now,
            filename=name,
            purpose=body.purpose,
            status="pending",
            expires_at=now + plugin.settings.upload_s,
        )
        extra = UploadExtra(mime_type=body.mime_type, expires_s=seconds_of(body.expires_after))
        unit = [insert_upload(upload, extra)]
        joined = await plugin.joined(call.principal, "uploads.create", unit)
        await plugin.records.of(call.project).commit(joined)
        return Wire(encode(upload))

    async def _hold_place(self, call: Call) -> None:
        limit = self._plugin.settings.uploads_pending_max
        records = self._plugin.records.of(call.project)
        pending = await records.page("upload", where={"status": "pending"}, limit=limit)
        now = self._plugin.now()
        if sum(decode_upload(one.body).expires_at > now for one in pending.records) >= limit:
            raise Problem(UPLOADS_PENDING, limit=limit)

    # --- parts --------------------------------------------------------------------------------

    @operation("POST", "/v1/uploads/{upload_id}/parts", action="files.write")
    async def add_upload_part(
        self, call: Call, upload_id: str, form: Form[AddUploadPart]
    ) -> Wire[UploadPart]:
        """Add a part to an upload; several may be added at once."""
        plugin = self._plugin
        record, upload = await self._pending(call, upload_id, "add parts to")
        had = await self._hold_parts(call, upload)
        id = plugin.new_id("part_")

        async def save(part: FilePart) -> Piece:
            return await plugin.contents.keep(call.project, id, part)

        try:
            _, files = await form.read(save, file_bytes_max=plugin.settings.part_bytes_max)
            piece = files["data"]
            if had + piece.bytes > TIMES_OVER * upload.bytes:
                raise Problem(TOO_MANY_BYTES, param="data", id=upload_id, bytes=upload.bytes)
            part = UploadPart(id=id, created_at=plugin.now(), upload_id=upload_id)
            unit: Unit = [insert_part(part, piece), _still(record), not_lost(id)]
            joined = await plugin.joined(call.principal, "uploads.add_part", unit)
        except BaseException:
            # Nothing names it yet, and now nothing will.
            await plugin.contents.drop(call.project, id)
            raise
        failpoint("part_add_before_commit")
        try:
            await plugin.records.of(call.project).commit(joined)
        except Conflict as conflict:
            await plugin.contents.drop(call.project, id)
            if conflict.kind == "upload":
                await self._pending(call, upload_id, "add parts to")
            raise refusal(conflict) from conflict
        failpoint("part_added")
        return Wire(encode(part))

    async def _hold_parts(self, call: Call, upload: Upload) -> int:
        """The bytes that came so far. Raises Problem where no further part may come."""
        limit = self._plugin.settings.upload_parts_max
        parts = await self._parts(call.project, upload.id)
        if len(parts) >= limit:
            raise Problem(TOO_MANY_PARTS, id=upload.id, limit=limit)
        return size_of(list(parts.values()))

    async def _parts(self, project: str, upload_id: str) -> dict[str, Piece]:
        """What has come, by the ids of the parts."""
        limit = self._plugin.settings.upload_parts_max
        found: dict[str, Piece] = {}
        after: str | None = None
        while True:
            page = await self._plugin.records.of(project).page(
                "upload_part", upload_id, order="asc", after=after, limit=limit
            )
            found |= {one.id: decode_piece(one.extra) for one in page.records}
            if not page.has_more:
                return found
            after = page.records[-1].id

    # --- ends ---------------------------------------------------------------------------------

    @operation("POST", "/v1/uploads/{upload_id}/complete", action="files.write")
    async def complete_upload(
        self, call: Call, upload_id: str, body: CompleteUpload
    ) -> Wire[Upload]:
        """Make a file of the parts, in the order in which they are listed."""
        plugin = self._plugin
        record, upload = await self._pending(call, upload_id, "complete")
        parts = await self._parts(call.project, upload_id)
        pieces = self._chosen(body, upload, parts)
        await self._compare(call, body, pieces)
        extra = decode_upload_extra(record.extra)
        file = plugin.maker.file(
            plugin.maker.new_id(),
            size=upload.bytes,
            filename=upload.filename,
            purpose=upload.purpose,
            expires_s=extra.expires_s,
        )
        done = replace(upload, status="completed", file=file)
        rest = [id for id in parts if id not in set(body.part_ids)]
        over, ticket = self._over(call.project, record, done, rest)
        unit: Unit = [
            *over,
            insert_file(file, FileExtra(pieces=tuple(pieces), mime_type=extra.mime_type)),
            *own_pieces(file, pieces),
        ]
        failpoint("upload_complete_before_commit")
        await self._end(call, "complete", upload_id, unit, ticket)
        failpoint("upload_completed")
        return Wire(encode(done))

    def _chosen(self, body: CompleteUpload, upload: Upload, parts: dict[str, Piece]) -> list[Piece]:
        """The pieces in their order. Raises Problem where they are not what was announced."""
        limit = self._plugin.settings.upload_parts_max
        if len(body.part_ids) > limit:
            got = len(body.part_ids)
            raise Problem(ARRAY_TOO_LONG, param="part_ids", name="part_ids", limit=limit, got=got)
        seen: set[str] = set()
        for index, id in enumerate(body.part_ids):
            param = f"part_ids[{index}]"
            if id not in parts:
                raise Problem(NO_PART, param=param, id=id, upload=upload.id)
            if id in seen:
                raise Problem(PART_TWICE, param=param, id=id)
            seen.add(id)
        pieces = [parts[id] for id in body.part_ids]
        got = size_of(pieces)
        if got != upload.bytes:
            raise Problem(WRONG_SIZE, param="part_ids", got=got, expected=upload.bytes)
        return pieces

    async def _compare(self, call: Call, body: CompleteUpload, pieces: list[Piece]) -> None:
        if body.md5 is UNSET:
            return
        got = await self._plugin.contents.md5(call.project, pieces)
        if got != body.md5.lower():
            raise Problem(WRONG_MD5, param="md5", got=got, expected=body.md5[:64])

    @operation("POST", "/v1/uploads/{upload_id}/cancel", action="files.write")
    async def cancel_upload(self, call: Call, upload_id: str) -> Wire[Upload]:
        """Cancel an upload; its parts are removed."""
        record, upload = await self._pending(call, upload_id, "cancel")
        parts = await self._parts(call.project, upload_id)
        done = replace(upload, status="cancelled")
        unit, ticket = self._over(call.project, record, done, list(parts))
        await self._end(call, "cancel", upload_id, unit, ticket)
        return Wire(encode(done))

    async def expire(self, record: Record) -> None:
        """End an upload whose time is over; nothing where it has ended by itself."""
        plugin = self._plugin
        principal = plugin.caller(record.project)
        ids = list(await self._parts(record.project, record.id))
        done = replace(decode_upload(record.body), status="expired")
        unit, ticket = self._over(record.project, record, done, ids)
        joined = await plugin.joined(principal, "uploads.expire", unit)
        try:
            await plugin.records.of(record.project).commit(joined)
        except Conflict:
            return
        plugin.jobs.started(ticket)

    def _over(
        self, project: str, record: Record, done: Upload, rest: list[str]
    ) -> tuple[Unit, Ticket]:
        """The writes that end an upload; what is in `rest`, and what has just come, is removed."""
        doom, ticket = self._plugin.removal.doom(project, record.id, rest)
        end = Replace(
            kind="upload",
            id=record.id,
            version=record.version,
            body=encode(done),
            index=upload_index(done),
        )
        return [end, Clear(kind="upload_part", parent=record.id), *doom], ticket

    async def _end(self, call: Call, verb: str, upload_id: str, unit: Unit, ticket: Ticket) -> None:
        plugin = self._plugin
        joined = await plugin.joined(call.principal, f"uploads.{verb}", unit)
        try:
            await plugin.records.of(call.project).commit(joined)
        except Conflict as conflict:
            if conflict.kind == "upload":
                # Somebody else ended it meanwhile, and this says how.
                await self._pending(call, upload_id, verb)
            raise
        plugin.jobs.started(ticket)

    async def _pending(self, call: Call, upload_id: str, action: str) -> tuple[Record, Upload]:
        """An upload that may go on. Raises Problem: 404, or 400 where it has ended."""
        records = self._plugin.records.of(call.project)
        record = await found(records, "upload", upload_id, thing="upload")
        upload = decode_upload(record.body)
        status: UploadStatus = upload.status
        if status == "pending" and upload.expires_at <= self._plugin.now():
            status = "expired"
        if status != "pending":
            raise Problem(UPLOAD_OVER, action=action, status=status)
        return record, upload


def _still(record: Record) -> Guard:
    """Refuses a unit once the upload has ended."""
    return Guard(kind="upload", id=record.id, version=record.version)
