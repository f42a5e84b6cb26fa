"""What tokens cost."""

from __future__ import annotations

from collections.abc import Mapping

from famulus_schemas.usage import Used
from famulus_usage.settings import Price

UNIT = 1_000_000_000
"""Costs are whole billionths of the currency."""
_PER_TOKEN = UNIT // 1_000_000


class Prices:
    """The configured ones."""

    def __init__(self, prices: Mapping[str, Price]) -> None:
        self._prices = prices

    def __bool__(self) -> bool:
        return bool(self._prices)

    def knows(self, model: str) -> bool:
        """Whether a model has a price under this name."""
        return model in self._prices

    def cost(self, used: Used, served_by: str = "") -> int:
        """In billionths: by the client's name for the model, else by its server's; else nothing.

        `served_by` is the server's name where `used` does not tell it.
        """
        names = (used.model, used.served_by or served_by)
        price = next((self._prices[name] for name in names if name in self._prices), None)
        if price is None or used.what not in ("completions", "embeddings"):
            return 0
        cached = min(used.cached_tokens, used.input_tokens)
        of_cached = price.input if price.cached_input is None else price.cached_input
        each = (
            (used.input_tokens - cached) * price.input
            + cached * of_cached
            + used.output_tokens * price.output
        )
        return round(each * _PER_TOKEN)


def shown(cost: int) -> float:
    """A cost in the currency."""
    return cost / UNIT


def billionths(amount: float) -> int:
    """An amount of the currency as costs are."""
    return round(amount * UNIT)
