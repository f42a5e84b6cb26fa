"""Jobs: work that must be done once it was promised, by this process or another.

A job is a record written in the same unit as what it is for. A *worker* is one process at work;
its lease is one heartbeat record. A job names its worker, and its `fence` rises each time that
another worker takes it over: every unit that a worker commits for a job carries the job's guard,
so that a worker that was given up for dead cannot write any more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import msgspec

from famulus_schemas.records import Guard, Unit


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as its handler is given it."""

    project: str
    kind: str
    key: str
    """What it is for, such as the id of a run; unique within project and kind."""
    attempt: int
    """1 at first, and one more each time that a worker was lost at it."""
    fence: int
    version: int
    """Of the job's record, as this worker holds it."""
    priority: int = 0
    principal: str = ""
    """Who had it made, where somebody says."""
    model: str = ""
    """The model that it is going to ask, as its client named it, where it is to ask one."""

    def guard(self) -> Guard:
        """What every unit that is committed for the job must carry."""
        return Guard(kind="job", id=job_id(self.kind, self.key), fence=self.fence)


def job_id(kind: str, key: str) -> str:
    """The id of a job's record."""
    return f"{kind}:{key}"


Handler = Callable[[Job], Awaitable[None]]
"""Does a job. It must end the job's record itself, by `finish` or `park` in its last unit.

One that returns without either, or raises, has failed; the job is tried again later.
"""


class Gate(Protocol):
    """What jobs must pass before they begin, whichever process does them, such as a limit of those
    that are at work at once."""

    def minds(self, job: Job) -> bool:
        """Whether it may ever keep this job waiting; else it is not asked. Asked of every job."""
        ...

    async def enter(self, job: Job) -> bool:
        """Let a job in, or have it wait: it is asked again when another one leaves, and now and
        then. One that is asked twice about the same attempt has let it in once."""
        ...

    async def leave(self, job: Job) -> None:
        """A job that was let in is at work no more in this process, for whatever reason."""
        ...


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """A job that is about to be committed, and the place that is kept for it until then.

    Whoever has it either says `started`, once it is committed, or gives it back.
    """

    kind: str
    unit: Unit
    """The writes that make it, for the unit of what it is for."""
    job: Job | None
    """The job, where this worker has it from the start."""


class Jobs(Protocol):
    """What `need(JOBS)` gives."""

    def handle(
        self, kind: str, handler: Handler, *, at_once_max: int, gates: Sequence[Gate] = ()
    ) -> None:
        """Have jobs of a kind done by this handler, so many at the same time, from now on.

        None begins before it has passed all gates; those that cannot hold up no others.
        """
        ...

    async def let_go(self, kind: str, *, keep: Callable[[str, str], bool]) -> None:
        """Take no more jobs of a kind, and hand back at once what others can do instead.

        `keep` is asked with project and key of each at work here, and says which go on.
        """
        ...

    async def withdraw(self, kind: str, *, grace_s: float) -> None:
        """Take no more jobs of a kind; after `grace_s`, cancel those at work and hand them back."""
        ...

    def enqueue(
        self,
        project: str,
        kind: str,
        key: str,
        *,
        priority: int = 0,
        waits: bool = False,
        principal: str = "",
        model: str = "",
    ) -> Ticket:
        """Make a job; lower priorities go first. Where this worker has room, it is its own, unless
        it has to pass a gate.

        With `waits` it is nobody's at first: for one that joins another's unit, who cannot say
        when that was committed. It is found without `started`, though somewhat later.
        """
        ...

    def shelve(
        self,
        project: str,
        kind: str,
        key: str,
        *,
        priority: int = 0,
        principal: str = "",
        model: str = "",
    ) -> Unit:
        """The writes that make a job which is parked from the start, until it is requeued."""
        ...

    async def requeue(self, project: str, kind: str, key: str) -> Ticket:
        """Wake a parked job, as `enqueue`. Raises LookupError where it is not parked."""
        ...

    def started(self, ticket: Ticket) -> None:
        """The ticket's unit was committed: begin, or tell those who have room."""
        ...

    def give_back(self, ticket: Ticket) -> None:
        """The ticket's unit was not committed: others may have its place. Not after `started`."""
        ...

    def finish(self, job: Job) -> Unit:
        """The writes that end a job for good."""
        ...

    def park(self, job: Job) -> Unit:
        """The writes that lay a job aside until it is requeued."""
        ...

    async def discard(self, project: str, kind: str, key: str) -> Unit | None:
        """The writes that end a job that is parked or waits; None where it is at work or gone."""
        ...

    async def lease_held(self) -> None:
        """Return once no other process can have taken this one's jobs over, as far as clocks go.

        At once, and without giving way, where that is so: what cannot be taken back begins behind
        it. A job whose lease was lost is cancelled here instead.
        """
        ...

    def room_for(self, kind: str) -> int:
        """How many more jobs of a kind this process would take at once."""
        ...

    def overdue(self, kind: str, *, made_until: int) -> AsyncIterator[tuple[str, str]]:
        """Project and key of those that were made by that time and still wait for room."""
        ...

    def waiting(self, kind: str) -> int:
        """Jobs of a kind that wait for room, or are about to, as far as this process knows."""
        ...


@contextmanager
def given_back_unless_done(jobs: Jobs, ticket: Ticket | None) -> Iterator[None]:
    """Around the commit of a ticket's unit: where that fails or is given up, so is the ticket."""
    try:
        yield
    except BaseException:
        if ticket is not None:
            jobs.give_back(ticket)
        raise
