"""One kind of job at one process: what is at work, what is about to be, and who waits."""

from __future__ import annotations

import asyncio

from famulus_jobs.gates import Gates
from famulus_jobs.turns import Turns
from famulus_schemas.jobs import Handler, Ticket

Place = tuple[str, str, int]
"""Project, key and fence of a job: it may come again while what it was before is still ending."""


class Desk:
    """One kind of job that is done here."""

    def __init__(self, handler: Handler, at_once_max: int, gates: Gates) -> None:
        self.handler = handler
        self.at_once_max = at_once_max
        self.gates = gates
        self.kept_out = 0
        """Waiting jobs that had no place behind a gate when they were last looked at."""
        self.is_closing = False
        """Whether it takes no more."""
        self.tasks: dict[Place, asyncio.Task[None]] = {}
        self.kept = 0
        """Places for jobs that are about to be this worker's: what they begin with is written."""
        self.tickets: dict[int, Ticket] = {}
        """Those that were neither started nor given back, by their identity."""
        self.coming = 0
        """How many of them will have to wait."""
        self.turns = Turns()
        self.looks = 0
        """Lanes that were looked at so far."""
        self._waiting = 0
        self._counted = 0.0

    @property
    def waiting(self) -> int:
        """Jobs that wait or are about to, as far as is known."""
        return self._waiting + self.coming

    @property
    def room(self) -> int:
        """How many more could begin at once."""
        if self.is_closing:
            return 0
        return self.at_once_max - len(self.tasks) - self.kept

    @property
    def is_free(self) -> bool:
        """Whether one that comes now may begin at once: there is room, and nobody was earlier.

        Those that wait for a gate do not wait for room.
        """
        return self.room > 0 and self.waiting <= self.kept_out

    def is_count_due(self, after_s: float) -> bool:
        """Whether others may have taken what waits since it was counted, if anything does."""
        return self._waiting > 0 and asyncio.get_running_loop().time() - self._counted >= after_s

    def count(self, waiting: int) -> None:
        """Note how many wait."""
        self._waiting = waiting
        self._counted = asyncio.get_running_loop().time()

    def one_waits(self) -> None:
        """Note that there is one more."""
        self._waiting += 1

    def some_go(self, taken: int) -> None:
        """Note that there are so many less, of more than were counted."""
        self._waiting = max(0, self._waiting - taken)

    def keep(self, ticket: Ticket) -> Ticket:
        """Keep the ticket's place until it is settled."""
        self.tickets[id(ticket)] = ticket
        if ticket.job is not None:
            self.kept += 1
        else:
            self.coming += 1
        return ticket

    def settle(self, ticket: Ticket) -> None:
        """Keep it no longer."""
        if self.tickets.pop(id(ticket), None) is None:
            return
        if ticket.job is not None:
            self.kept -= 1
        else:
            self.coming -= 1
