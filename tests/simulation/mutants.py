"""The product with one promise broken, to see that the simulation would notice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from famulus.plugin import Host
from famulus_runs.drafts import Batch, Kept
from famulus_runs.journal import Journal
from famulus_runs.log import Teller
from famulus_runs.plugin import Runs
from famulus_runs.runner import Work
from famulus_runs.settings import RunSettings
from famulus_schemas.jobs import Job
from famulus_schemas.records import Guard, Unit


class Mutant:
    """The product as it is; each subclass breaks one thing of how it is wired."""

    name = "none"

    def unit(self, unit: Unit) -> Unit:
        """A unit on its way to the store."""
        return unit

    def threads(self, service: Any) -> Any:
        """THREADS as runs are given it."""
        return service

    def runs(self, settings: RunSettings, host: Host) -> Runs:
        """The plugin of runs."""
        return Runs(settings, host)


class NoFence(Mutant):
    """Nothing keeps out a worker that was given up for dead."""

    name = "no fence"

    def unit(self, unit: Unit) -> Unit:
        return [w for w in unit if not (isinstance(w, Guard) and w.kind == "job")]


class _EarlyJournal(Journal):
    async def write(self, batch: Batch) -> None:
        """Publish, and only then commit."""
        teller = Teller(self._run_id, attempt=1, at=self.at, is_resumed=False)
        emissions = [teller.tell(event) for event in batch if not isinstance(event, Kept)]
        self._events.publish(self._records.project, self._run_id, emissions)
        await super().write(batch)


class _EarlyRuns(Runs):
    def _work(self, *arguments: Any, **named: Any) -> Work:
        engine, journal = super()._work(*arguments, **named)
        journal.__class__ = _EarlyJournal
        return engine, journal


class PublishFirst(Mutant):
    """Listeners are told before the store is."""

    name = "publish before commit"

    def runs(self, settings: RunSettings, host: Host) -> Runs:
        return _EarlyRuns(settings, host)


class _NeverVacating:
    def __init__(self, service: Any) -> None:
        self._service = service

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)

    def vacate(self, thread_id: str) -> Sequence[Any]:
        """Nothing."""
        return []


class NoVacate(Mutant):
    """A run that ends keeps its thread."""

    name = "no vacate"

    def threads(self, service: Any) -> Any:
        return _NeverVacating(service)


class _ForgetfulRuns(Runs):
    async def _load(self, job: Job) -> Work | None:
        work = await super()._load(job)
        if work is not None:
            work[0]._message = None
        return work


class NewMessage(Mutant):
    """A worker that takes over begins another message instead of the one that was open."""

    name = "resume under a new message id"

    def runs(self, settings: RunSettings, host: Host) -> Runs:
        return _ForgetfulRuns(settings, host)


ALL: tuple[type[Mutant], ...] = (NoFence, PublishFirst, NoVacate, NewMessage)
