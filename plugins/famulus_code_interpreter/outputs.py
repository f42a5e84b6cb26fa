"""What code made, kept as files of the project: images that it showed, and files that it wrote."""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote

from famulus import Problem
from famulus_code_interpreter.remembered import MadeFile, Remembered
from famulus_code_interpreter.sessions import Session, Sessions
from famulus_code_interpreter.transcript import Transcript, link
from famulus_schemas.files import File
from famulus_schemas.identity import Principal
from famulus_schemas.records import Unit
from famulus_schemas.sandbox import BoxFile, BoxFileMissing, BoxFileRefused, ImageOutput
from famulus_schemas.tooling import Mark

if TYPE_CHECKING:
    from famulus_code_interpreter.plugin import CodeInterpreterPlugin

KEPT = "Files that were written; to give one to the user, link it just so:"


class OutputKeeper:
    """Keeps what one call made."""

    def __init__(
        self,
        plugin: CodeInterpreterPlugin,
        sessions: Sessions,
        session: Session,
        transcript: Transcript,
        *,
        number: int,
    ) -> None:
        self._plugin = plugin
        self._settings = plugin.settings
        self._sessions = sessions
        self._session = session
        self._transcript = transcript
        self._number = number
        self._images = 0

    async def keep_image(self, image: ImageOutput) -> None:
        """Make a shown image a file, and show it."""
        self._images += 1
        suffix = image.media_type.removeprefix("image/")
        name = f"image_{self._number}_{self._images}.{suffix}"
        try:
            file, unit = await self._plugin.files.create_output(
                self._session.project,
                filename=name,
                chunks=_whole(image.data),
                mime_type=image.media_type,
            )
        except Problem as problem:
            self._transcript.note(f"[An image could not be kept: {problem.body.message}]")
            return
        await self._save([], unit)
        self._transcript.add_image(file)

    async def keep_files(self) -> None:
        """Make the files that the code wrote files of the project. Raises BoxGone."""
        transcript, session = self._transcript, self._session
        session.written.update(file.path for file in transcript.changed)
        session.written.difference_update(transcript.deleted)
        changed = [file for file in transcript.changed if not _is_hidden(file.path)]
        limit = self._settings.output_files_max
        made: list[tuple[str, MadeFile]] = []
        unit: Unit = []
        for one in changed[:limit]:
            kept = await self._keep(one)
            if kept is not None:
                made.append((one.path, MadeFile(file_id=kept[0].id, bytes=kept[0].bytes)))
                unit = [*unit, *kept[1]]
        if made or transcript.deleted:
            await self._save(made, unit)
        if made:
            listed = (f"{link(path)} ({file.bytes} bytes)" for path, file in made)
            transcript.note("\n".join([KEPT, *listed]))
        if len(changed) > limit:
            transcript.note(
                f"[{len(changed) - limit} more files were written than are kept of one call; "
                "write them again, fewer at once or in an archive, if the user needs them.]"
            )

    async def _keep(self, file: BoxFile) -> tuple[File, Unit] | None:
        """The new file and its writes; None where it cannot be kept."""
        assert self._session.box is not None
        limit = self._settings.output_file_bytes_max
        if file.bytes > limit:
            self._transcript.note(
                f"[{file.path} has {file.bytes} bytes and is not kept: the limit is {limit}.]"
            )
            return None
        try:
            return await self._plugin.files.create_output(
                self._session.project,
                filename=PurePosixPath(file.path).name,
                chunks=self._session.box.get(file.path, bytes_max=limit),
                mime_type=mimetypes.guess_type(file.path)[0] or "",
            )
        except (BoxFileMissing, BoxFileRefused) as refusal:
            reason = str(refusal)
        except Problem as problem:
            reason = problem.body.message
        self._transcript.note(f"[{file.path} could not be kept: {reason}]")
        return None

    async def _save(self, made: Sequence[tuple[str, MadeFile]], unit: Unit) -> None:
        """Commit new files, together with how the thread's code knows them."""
        known_max = self._settings.outputs_known_max

        def change(known: Remembered) -> Remembered:
            known = known.without_made(self._transcript.deleted)
            for path, file in made:
                known = known.with_made(path, file, known_max=known_max)
            return known

        if unit:
            caller = Principal(id=self._plugin.name, project=self._session.project)
            unit = await self._plugin.joined(caller, "files.create", unit)
        await self._sessions.save(self._session, change, unit)


def marks_of(known: Remembered) -> tuple[Mark, ...]:
    """By which an answer can link the files in a thread's box, as models write them."""
    files = {name: file_id for file_id, name in known.inputs.items()}
    files |= {path: made.file_id for path, made in known.made.items()}
    marks: list[Mark] = []
    for path, file_id in files.items():
        # Some models write a link as a link must be written, and others as they were told it.
        texts = dict.fromkeys((link(path), link(quote(path))))
        marks += [Mark(text=text, file_id=file_id, type="file_path") for text in texts]
    return tuple(marks)


def _is_hidden(path: str) -> bool:
    """Caches and settings of libraries, which nobody asked for."""
    steps = path.split("/")
    return any(step.startswith(".") or step == "__pycache__" for step in steps)


async def _whole(data: bytes) -> AsyncIterator[bytes]:
    yield data
