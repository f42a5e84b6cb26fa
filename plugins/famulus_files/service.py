"""FILES: files for the plugins that read them, name them, or make some."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping

from famulus import Problem
from famulus_files.access import Access, as_file
from famulus_files.contents import Contents
from famulus_files.kinds import decode_file, decode_file_extra
from famulus_files.making import Maker
from famulus_files.removal import Removal
from famulus_schemas.errors import FILE_NOT_THERE, INVALID
from famulus_schemas.files import File, FilePurpose
from famulus_schemas.identity import Principal
from famulus_schemas.messages import SHOWN_FILE
from famulus_schemas.records import Unit

SHOWN_PURPOSES = ("vision", "assistants", "assistants_output", "user_data")
"""Of the files that a message may show; what code has made is one of them."""


class FileService:
    """What `need(FILES)` gives."""

    def __init__(
        self, *, access: Access, contents: Contents, maker: Maker, removal: Removal
    ) -> None:
        self._access = access
        self._contents = contents
        self._maker = maker
        self._removal = removal

    async def describe(self, project: str, file_id: str) -> File:
        """As Files.describe."""
        return decode_file((await self._access.found(project, file_id)).body)

    async def require(self, project: str, named: Mapping[str, str]) -> None:
        """As Files.require."""
        there: dict[str, File] = {}
        for param, id in named.items():
            if id not in there:
                record = await self._access.get(project, id)
                if record is None:
                    raise Problem(FILE_NOT_THERE, param=param, id=id)
                there[id] = as_file(record)
            if param.endswith(SHOWN_FILE) and there[id].purpose not in SHOWN_PURPOSES:
                raise _not_shown(param, there[id])

    async def open(
        self, project: str, file_id: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """As Files.open."""
        record = await self._access.found(project, file_id)
        pieces = decode_file_extra(record.extra).pieces
        return await self._contents.open(project, pieces, start=start, end=end)

    async def create_output(
        self,
        project: str,
        *,
        filename: str,
        chunks: AsyncIterable[bytes],
        purpose: FilePurpose = "assistants_output",
        mime_type: str = "",
    ) -> tuple[File, Unit]:
        """As Files.create_output."""
        return await self._maker.output(
            project, filename=filename, chunks=chunks, purpose=purpose, mime_type=mime_type
        )

    async def delete(self, principal: Principal, file_id: str) -> None:
        """As Files.delete."""
        record = await self._access.found(principal.project, file_id)
        await self._removal.delete(principal, record)


def _not_shown(param: str, file: File) -> Problem:
    purposes = ", ".join(SHOWN_PURPOSES)
    reason = (
        f"the file {file.id} has the purpose '{file.purpose}', and pictures are files of one of "
        f"the purposes {purposes}. Upload it again with the purpose 'vision'."
    )
    return Problem(INVALID, param=param, name=param, reason=reason)
