"""What the tools of a run may use: read when one of them asks, and then kept for the run."""

from __future__ import annotations

import asyncio

from famulus_schemas.errors import Problem
from famulus_schemas.messages import Attachment
from famulus_schemas.ports import Assistants, Threads
from famulus_schemas.runs import Run
from famulus_schemas.tooling import RunResources
from famulus_schemas.tools import ToolResources


class ResourceReader:
    """Reads for one run."""

    def __init__(
        self,
        project: str,
        run: Run,
        *,
        assistants: Assistants,
        threads: Threads,
        messages_max: int,
    ) -> None:
        self._project = project
        self._run = run
        self._assistants = assistants
        self._threads = threads
        self._messages_max = messages_max
        self._lock = asyncio.Lock()
        self._read: RunResources | None = None

    async def __call__(self) -> RunResources:
        """What there is. Raises Problem where the thread is gone."""
        async with self._lock:
            if self._read is None:
                thread = await self._threads.get(self._project, self._run.thread_id)
                self._read = RunResources(
                    assistant=await self._of_assistant(),
                    thread=thread.tool_resources or ToolResources(),
                    attachments=await self._attachments(),
                )
            return self._read

    async def _of_assistant(self) -> ToolResources:
        try:
            assistant = await self._assistants.get(self._project, self._run.assistant_id)
        except Problem:
            # Deleted while it is at work.
            return ToolResources()
        return assistant.tool_resources or ToolResources()

    async def _attachments(self) -> tuple[Attachment, ...]:
        """Of the newest messages, as many as a prompt may hold."""
        found: list[Attachment] = []
        left = self._messages_max
        # What was posted behind the run is not meant for it.
        history = self._threads.history(self._project, self._run.thread_id, run_id=self._run.id)
        async for message in history:
            found += reversed([one for one in message.attachments or () if one.file_id])
            left -= 1
            if left <= 0:
                break
        return tuple(reversed(found))
