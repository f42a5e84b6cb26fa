"""The arguments of a call: put right where that is certain, and held to what was offered."""

from __future__ import annotations

from typing import Any

import msgspec

from famulus_runs.fitting import misfit
from famulus_runs.repair import decoded, object_text

QUOTED_CHARS_MAX = 500
MISFIT_CHARS_MAX = 1_000


class Arguments(msgspec.Struct, frozen=True, kw_only=True):
    """What came of looking at them."""

    text: str
    """A JSON object; or what the model wrote, where it could not be made one."""
    is_object: bool
    objection: str | None
    """What to tell the model; None where they fit."""


def read_arguments(
    name: str, written: str, parameters: dict[str, Any] | None, *, chars_max: int
) -> Arguments:
    """Look at the arguments of a call of a function that was offered with these parameters."""
    text = object_text(written) if len(written) <= chars_max else _object(written)
    if text is None:
        objection = (
            f"Error: the arguments of {name} are not a JSON object: {_cut(written)}. "
            f"Call {name} again with arguments that are."
        )
        return Arguments(text=written, is_object=False, objection=objection)
    fault = misfit(decoded(text), parameters)
    if fault is None:
        return Arguments(text=text, is_object=True, objection=None)
    objection = (
        f"Error: the arguments of {name} do not fit: {fault[:MISFIT_CHARS_MAX]}. "
        f"Call {name} again with arguments that do."
    )
    return Arguments(text=text, is_object=True, objection=objection)


def shown_arguments(written: str) -> str:
    """The arguments as a model may be shown them again; the templates of models decode them."""
    return "{}" if _object(written) is None else written


def _object(text: str) -> str | None:
    try:
        return text if isinstance(decoded(text), dict) else None
    except ValueError:
        return None


def _cut(text: str) -> str:
    return text if len(text) <= QUOTED_CHARS_MAX else f"{text[:QUOTED_CHARS_MAX]}..."
