"""The product with one promise broken, to see that the simulation would notice."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from famulus.plugin import Host
from famulus_jobs.settings import JobSettings
from famulus_runs.drafts import Batch, Kept
from famulus_runs.engine import EndStatus, Engine
from famulus_runs.journal import Journal
from famulus_runs.log import Teller
from famulus_runs.plugin import Runs
from famulus_runs.runner import Work
from famulus_runs.settings import RunSettings
from famulus_schemas.jobs import Job
from famulus_schemas.ports import Occupancy
from famulus_schemas.records import Guard, Insert, Replace, Unit
from famulus_schemas.runs import RunError, RunUsage


class Mutant:
    """The product as it is; each subclass breaks one thing of how it is wired."""

    name = "none"

    def unit(self, unit: Unit) -> Unit:
        """A unit on its way to the store."""
        return unit

    def threads(self, service: Any) -> Any:
        """THREADS as runs are given it."""
        return service

    def jobs(self, service: Any) -> Any:
        """JOBS as runs are given it."""
        return service

    def job_settings(self, settings: JobSettings) -> JobSettings:
        """The times of jobs."""
        return settings

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


class _Service:
    """THREADS, of which a subclass does one thing otherwise."""

    def __init__(self, service: Any) -> None:
        self._service = service

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)


class _NeverLeaving(_Service):
    def leave(self, occupancy: Occupancy, run_id: str) -> tuple[Unit, str | None]:
        """Nothing."""
        return [], None


class NoVacate(Mutant):
    """A run that ends keeps its thread."""

    name = "no vacate"

    def threads(self, service: Any) -> Any:
        return _NeverLeaving(service)


class _NobodyWoken(_Service):
    def leave(self, occupancy: Occupancy, run_id: str) -> tuple[Unit, str | None]:
        """The thread is handed on, and nobody told."""
        return self._service.leave(occupancy, run_id)[0], None


class NoRelease(Mutant):
    """The run whose turn has come is not woken."""

    name = "no release"

    def threads(self, service: Any) -> Any:
        return _NobodyWoken(service)


class _NobodyInherits(_Service):
    def leave(self, occupancy: Occupancy, run_id: str) -> tuple[Unit, str | None]:
        """The thread is free, whoever waits for it."""
        unit, _ = self._service.leave(replace(occupancy, waiting=()), run_id)
        return unit, None


class NoHeir(Mutant):
    """A run that ends takes the queue along."""

    name = "no heir"

    def threads(self, service: Any) -> Any:
        return _NobodyInherits(service)


class _LastFirst(_Service):
    def line_up(self, occupancy: Occupancy, run_id: str) -> Unit:
        """Before all others."""
        guard, write = self._service.line_up(occupancy, run_id)
        body = msgspec.json.decode(write.body)
        *others, last = body["waiting"]
        body["waiting"] = [last, *others]
        return [guard, replace(write, body=msgspec.json.encode(body))]


class JumpsQueue(Mutant):
    """The run that came last is the next."""

    name = "jumps the queue"

    def threads(self, service: Any) -> Any:
        return _LastFirst(service)


class NoPlace(Mutant):
    """It is forgotten behind which runs a message was posted."""

    name = "no place for messages"

    def unit(self, unit: Unit) -> Unit:
        return [
            replace(write, extra=b"")
            if isinstance(write, Insert) and write.kind == "message"
            else write
            for write in unit
        ]


class _AsWritten(_Service):
    def history(self, project: str, thread_id: str, *, run_id: str = "") -> Any:
        """As the messages were written, and all of them."""
        return self._mixed(project, thread_id, run_id)

    async def _mixed(self, project: str, thread_id: str, run_id: str) -> Any:
        async for one in self._service._written(project, thread_id):
            if one.message.run_id != run_id:
                yield one.message


class MixedUp(Mutant):
    """A run is shown what was posted behind it, and messages between those of one run."""

    name = "messages in the midst of a run"

    def threads(self, service: Any) -> Any:
        return _AsWritten(service)


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


class _ExpiringEngine(Engine):
    def end(self, status: EndStatus, *, error: RunError | None = None) -> Batch:
        """What is open when a run is cancelled ends as if it had expired."""
        if status != "cancelled":
            return super().end(status, error=error)
        items: list[Any] = []
        for draft in (self._message, self._tools):
            items += draft.broken_off("expired", self._now(), error) if draft is not None else []
        self._message = self._tools = None
        cancelling, cancelled = super().end(status, error=error)
        return [cancelling, *items, cancelled]


class _ExpiringRuns(Runs):
    def _work(self, *arguments: Any, **named: Any) -> Work:
        engine, journal = super()._work(*arguments, **named)
        engine.__class__ = _ExpiringEngine
        return engine, journal


class WrongEnd(Mutant):
    """Steps and messages of a cancelled run are told to have expired."""

    name = "cancelled as expired"

    def runs(self, settings: RunSettings, host: Host) -> Runs:
        return _ExpiringRuns(settings, host)


def _without(write: Any, kind: str, *names: str) -> Any:
    """The write with some properties of what it stores forgotten."""
    if not isinstance(write, Insert | Replace) or write.kind != kind or not write.body:
        return write
    body = {**msgspec.json.decode(write.body), **dict.fromkeys(names)}
    return replace(write, body=msgspec.json.encode(body))


class NoCompletion(Mutant):
    """A run forgets when it was completed, and what it used."""

    name = "run without completed_at and usage"

    def unit(self, unit: Unit) -> Unit:
        return [_without(write, "run", "completed_at", "usage") for write in unit]


class NoStepTimes(Mutant):
    """A step forgets when it ended."""

    name = "steps without times"

    def unit(self, unit: Unit) -> Unit:
        names = ("completed_at", "cancelled_at", "failed_at", "expired_at")
        return [_without(write, "step", *names) for write in unit]


class _SpendthriftRuns(Runs):
    async def _load(self, job: Job) -> Work | None:
        work = await super()._load(job)
        if work is not None:
            work[0]._spent = RunUsage()
        return work


class NoUsage(Mutant):
    """A worker that takes over forgets what was used before."""

    name = "usage forgotten at take-over"

    def runs(self, settings: RunSettings, host: Host) -> Runs:
        return _SpendthriftRuns(settings, host)


class NoRunGuard(Mutant):
    """A run's worker writes on though the run was deleted with its thread."""

    name = "no guard of the run"

    def unit(self, unit: Unit) -> Unit:
        return [w for w in unit if not (isinstance(w, Guard) and w.kind == "run")]


