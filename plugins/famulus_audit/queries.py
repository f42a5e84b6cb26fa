"""Finding events: by what they are indexed by, in a time, and from a place on.

A store finds by equality, so a question is as many walks as it has combinations of values, each
from the newest event to the oldest (or back), and laid together by their place. A time becomes a
range of places by bisection: events lie in the order in which they were written.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

import msgspec

from famulus import Problem
from famulus_audit.events import KIND, project_of_id
from famulus_audit.settings import AuditSettings
from famulus_schemas.audit_logs import AuditLogQuery, EffectiveAt
from famulus_schemas.errors import INVALID, UNKNOWN_CURSOR
from famulus_schemas.records import SEQ_MAX, Order, Page, Record, SystemRecords

SKEW_S = 30
"""How far the times of events may be out of the order of their places: clocks of several servers
differ, and a commit takes its time. More is found only where a time is not asked for."""

Where = Mapping[str, str]


class Span(msgspec.Struct, frozen=True):
    """A range of places, without its ends, and of times, with them."""

    above: int = 0
    below: int = SEQ_MAX
    since: int = 0
    until: int = SEQ_MAX

    def has(self, record: Record) -> bool:
        """Whether a record is of the time."""
        return self.since <= record.created_at <= self.until


class TooMuch(Exception):
    """More events would have to be looked at than one request may."""


class Budget:
    """Events that may yet be looked at."""

    def __init__(self, left: int) -> None:
        self._left = left

    def spend(self, events: int) -> None:
        """Raise TooMuch where that is more than is left."""
        self._left -= events
        if self._left < 0:
            raise TooMuch


class Search:
    """Looks for events of all projects."""

    def __init__(self, records: SystemRecords, settings: AuditSettings) -> None:
        self._records = records
        self._settings = settings

    async def page(self, query: AuditLogQuery) -> Page:
        """The events that a query asks for, newest first. Raises Problem for what it cannot ask."""
        if query.tenant_only:
            return Page(records=(), has_more=False)
        wheres = self._wheres(query)
        since, until = limits_of(query.effective_at)
        span = await self.span(since, until)
        if query.after is not None:
            place = await self._place("after", query.after)
            span = msgspec.structs.replace(span, below=min(span.below, place))
        if query.before is not None:
            place = await self._place("before", query.before)
            span = msgspec.structs.replace(span, above=max(span.above, place))
        backward = query.before is not None and query.after is None
        order: Order = "asc" if backward else "desc"
        found: list[Record] = []
        try:
            async for record in self._walk(wheres, span, order=order, batch=query.limit + 1):
                found.append(record)
                if len(found) > query.limit:
                    break
        except TooMuch as error:
            if not found:
                raise self._too_much() from error
            return Page(records=found[::-1] if backward else found, has_more=True)
        kept = found[: query.limit]
        return Page(records=kept[::-1] if backward else kept, has_more=len(found) > query.limit)

    async def span(self, since: int, until: int) -> Span:
        """The places between which all events of a time are."""
        if since > until:
            return Span(above=SEQ_MAX - 1, since=since, until=until)
        above = 0 if since <= SKEW_S else await self._first_at(since - SKEW_S) - 1
        below = SEQ_MAX if until >= SEQ_MAX - SKEW_S else await self._first_at(until + SKEW_S + 1)
        return Span(above=above, below=below, since=since, until=until)

    async def all(self, where: Where, span: Span, *, batch: int) -> AsyncIterator[Record]:
        """Every event of a span, the oldest first, a batch in memory."""
        async for record in self._stream(where, span, order="asc", batch=batch):
            yield record

    # --- walking ------------------------------------------------------------------------------

    async def _walk(
        self, wheres: Sequence[Where], span: Span, *, order: Order, batch: int
    ) -> AsyncIterator[Record]:
        """What any of these finds, once, by place."""
        sign = 1 if order == "asc" else -1
        budget = Budget(self._settings.scanned_max)
        streams = [
            self._stream(where, span, order=order, batch=batch, budget=budget) for where in wheres
        ]
        heads: list[tuple[int, int, Record]] = []
        for at, stream in enumerate(streams):
            async for record in stream:
                heads.append((sign * record.seq, at, record))
                break
        heapq.heapify(heads)
        last = None
        while heads:
            place, at, record = heads[0]
            if place != last:
                last = place
                yield record
            following = await anext(streams[at], None)
            if following is None:
                heapq.heappop(heads)
            else:
                heapq.heapreplace(heads, (sign * following.seq, at, following))

    async def _stream(
        self,
        where: Where,
        span: Span,
        *,
        order: Order,
        batch: int,
        budget: Budget | None = None,
    ) -> AsyncGenerator[Record, None]:
        above, below = span.above, span.below
        while above < below:
            records = await self._records.scan(
                KIND.name,
                where=where,
                after_seq=above,
                before_seq=below,
                order=order,
                limit=batch,
            )
            if budget is not None:
                budget.spend(len(records))
            for record in records:
                if span.has(record):
                    yield record
            if len(records) < batch:
                return
            if order == "asc":
                above = records[-1].seq
            else:
                below = records[-1].seq

    async def _first_at(self, time: int) -> int:
        """The place of the first event of that time or later; one past the last where none is."""
        low, high = 1, await self._end()
        while low < high:
            middle = (low + high) // 2
            records = await self._records.scan(KIND.name, after_seq=middle - 1, limit=1)
            if records and records[0].created_at < time:
                low = records[0].seq + 1
            else:
                high = middle
        return low

    async def _end(self) -> int:
        newest = await self._records.scan(KIND.name, order="desc", limit=1)
        return newest[0].seq + 1 if newest else 1

    # --- what is asked ------------------------------------------------------------------------

    def _wheres(self, query: AuditLogQuery) -> list[Where]:
        """Every combination of values that is asked for."""
        actors = [*query.actor_ids, *query.actor_emails]
        choices: list[list[Where]] = [
            [{name: value} for value in dict.fromkeys(values)]
            for name, values in (
                ("project", query.project_ids),
                ("type", query.event_types),
                ("resource", query.resource_ids),
            )
            if values
        ]
        if actors:
            # A key, or the service account of one.
            choices.append(
                [{name: each} for each in dict.fromkeys(actors) for name in ("actor", "owner")]
            )
        count = 1
        for choice in choices:
            count *= len(choice)
        if count > self._settings.combinations_max:
            reason = (
                f"{count} combinations of projects, types, actors and resources are asked for, of "
                f"at most {self._settings.combinations_max}. Ask for fewer at once."
            )
            raise Problem(INVALID, param="event_types", name="event_types", reason=reason)
        return [_merged(choice) for choice in itertools.product(*choices)]

    async def _place(self, name: str, id: str) -> int:
        project = project_of_id(id)
        record = None
        if project is not None:
            record = await self._records.of(project).get(KIND.name, id)
        if record is None:
            raise Problem(UNKNOWN_CURSOR, param=name, name=name, id=id)
        return record.seq

    def _too_much(self) -> Problem:
        reason = (
            f"more than {self._settings.scanned_max} events would have to be looked at. "
            "Ask for a shorter time, or by fewer names."
        )
        return Problem(INVALID, param="effective_at", name="effective_at", reason=reason)


def _merged(choice: Sequence[Where]) -> Where:
    return {name: value for part in choice for name, value in part.items()}


def limits_of(asked: EffectiveAt) -> tuple[int, int]:
    """The first and the last second of a time."""
    since = max(asked.gte or 0, 0 if asked.gt is None else asked.gt + 1)
    until = SEQ_MAX if asked.lte is None else asked.lte
    return since, until if asked.lt is None else min(until, asked.lt - 1)
