"""For which request something is done, wherever that happens in this process.

A task inherits it from the one that made it: so what a request began goes by its id to the log and
to model servers, even where nobody passes the id on. The same way goes the span that it is part of,
where a plugin traces; where none does, there is never one.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from msgspec.structs import replace

from famulus.clock import system_clock
from famulus_schemas.spans import Span

T = TypeVar("T")

request_id: ContextVar[str] = ContextVar("famulus_request_id", default="")
"""Empty where no request is known, as in what the server does by itself."""

span: ContextVar[Span | None] = ContextVar("famulus_span", default=None)
"""What is being done here; None where nothing is traced."""

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1


def parse(traceparent: str) -> Span | None:
    """The span that a header names, W3C Trace Context; None where it names none."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    version, trace_id, id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(id, 16):
        return None
    is_sampled = bool(int(flags, 16) & _SAMPLED)
    return Span(trace_id=trace_id, id=id, is_sampled=is_sampled, began_at=0.0)


def part_of(parent: Span, *, conversation: str = "", agent: str = "") -> Span:
    """A new span that begins now."""
    return replace(
        parent,
        id=secrets.token_hex(8),
        parent_id=parent.id,
        began_at=system_clock(),
        conversation=conversation or parent.conversation,
        agent=agent or parent.agent,
    )


def child() -> Span | None:
    """A new span of what is being done here; None where nothing is traced."""
    current = span.get()
    return None if current is None else part_of(current)


def continued(traceparent: str, *, conversation: str = "", agent: str = "") -> Span | None:
    """A new span of one that began elsewhere, maybe in another process; None for none."""
    parent = parse(traceparent)
    return None if parent is None else part_of(parent, conversation=conversation, agent=agent)


@contextmanager
def within(part: Span | None) -> Iterator[None]:
    """Do something as this part. What does nothing else than wait may stand inside."""
    before = span.get()
    span.set(part or before)
    try:
        yield
    finally:
        # By its value: what is left by another task than entered it has nothing to be reset.
        span.set(before)


async def begun_within(part: Span, items: AsyncIterator[T]) -> AsyncIterator[T]:
    """The same items, the first of which is asked for as this part; closed with this iterator."""
    try:
        try:
            with within(part):
                item = await anext(items)
        except StopAsyncIteration:
            return
        yield item
        async for item in items:
            yield item
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()
