"""Tools: what a plugin that lets models do things must provide.

To a model every tool is one or more functions. A tool kind says which functions one tool
definition of an assistant stands for, and runs the calls that the model makes of them; a call
that the client must run is the one thing that a kind does not run itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from famulus_schemas.inference import OfferedFunction

if TYPE_CHECKING:
    from famulus_schemas.runs import Run


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call that a model made, complete."""

    id: str
    name: str
    arguments: str
    """JSON text, as the model wrote it."""


class ToolScope(msgspec.Struct, frozen=True, kw_only=True):
    """On whose behalf a call is run."""

    project: str
    run: Run
    definition: Mapping[str, Any]
    """The tool definition that offered the function."""


class ToolOutput(msgspec.Struct, frozen=True, kw_only=True):
    """How a call ended; `text` is what the model is told."""

    text: str
    is_error: bool = False


class ToolKind(Protocol):
    """One way of doing things for a model, registered by `register_tools`."""

    type: str
    """The `type` of the tool definitions that it looks at, such as `function`."""
    place: Literal["server", "client"]
    """Who runs the calls. `client` calls end the turn with `requires_action`."""

    def offers(self, definition: Mapping[str, Any]) -> Sequence[OfferedFunction]:
        """The functions that this definition stands for; empty where it is another kind's."""
        ...

    def run(self, call: ToolCall, scope: ToolScope) -> AsyncIterator[ToolOutput]:
        """Run one call; the last item is its result. Never asked of a `client` kind.

        An exception becomes an error that the model is told, and the run goes on.
        """
        ...
