"""The tool: a function that the server itself runs when a model calls it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from famulus_schemas.inference import OfferedFunction
from famulus_schemas.tooling import ToolCall, ToolOutput, ToolScope

if TYPE_CHECKING:
    from famulus_example.notes import Notes

OFFERED = OfferedFunction(
    name="look_up_notes",
    description="Find the user's notes that contain a word.",
    parameters={
        "type": "object",
        "properties": {"word": {"type": "string", "description": "What to look for."}},
        "required": ["word"],
        "additionalProperties": False,
    },
)


class Arguments(msgspec.Struct, frozen=True, kw_only=True):
    """What the model must give."""

    word: str


class LookUpNotes:
    """Stands for a function tool of this one name; other functions stay the client's."""

    type = "function"
    place: Literal["server", "client"] = "server"

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def offers(self, definition: Mapping[str, Any]) -> Sequence[OfferedFunction]:
        """The function, where the assistant's definition names it."""
        name = definition.get("function", {}).get("name")
        return [OFFERED] if name == OFFERED.name else []

    async def run(self, call: ToolCall, scope: ToolScope) -> AsyncIterator[ToolOutput]:
        """Answer with the notes, or with what was wrong with the call."""
        try:
            arguments = msgspec.json.decode(call.arguments, type=Arguments)
        except msgspec.DecodeError as error:
            yield ToolOutput(text=f"The arguments do not fit: {error}", is_error=True)
            return
        notes = await self._notes.containing(arguments.word, scope.project)
        yield ToolOutput(text="\n".join(notes) or f"No note contains {arguments.word!r}.")
