"""One answer of the model within a run."""

from __future__ import annotations

from famulus_schemas.tooling import ToolCall


class Turn:
    """What the model answered, and what its calls gave."""

    def __init__(self, content: str = "") -> None:
        self._content = [content]
        self.calls: tuple[ToolCall, ...] = ()
        self.outputs: dict[str, str] = {}
        """By the id of the call."""

    @property
    def content(self) -> str:
        """The text of the answer so far."""
        return "".join(self._content)

    def add(self, text: str) -> None:
        """More of the text."""
        self._content.append(text)
