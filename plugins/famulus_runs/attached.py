"""Files that messages have for code, as the model is told of them."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from famulus_schemas.errors import Problem
from famulus_schemas.messages import Message
from famulus_schemas.ports import Files
from famulus_schemas.tools import CodeInterpreterTool

NAMED_MAX = 100
"""Files of one message that are named; of more, the model is told the number."""


class AttachedFiles:
    """Names them for a run that can run code. Each file is looked at once."""

    def __init__(self, files: Files | None, project: str) -> None:
        self._files = files
        self._project = project
        self._names: dict[str, str | None] = {}

    async def notes(self, message: Message) -> list[str]:
        """A line for each file that the message has for code."""
        ids = list(dict.fromkeys(_for_code(message)))
        lines = [await self._note(id) for id in ids[:NAMED_MAX]]
        more = len(ids) - len(lines)
        return [*lines, f"[and {more} more files for code_interpreter]"] if more else lines

    async def _note(self, file_id: str) -> str:
        if file_id not in self._names:
            self._names[file_id] = await self._name(file_id)
        name = self._names[file_id]
        if name is None:
            return f"[file {file_id} for code_interpreter: it was deleted]"
        # As JSON, so that a name that holds brackets or lines is nothing but a name.
        return f"[file {file_id} for code_interpreter: {msgspec.json.encode(name).decode()}]"

    async def _name(self, file_id: str) -> str | None:
        if self._files is None:
            return file_id
        try:
            return (await self._files.describe(self._project, file_id)).filename
        except Problem:
            return None


def _for_code(message: Message) -> list[str]:
    return [
        attachment.file_id
        for attachment in message.attachments or ()
        if attachment.file_id is not UNSET
        and any(isinstance(tool, CodeInterpreterTool) for tool in attachment.tools)
    ]
