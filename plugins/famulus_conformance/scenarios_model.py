"""What a scenario says to a model, and which answers to it are right."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

GREETING = "Hello"
ECHO = "Say Lagos 731"
NAME = "My name is Bartholomew."
NAME_AGAIN = "What is my name?"
CAPITAL = "What is the capital of Zembla?"
WEATHER = "What is the weather in Reykjavik?"
CITY = {"city": "Reykjavik"}
WEATHER_TWICE = "What is the weather in Kyoto and in Split?"
CITIES = [{"city": "Kyoto"}, {"city": "Split"}]
DEGREES = "17 degrees"

CONTEXT = """Answer from this context:
The color of Atlas is green.
Wilma works in Dublin.
Marla opens at nine.
The capital of Zembla is Onhava."""

GET_WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


@dataclass(frozen=True)
class Model:
    """One model, as a client names it."""

    id: str
    answers: Mapping[str, str]
    """What is asked, or what a function returned, to a pattern that all of the answer fits."""
    embeds: bool = True
    calls_in_parallel: bool = True
    """Whether it asks for two functions at once where both are wanted."""
    arguments_vary: bool = False
    """Whether the arguments of its calls may be written otherwise than they were asked for."""
    lengthy: str | None = None
    """What has an answer of more than a second, and of more than ninety words."""
    lengthy_arguments: Mapping[str, object] = field(default_factory=dict)
    """What the run needs besides, for such an answer."""
    endless: str | None = None
    """What starts an answer that takes so long that it can be cancelled."""
    endless_arguments: Mapping[str, object] = field(default_factory=dict)
    """What the run needs besides, for such an answer."""

    def is_right(self, asked: str, text: str | None) -> bool:
        """Whether this is an answer to that."""
        return re.fullmatch(self.answers[asked], text or "", re.DOTALL) is not None


SOMETHING = r".*\S.*"


def any_model(id: str) -> Model:
    """A model of which nothing is known: any answer to a question is right, but one there is."""
    asked = (GREETING, ECHO, NAME, NAME_AGAIN, CAPITAL, DEGREES)
    return Model(
        id=id,
        answers=dict.fromkeys(asked, SOMETHING),
        embeds=False,
        calls_in_parallel=False,
        arguments_vary=True,
    )