class LateLease(Mutant):
    """A dead worker is waited for too long."""

    name = "late take-over"

    def job_settings(self, settings: JobSettings) -> JobSettings:
        return replace(settings, lease_s=5 * settings.lease_s)


class _Overbooked(_Service):
    def enqueue(self, *arguments: Any, **named: Any) -> Any:
        """The place that is promised is not kept."""
        ticket = self._service.enqueue(*arguments, **named)
        self._service.give_back(ticket)
        return ticket


class NoPlaceKept(Mutant):
    """Of many who come at once, each has the same place."""

    name = "places not kept"

    def jobs(self, service: Any) -> Any:
        return _Overbooked(service)


class _NeverExpiring(Runs):
    async def _expire_due(self) -> None:
        """Nobody looks."""


class NoExpiry(Mutant):
    """A run that waits is left to wait for ever."""

    name = "no expiry of what waits"

    def runs(self, settings: RunSettings, host: Host) -> Runs:
        return _NeverExpiring(settings, host)


class WrongModel(Mutant):
    """A run that goes on is no longer what its client had asked for."""

    name = "a run's own fields change"

    def unit(self, unit: Unit) -> Unit:
        return [
            _without(write, "run", "temperature") if isinstance(write, Replace) else write
            for write in unit
        ]


ALL: tuple[type[Mutant], ...] = (
    NoFence,
    PublishFirst,
    NoVacate,
    NoRelease,
    NoHeir,
    JumpsQueue,
    NoPlace,
    MixedUp,
    NewMessage,
    WrongEnd,
    NoCompletion,
    NoStepTimes,
    NoUsage,
    NoRunGuard,
    LateLease,
    NoPlaceKept,
    NoExpiry,
    WrongModel,
)
