"""Sessions: one box for each thread, opened when its code is first run, and closed in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from famulus import Problem
from famulus.failpoints import failpoint
from famulus_code_interpreter.inputs import Inputs
from famulus_code_interpreter.remembered import KIND, Remembered, remember, remembered_of
from famulus_schemas.gauges import Values
from famulus_schemas.records import Conflict, Record, Unit
from famulus_schemas.sandbox import Box, BoxFileRefused, Sandbox

if TYPE_CHECKING:
    from famulus_code_interpreter.plugin import CodeInterpreterPlugin

SAVE_ATTEMPTS_MAX = 4
"""Only a process that was taken for lost can write to the same session."""

FRESH = (
    "This is a new session: variables and imports of earlier code are gone, and so are files "
    "that were not kept. Given files and kept files are there again."
)


class Session:
    """What one thread's code runs in."""

    def __init__(self, project: str, thread_id: str) -> None:
        self.project = project
        self.thread_id = thread_id
        self.box: Box | None = None
        self.written: set[str] = set()
        """Paths that the code wrote to in this box."""
        self.opened_at = self.used_at = 0.0
        self.lock = asyncio.Lock()
        self.users = 0
        """Calls that have it, or wait for it."""
        self._given: set[str] = set()
        """Ids of the files that were put into this box."""

    def begins(self, box: Box, *, given: set[str], at: float) -> None:
        """Have a box from now on."""
        self.box, self._given, self.opened_at = box, given, at
        self.written = set()

    async def leave(self) -> None:
        """Close the box, if there is one."""
        box, self.box = self.box, None
        if box is not None:
            await box.close()

    def lacks(self, file_id: str) -> bool:
        """Whether a file was not put into this box."""
        return file_id not in self._given

    def was_given(self, file_id: str) -> None:
        """A file was put, or cannot be."""
        self._given.add(file_id)


class Sessions:
    """The sessions of this process."""

    def __init__(self, plugin: CodeInterpreterPlugin) -> None:
        self._plugin = plugin
        self._clock = plugin.host.clock
        self._sessions: dict[tuple[str, str], Session] = {}

    @asynccontextmanager
    async def of(self, project: str, thread_id: str) -> AsyncIterator[Session]:
        """A thread's session, for one call at a time, in the order in which they ask."""
        session = self._sessions.setdefault((project, thread_id), Session(project, thread_id))
        session.users += 1
        try:
            async with session.lock:
                try:
                    yield session
                finally:
                    session.used_at = self._clock()
        finally:
            session.users -= 1

    def counts(self) -> Values:
        """How many boxes of this process are open, by whether a call has them or waits for them."""
        opened = [each for each in self._sessions.values() if each.box is not None]
        busy = sum(each.users > 0 for each in opened)
        return {("busy",): float(busy), ("idle",): float(len(opened) - busy)}

    def written(self, project: str, thread_id: str) -> set[str]:
        """Paths that a thread's code wrote to, as far as its box is still there."""
        session = self._sessions.get((project, thread_id))
        return set() if session is None else session.written

    # --- what is remembered -------------------------------------------------------------------

    async def remembered(self, project: str, thread_id: str) -> Remembered:
        """What is known of a thread's boxes."""
        return remembered_of(await self._record(project, thread_id))

    async def _record(self, project: str, thread_id: str) -> Record | None:
        return await self._plugin.records.of(project).get(KIND.name, thread_id)

    async def save(
        self, session: Session, change: Callable[[Remembered], Remembered], unit: Unit = ()
    ) -> None:
        """Remember more of a session, together with these writes.

        Raises Conflict where the thread is deleted, or the writes are refused.
        """
        for attempt in range(1, SAVE_ATTEMPTS_MAX + 1):
            record = await self._record(session.project, session.thread_id)
            remembered = change(remembered_of(record))
            now = self._plugin.now()
            writes = [*unit, *remember(session.thread_id, remembered, over=record, now=now)]
            failpoint("code_session_before_commit")
            try:
                await self._plugin.records.of(session.project).commit(writes)
            except Conflict as conflict:
                if conflict.kind != KIND.name or attempt == SAVE_ATTEMPTS_MAX:
                    raise
                continue
            failpoint("code_session_committed")
            return

    # --- boxes --------------------------------------------------------------------------------

    async def enter(self, session: Session, sandbox: Sandbox, inputs: Inputs) -> list[str]:
        """Have a box with all of its files; what the model must know of it.

        Raises SandboxUnavailable, SandboxBusy, BoxGone.
        """
        known = await self.remembered(session.project, session.thread_id)
        if session.box is not None and not self._is_current(session, known):
            await session.leave()
        told: list[str] = []
        if session.box is None:
            told += await self._open(session, sandbox, inputs, known)
        else:
            lacking = any(session.lacks(file.file_id) for file in inputs.files)
            told += await self._give(session, inputs)
            if lacking:
                await self.save(session, lambda known: known.with_inputs(inputs.names()))
        return told

    async def _open(
        self, session: Session, sandbox: Sandbox, inputs: Inputs, known: Remembered
    ) -> list[str]:
        box = await sandbox.open(session.thread_id, project=session.project)
        is_same = box.id == known.box
        given = set(known.inputs) if is_same else set[str]()
        session.begins(box, given=given, at=self._clock())
        told = [FRESH] if known.box and not is_same else []
        try:
            told += await self._give(session, inputs)
            if not is_same:
                told += await self._give_back(session, known)
            await self.save(session, lambda known: known.in_box(box.id, inputs.names()))
        except BaseException:
            # Half of the files would pass for all of them.
            await session.leave()
            raise
        return told

    async def _give(self, session: Session, inputs: Inputs) -> list[str]:
        """Put given files that are not in the box yet."""
        told: list[str] = []
        for file in inputs.files:
            if session.lacks(file.file_id):
                told += await self._put(session, file.name, file.file_id)
                session.was_given(file.file_id)
        return told

    async def _give_back(self, session: Session, known: Remembered) -> list[str]:
        """Put what the code of an earlier box wrote."""
        told: list[str] = []
        for path, made in known.made.items():
            told += await self._put(session, path, made.file_id)
        return told

    async def _put(self, session: Session, path: str, file_id: str) -> list[str]:
        assert session.box is not None
        try:
            chunks = await self._plugin.files.open(session.project, file_id)
            await session.box.put(path, chunks)
        except Problem as problem:
            if problem.status != 404:
                raise
            return [f"{path} was deleted and is not there."]
        except BoxFileRefused as refusal:
            return [f"{path} is not there: {refusal}."]
        return []

    def _is_current(self, session: Session, known: Remembered) -> bool:
        """Whether the box can be gone on with: the thread has not moved on in another process."""
        assert session.box is not None
        is_last = session.box.id == known.box
        return is_last and session.box.is_alive and not self._is_over(session)

    def _is_over(self, session: Session) -> bool:
        now, settings = self._clock(), self._plugin.settings
        is_old = now - session.opened_at > settings.session_s
        return is_old or now - session.used_at > settings.session_idle_s

    # --- the end ------------------------------------------------------------------------------

    async def sweep(self) -> None:
        """Close the boxes whose time is over, or whose threads are gone."""
        for key, session in list(self._sessions.items()):
            if session.users:
                continue
            async with session.lock:
                if await self._is_left(session):
                    await session.leave()
            if session.box is None and not session.users:
                del self._sessions[key]

    async def _is_left(self, session: Session) -> bool:
        if session.box is None or not session.box.is_alive or self._is_over(session):
            return True
        return await self._record(session.project, session.thread_id) is None
