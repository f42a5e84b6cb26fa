"""What becomes of an answer's calls before they are run: arguments are held to what was offered.

The model is told once what is wrong, as the call's result. If it then does no better, it gets its
way as long as the arguments are an object; a client is never asked to decode anything else.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from famulus_runs.arguments import Arguments, read_arguments
from famulus_runs.toolbox import Toolbox
from famulus_runs.turns import Turn
from famulus_schemas.tooling import ToolCall

FAILURE = (
    "The model called {name} with arguments that are not a JSON object, and did so again after "
    "it was told."
)


class CallCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it, by the id of the call."""

    arguments: dict[str, str]
    """Those that were put right."""
    objections: dict[str, str]
    """What to tell the model instead of a result."""
    failure: str | None = None
    """Why the run cannot go on."""


def check_calls(
    calls: Sequence[ToolCall], toolbox: Toolbox, before: Turn | None, *, chars_max: int
) -> CallCheck:
    """Look at the calls of an answer that came after the turn `before`."""
    arguments: dict[str, str] = {}
    objections: dict[str, str] = {}
    for call in calls:
        offer = toolbox.offers.get(call.name)
        read = _read(call, toolbox, chars_max)
        if offer is None or read is None:
            continue
        if read.text != call.arguments:
            arguments[call.id] = read.text
        if read.objection is None:
            continue
        if not _was_told(call.name, toolbox, before, chars_max):
            objections[call.id] = read.objection
        elif not read.is_object and offer.kind.place == "client":
            failure = FAILURE.format(name=call.name)
            return CallCheck(arguments=arguments, objections=objections, failure=failure)
    return CallCheck(arguments=arguments, objections=objections)


def _read(call: ToolCall, toolbox: Toolbox, chars_max: int) -> Arguments | None:
    offer = toolbox.offers.get(call.name)
    if offer is None:
        return None
    parameters = offer.function.parameters
    return read_arguments(call.name, call.arguments, parameters, chars_max=chars_max)


def _was_told(name: str, toolbox: Toolbox, before: Turn | None, chars_max: int) -> bool:
    """Whether the last thing that the model heard of this function is an objection.

    Read from what is stored of the turn, so that a run that changes hands does not forget it.
    """
    for call in before.calls if before is not None else ():
        read = _read(call, toolbox, chars_max) if call.name == name else None
        if read and read.objection and before and before.outputs.get(call.id) == read.objection:
            return True
    return False
