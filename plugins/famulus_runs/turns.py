"""One answer of the model within a run."""

from __future__ import annotations

from famulus_schemas.tooling import ToolCall


class Turn:
    """What the model answered, and what its calls gave."""

    def __init__(self) -> None:
        self.content = ""
        self.calls: tuple[ToolCall, ...] = ()
        self.outputs: dict[str, str] = {}
        """By the id of the call."""
