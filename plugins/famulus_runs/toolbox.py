"""The tools of one run: which functions the model is offered, and which kind runs each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from famulus_schemas.inference import OfferedFunction, OfferedTool
from famulus_schemas.records import StoreUnavailable
from famulus_schemas.runs import Run
from famulus_schemas.tooling import (
    CallForm,
    EquippedKind,
    FormedKind,
    ToolKind,
    ToolScope,
    ToolUnusable,
)


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
        self.instructions: list[str] = []
        """What the model is told of the tools, once they are equipped."""
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

    def offers_of(self, type: str) -> bool:
        """Whether the model may call a tool of this type."""
        return any(offer.kind.type == type for offer in self.offers.values())

    def unserved_of(self, types: Iterable[str]) -> list[str]:
        """Which of these types no plugin of this server runs; none where the run calls none."""
        return sorted(set(types) - self._types) if self._may_call else []

    async def equip(self, scope_of: Callable[[Offer], ToolScope], *, within_s: float) -> None:
        """Have the kinds look at what the run has. Raises ToolUnusable."""
        offers, self.offers = self.offers, {}
        equipped: list[Mapping[str, Any]] = []
        for offer in offers.values():
            if not isinstance(offer.kind, EquippedKind):
                self.offers.setdefault(offer.function.name, offer)
            elif not any(offer.definition is one for one in equipped):
                equipped.append(offer.definition)
                await self._equip(offer, offer.kind, scope_of(offer), within_s)

    async def _equip(
        self, offer: Offer, kind: EquippedKind, scope: ToolScope, within_s: float
    ) -> None:
        try:
            async with asyncio.timeout(within_s):
                equipment = await kind.equip(scope)
        except (ToolUnusable, StoreUnavailable):
            # Without its store no run goes on, and none is to fail for that.
            raise
        except Exception as error:  # A plugin's failure is the run's, and no other's.
            reason = f"{type(error).__name__}: {error}"
            raise ToolUnusable(f"The tool {kind.type} could not be made ready: {reason}") from error
        for function in equipment.functions:
            self.offers.setdefault(function.name, replace(offer, function=function))
        if equipment.instructions:
            self.instructions.append(equipment.instructions)

    def form_of(self, name: str) -> CallForm | None:
        """In which form steps show the calls of a function; None where as a function's."""
        offer = self.offers.get(name)
        return offer.kind.form if offer and isinstance(offer.kind, FormedKind) else None

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
