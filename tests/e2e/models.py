"""The three kinds of model that the road is walked with, and what each is sure to answer."""

from __future__ import annotations

import re

from tests.e2e.scripted_model import ENDLESS, SLOWLY

from famulus_conformance.scenarios_model import (
    CAPITAL,
    DEGREES,
    ECHO,
    GREETING,
    NAME,
    NAME_AGAIN,
    Model,
)

_EXACT = {
    GREETING: "Hello! How can I help you?",
    ECHO: "Lagos 731",
    NAME: "Nice to meet you, Bartholomew.",
    NAME_AGAIN: "Your name is Bartholomew.",
    CAPITAL: "The capital of Zembla is Onhava.",
    DEGREES: "Result: 17 degrees",
}

SCRIPTED = Model(
    id="scripted",
    answers={asked: re.escape(text) for asked, text in _EXACT.items()},
    lengthy=SLOWLY,
    endless=ENDLESS,
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
