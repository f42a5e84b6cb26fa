"""New files: a content that is kept first, and then the record that names it."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable

from msgspec import UNSET, UnsetType

from famulus import Problem
from famulus.clock import MakeId
from famulus_files.access import Access
from famulus_files.contents import Contents
from famulus_files.faults import PROJECT_FULL
from famulus_files.kinds import FileExtra, Piece, insert_file, not_lost
from famulus_files.names import checked_name
from famulus_files.settings import FilesSettings
from famulus_schemas.errors import FILE_TOO_LARGE, TOO_BUSY
from famulus_schemas.files import File, FileExpiry, FilePurpose
from famulus_schemas.records import Conflict, Unit


class Maker:
    """Makes files within the limits of the settings."""

    def __init__(
        self,
        settings: FilesSettings,
        *,
        access: Access,
        contents: Contents,
        make_id: MakeId,
        now: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._access = access
        self._contents = contents
        self._make_id = make_id
        self._now = now

    def new_id(self) -> str:
        """The id of a file, which is the key of its blob."""
        return self._make_id("file-")

    def name(self, name: str, *, param: str) -> str:
        """A file's name. Raises Problem for one that is none."""
        return checked_name(
            name, param=param, characters_max=self._settings.filename_characters_max
        )

    async def hold_quota(self, project: str, size: int) -> None:
        """Raise Problem where a project may not have so many bytes more."""
        limit = self._settings.project_bytes_max
        room = await self._access.room(project, limit)
        if room is not None and size > room:
            raise Problem(PROJECT_FULL, limit=limit)

    def file(
        self,
        id: str,
        *,
        size: int,
        filename: str,
        purpose: FilePurpose,
        expires_s: int | None = None,
    ) -> File:
        """A file whose content is there. Without `expires_s`, it expires as its purpose has it."""
        now = self._now()
        if expires_s is None and purpose == "batch":
            expires_s = self._settings.batch_expires_s
        return File(
            id=id,
            bytes=size,
            created_at=now,
            expires_at=UNSET if expires_s is None else now + expires_s,
            filename=filename,
            purpose=purpose,
        )

    def unit(self, file: File, piece: Piece, mime_type: str) -> Unit:
        """The writes that make a file of one piece."""
        extra = FileExtra(pieces=(piece,), mime_type=mime_type)
        return [insert_file(file, extra), not_lost(piece.key)]

    async def output(
        self,
        project: str,
        *,
        filename: str,
        chunks: AsyncIterable[bytes],
        purpose: FilePurpose,
        mime_type: str,
    ) -> tuple[File, Unit]:
        """A file that the server makes, and the writes that make it."""
        name, id = self.name(filename, param="filename"), self.new_id()
        limit = self._settings.file_bytes_max
        piece = await self._contents.keep(project, id, _limited(chunks, limit))
        try:
            await self.hold_quota(project, piece.bytes)
        except BaseException:
            await self._contents.drop(project, id)
            raise
        file = self.file(id, size=piece.bytes, filename=name, purpose=purpose)
        return file, self.unit(file, piece, mime_type)


def seconds_of(expiry: FileExpiry | UnsetType) -> int | None:
    """Seconds after which a file expires, where its client says so."""
    return None if expiry is UNSET else expiry.seconds


async def _limited(chunks: AsyncIterable[bytes], limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise Problem(FILE_TOO_LARGE, param="content", name="content", limit=limit)
        yield chunk


def refusal(conflict: Conflict) -> Exception:
    """What a client is told where the writes that name a content are refused."""
    if conflict.kind != "lost_blob":
        return conflict
    return Problem(TOO_BUSY, reason="the content was given up before it was whole. Send it again.")
