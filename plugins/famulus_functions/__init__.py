"""Functions that the client runs: the model asks, the run waits, the client answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal

from famulus import NoSettings, Plugin, hookimpl
from famulus_schemas.inference import OfferedFunction
from famulus_schemas.tooling import ToolCall, ToolKind, ToolOutput, ToolScope

__all__ = ["ClientFunctions", "Functions"]


class ClientFunctions:
    """Takes every function that no plugin of the server runs."""

    type = "function"
    place: Literal["server", "client"] = "client"

    def offers(self, definition: Mapping[str, Any]) -> Sequence[OfferedFunction]:
        """The function as the assistant defines it."""
        function = definition["function"]
        return [
            OfferedFunction(
                name=function["name"],
                description=function.get("description"),
                parameters=function.get("parameters"),
                strict=function.get("strict"),
            )
        ]

    def run(self, call: ToolCall, scope: ToolScope) -> AsyncIterator[ToolOutput]:
        """Never asked: only the client can."""
        raise NotImplementedError("a client's function is run by the client")


class Functions(Plugin[NoSettings]):
    """Lets assistants call functions that the client runs."""

    @hookimpl
    def register_tools(self) -> list[ToolKind]:
        """The one kind."""
        return [ClientFunctions()]
