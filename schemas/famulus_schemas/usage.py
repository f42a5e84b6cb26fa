"""What models used on whose behalf, and how that is written down and limited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Literal, Protocol

import msgspec

from famulus_schemas.records import Unit

What = Literal["completions", "embeddings", "file_searches", "code_interpreter_sessions"]

Held = Literal["vector_stores"]
"""What projects have for as long as they keep it, and do not use up."""

Measure = Callable[[], Awaitable[Mapping[str, int]]]
"""Says how many bytes each project has now; one that has none may be left out."""


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """What one request, or one step of a run, used."""

    at: int
    """When, in unix seconds."""
    what: What = "completions"
    project: str
    principal: str = ""
    """Who asked, by the principal's id."""
    key: str = ""
    """The id of the key, where one was used."""
    model: str = ""
    """As its client named it."""
    served_by: str = ""
    """As its server names it; empty where that is not known."""
    requests: int = 1
    input_tokens: int = 0
    """With those that were cached."""
    cached_tokens: int = 0
    output_tokens: int = 0
    is_estimate: bool = False
    run: str = ""
    step: str = ""
    """Empty where an answer was broken off before it was one."""
    thread: str = ""
    assistant: str = ""


class Meter(Protocol):
    """Writes down what was used, in one of two ways, and says who may use more."""

    async def writes(self, used: Sequence[Used]) -> Unit:
        """Writes to be committed together with the effect of the use; all of one project.

        Each answer may be committed once. Never raises.
        """
        ...

    def written(self, used: Sequence[Used]) -> None:
        """Know that such writes were committed: from now on they count for budgets."""
        ...

    def note(self, used: Used) -> None:
        """Write it down soon. What a process has noted and not written is lost with it."""
        ...

    def measures(self, what: Held, measure: Measure) -> AbstractContextManager[None]:
        """Ask now and then how much projects have, until the context is left, and keep the answers.

        It is asked rarely, and may take as long as looking at all of it does.
        """
        ...

    async def refuse(self, project: str, key: str) -> None:
        """Raise Problem where the key or its project may not use any more, saying until when."""
        ...
