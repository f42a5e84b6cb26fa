"""The tools of one run: which functions the model is offered, and which kind runs each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from famulus_schemas.inference import OfferedFunction, OfferedTool
from famulus_schemas.runs import Run
from famulus_schemas.tooling import ToolKind


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """One function, and who answers for it."""

    function: OfferedFunction
    kind: ToolKind
    definition: Mapping[str, Any]


class Toolbox:
    """The offers of one run, by function name."""

    def __init__(self, kinds: Sequence[ToolKind], run: Run) -> None:
        self.offers: dict[str, Offer] = {}
        """Empty where the run is to call nothing: not every model server heeds `none`."""
        self.unserved: list[str] = []
        """Types of tools that the run has and no plugin of this server runs."""
        self._types = {kind.type for kind in kinds}
        self._may_call = run.tool_choice != "none"
        if run.tool_choice == "none":
            return
        for definition in msgspec.to_builtins(run.tools):
            offers = _offers(kinds, definition)
            if not offers and definition["type"] not in self.unserved:
                self.unserved.append(definition["type"])
            for offer in offers:
                self.offers.setdefault(offer.function.name, offer)

    def unserved_of(self, types: Iterable[str]) -> list[str]:
        """Which of these types no plugin of this server runs; none where the run calls none."""
        return sorted(set(types) - self._types) if self._may_call else []

    def offered(self) -> tuple[OfferedTool, ...] | None:
        """As a chat request lists them; None where there are none."""
        if not self.offers:
            return None
        return tuple(OfferedTool(function=offer.function) for offer in self.offers.values())


def _offers(kinds: Sequence[ToolKind], definition: Mapping[str, Any]) -> list[Offer]:
    """Of the first kind that takes the definition: a plugin's own comes before the client."""
    for kind in sorted(kinds, key=lambda kind: kind.place == "client"):
        if kind.type == definition["type"]:
            functions = kind.offers(definition)
            if functions:
                return [
                    Offer(function=function, kind=kind, definition=definition)
                    for function in functions
                ]
    return []
