"""Spans: what a trace is made of, as far as it is carried along while something is done."""

from __future__ import annotations

import msgspec


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is being done as part of a trace; ids are those of W3C Trace Context."""

    trace_id: str
    """32 hexadecimal digits."""
    id: str
    """16 hexadecimal digits."""
    parent_id: str = ""
    """The span that it is part of; empty where it begins the trace."""
    is_sampled: bool = True
    """Whether it is to be exported; its ids are passed on in any case."""
    began_at: float
    """In unix seconds."""
    conversation: str = ""
    """The thread that it is for, where it is for one; its children are, too."""
    agent: str = ""
    """The assistant that it is for, likewise."""

    @property
    def traceparent(self) -> str:
        """As the header `traceparent` names it to whoever does a part of it."""
        return f"00-{self.trace_id}-{self.id}-{'01' if self.is_sampled else '00'}"
