"""The product with one promise broken, to see that the machine would notice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.stateful.machine import Machine

from famulus_runs.journal import Journal
from famulus_runs.plugin import Runs
from famulus_runs.runner import Work
from famulus_schemas.events import AssistantStreamEvent, ThreadMessageDelta
from famulus_schemas.ports import Emission, Occupancy
from famulus_schemas.records import Unit
from famulus_threads.plugin import ThreadsPlugin
from famulus_threads.service import ThreadService


class Mutant(Machine):
    """Waits less for what will never come."""

    still_s = 3.0


class _NeverLeaving(ThreadService):
    def leave(self, occupancy: Occupancy, run_id: str) -> tuple[Unit, str | None]:
        return [], None


class _LockingThreads(ThreadsPlugin):
    name = "threads"

    def provide(self, port: Any, service: Any) -> None:
        service.__class__ = _NeverLeaving
        super().provide(port, service)


class KeepsThreadsLocked(Mutant):
    """A run that is over still has its thread."""

    instead = {"threads": _LockingThreads}


class ForgetsKeys(Mutant):
    """A request that is sent again under its key is served again."""

    without = ("idempotency",)


class _RunsWithJournal(Runs):
    name = "runs"
    journal: type[Journal] = Journal

    def _work(self, *arguments: Any, **named: Any) -> Work:
        engine, journal = super()._work(*arguments, **named)
        journal.__class__ = self.journal
        return engine, journal


class _LossyJournal(Journal):
    def _publish(
        self, events: Sequence[AssistantStreamEvent], emissions: Sequence[Emission]
    ) -> None:
        told = [
            emission
            for event, emission in zip(events, emissions, strict=True)
            if not (isinstance(event, ThreadMessageDelta) and "two" in str(event.data))
        ]
        super()._publish(events, told)

    def _note(self, event: AssistantStreamEvent) -> None:
        """Nor for those who look it up."""
        if "two" not in str(event.data):
            super()._note(event)


class _LossyRuns(_RunsWithJournal):
    journal = _LossyJournal


class LosesADelta(Mutant):
    """A stream leaves something out, and says that nothing is missing."""

    instead = {"runs": _LossyRuns}


class _ForgetfulRuns(Runs):
    name = "runs"

    async def _load(self, job: Any) -> Work | None:
        work = await super()._load(job)
        if work is not None:
            work[0]._message = None
        return work


class BeginsAnotherMessage(Mutant):
    """A run that is taken up again leaves its open message as it is, and writes another."""

    instead = {"runs": _ForgetfulRuns}


ALL: tuple[type[Mutant], ...] = (
    KeepsThreadsLocked,
    ForgetsKeys,
    LosesADelta,
    BeginsAnotherMessage,
)
