"""How urgent a client says that a run is: `X-Famulus-Priority`, lower first, as vLLM has it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence

from msgspec.structs import replace

from famulus_runs.engine import Model
from famulus_schemas.errors import INVALID, Problem
from famulus_schemas.inference import ChatChunk, ChatRequest

HEADER = "X-Famulus-Priority"
LIMIT = 1_000
"""How far from 0 a priority may be."""

_FORM = re.compile(r"^[+-]?\d{1,4}$")


def priority_of(headers: Mapping[str, str]) -> int:
    """The priority that these headers ask for; 0 where they do not. Raises Problem (INVALID)."""
    asked = headers.get(HEADER)
    if asked is None:
        return 0
    priority = int(asked) if _FORM.match(asked) else None
    if priority is None or abs(priority) > LIMIT:
        reason = f"{asked!r} is no whole number from {-LIMIT} to {LIMIT}; lower ones go first."
        raise Problem(INVALID, param=HEADER, name=HEADER, reason=reason)
    return priority


class Prioritized:
    """A model that is asked with a run's priority, for servers that schedule by it."""

    def __init__(self, model: Model, priority: int) -> None:
        self._model = model
        self._priority = priority

    def chat(self, request: ChatRequest) -> AsyncIterator[Sequence[ChatChunk]]:
        """As the model does."""
        return self._model.chat(replace(request, priority=self._priority))
