"""The messages of a request as the stand-in reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import msgspec

from famulus_schemas.inference import CalledTool, PromptMessage, TextContent


class ToolResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a called function answered."""

    name: str
    """Empty where no call of that id is in the messages."""
    text: str


class Conversation:
    """A conversation up to the answer that is wanted now."""

    def __init__(self, messages: Sequence[PromptMessage]) -> None:
        self._messages = messages

    @cached_property
    def asked(self) -> str:
        """The user's last message."""
        return self.users[-1] if self.users else ""

    @cached_property
    def users(self) -> list[str]:
        """All that the user said, oldest first."""
        return [text_of(message) for message in self._messages if message.role == "user"]

    @cached_property
    def instructions(self) -> list[str]:
        """What the system and the developer said."""
        roles = ("system", "developer")
        return [text_of(message) for message in self._messages if message.role in roles]

    @property
    def ends_with_results(self) -> bool:
        """Whether functions have just answered, and the user is still waiting."""
        return bool(self._messages) and self._messages[-1].role == "tool"

    @cached_property
    def results(self) -> list[ToolResult]:
        """The results at the conversation's end, in order; empty where it ends otherwise."""
        names = {call.id: call.function.name for call in self._calls()}
        found: list[ToolResult] = []
        for message in reversed(self._messages):
            if message.role != "tool":
                break
            name = names.get(message.tool_call_id or "", "")
            found.append(ToolResult(name=name, text=text_of(message)))
        return found[::-1]

    @cached_property
    def pictures(self) -> int:
        """How many pictures the user's last message holds."""
        last = next((one for one in reversed(self._messages) if one.role == "user"), None)
        parts = last.content if last is not None and not isinstance(last.content, str) else ()
        return sum(not isinstance(part, TextContent) for part in parts or ())

    def texts(self) -> Iterator[str]:
        """Everything that the model is shown, piece by piece."""
        for message in self._messages:
            yield text_of(message)
            for call in message.tool_calls or ():
                yield f"{call.function.name} {call.function.arguments}"

    def _calls(self) -> Iterator[CalledTool]:
        for message in self._messages:
            yield from message.tool_calls or ()


def text_of(message: PromptMessage) -> str:
    """The text of a message; pictures left out."""
    if isinstance(message.content, str):
        return message.content
    parts = message.content or ()
    return "\n".join(part.text for part in parts if isinstance(part, TextContent))
