"""The three kinds of model that the road is walked with, and what each is sure to answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.scripted_model import ENDLESS, SLOWLY

GREETING = "Hello"
ECHO = "Say Lagos 731"
NAME = "My name is Bartholomew."
NAME_AGAIN = "What is my name?"
CAPITAL = "What is the capital of Zembla?"
WEATHER = "What is the weather in Reykjavik?"
WEATHER_TWICE = "What is the weather in Kyoto and in Split?"
DEGREES = "17 degrees"

CONTEXT = """Answer from this context:
The color of Atlas is green.
Wilma works in Dublin.
Marla opens at nine.
The capital of Zembla is Onhava."""

GET_WEATHER: Any = {
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

_EXACT = {
    GREETING: "Hello! How can I help you?",
    ECHO: "Lagos 731",
    NAME: "Nice to meet you, Bartholomew.",
    NAME_AGAIN: "Your name is Bartholomew.",
    CAPITAL: "The capital of Zembla is Onhava.",
    DEGREES: "Result: 17 degrees",
}


@dataclass(frozen=True)
class Model:
    """One model, as a client names it."""

    id: str
    answers: Mapping[str, str]
    """What is asked, or what a function returned, to a pattern that all of the answer fits."""
    embeds: bool = True
    lengthy: str = SLOWLY
    """What has an answer of more than a second, and of more than ninety words."""
    lengthy_arguments: Mapping[str, object] = field(default_factory=dict)
    """What the run needs besides, for such an answer."""
    endless: str = ENDLESS
    """What starts an answer that takes so long that it can be cancelled."""
    endless_arguments: Mapping[str, object] = field(default_factory=dict)
    """What the run needs besides, for such an answer."""

    def is_right(self, asked: str, text: str | None) -> bool:
        """Whether this is an answer to that."""
        return re.fullmatch(self.answers[asked], text or "", re.DOTALL) is not None


SCRIPTED = Model(
    id="scripted",
    answers={asked: re.escape(text) for asked, text in _EXACT.items()},
)

BUILTIN_TOKENS_PER_S = 300
"""Its pace here, so that something can happen while it answers."""

BUILTIN = Model(
    id="famulus-builtin",
    answers={
        GREETING: ".*stand-in.*not a language model.*",
        ECHO: "Lagos 731",
        NAME: ".*Bartholomew.*",
        NAME_AGAIN: ".*Bartholomew.*",
        CAPITAL: ".*“The capital of Zembla is Onhava.”.*",
        DEGREES: ".*17 degrees.*",
    },
    lengthy="Say " + "on and " * 200,
    endless="Say " + "on and " * 2000,
)

TINY = Model(
    id="tiny",
    answers=SCRIPTED.answers,
    embeds=False,
    # Held to JSON, the trained model writes until its context is full.
    lengthy="Count.",
    lengthy_arguments={"response_format": {"type": "json_object"}},
    endless="Count.",
    endless_arguments={"response_format": {"type": "json_object"}},
)
