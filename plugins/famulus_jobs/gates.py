"""What jobs of one kind have to pass before they begin here, and who has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from famulus_schemas.jobs import Gate, Job

if TYPE_CHECKING:
    from famulus.log import Log


class Gates:
    """All gates of a kind: a job is let in by each, or by none."""

    def __init__(self, gates: Sequence[Gate], *, on_left: Callable[[], None], log: Log) -> None:
        self._gates = gates
        self._on_left = on_left
        self._log = log
        self._inside: dict[tuple[str, str, int], list[Gate]] = {}
        """By which gates a job was let in, by project, key and fence."""
        self._leaving: set[asyncio.Task[None]] = set()

    def __bool__(self) -> bool:
        return bool(self._gates)

    def mind(self, job: Job) -> bool:
        """Whether any of them may keep the job waiting."""
        return any(gate.minds(job) for gate in self._gates)

    async def enter(self, job: Job) -> bool:
        """Let a job in at all gates, or at none."""
        passed: list[Gate] = []
        for gate in self._gates:
            if not gate.minds(job):
                continue
            if not await self._is_let_in(gate, job):
                for each in passed:
                    await each.leave(job)
                return False
            passed.append(gate)
        if passed:
            self._inside[_place(job)] = passed
        return True

    async def _is_let_in(self, gate: Gate, job: Job) -> bool:
        try:
            return await gate.enter(job)
        except Exception as error:  # Isolation: others' jobs go on, and this one is tried again.
            self._log.error("gate_failed", kind=job.kind, key=job.key, exc_info=error)
            return False

    def leave(self, job: Job) -> bool:
        """Note that a job is at work no more; whether it was let in, so that others may be now."""
        passed = self._inside.pop(_place(job), None)
        if passed is None:
            return False
        task = asyncio.create_task(self._leave(passed, job))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
        return True

    async def _leave(self, passed: Sequence[Gate], job: Job) -> None:
        for gate in passed:
            try:
                await gate.leave(job)
            except Exception as error:  # Isolation: the other gates are still to be told.
                self._log.error("gate_failed", kind=job.kind, key=job.key, exc_info=error)
        self._on_left()

    async def left(self) -> None:
        """Wait until all gates know who has left."""
        await asyncio.gather(*self._leaving)


def _place(job: Job) -> tuple[str, str, int]:
    return job.project, job.key, job.fence
