"""Answers that refuse what the document allows, and are right: each with its reason.

A schema says what a request looks like. It does not say which objects there are, in which state
they are, or what a model can do; OpenAI's API answered 400 to all of these.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

POSITIVE = "positive_data_acceptance"
"""The check that a request which the document allows is not refused."""


class Excuse(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of refusal; what is left out is not looked at."""

    why: str
    code: str = ""
    param: str = ""
    """A pattern of the whole name."""
    message: str = ""
    """A pattern that the message begins with."""

    def holds_for(self, error: Mapping[str, Any]) -> bool:
        """Whether an error of the envelope is of this kind."""
        return (
            self.code in ("", error.get("code"))
            and (not self.param or re.fullmatch(self.param, str(error.get("param"))) is not None)
            and (not self.message or re.match(self.message, str(error.get("message"))) is not None)
        )


EXCUSES = (
    Excuse(
        param="after|before",
        why="A cursor is the id of an object that is there; which are, no schema can say.",
    ),
    Excuse(code="unsupported", why="What a model cannot do is the model's word, not the API's."),
    Excuse(
        message=r"Thread \S+ already has an active run|Can't add messages to ",
        why="One run at a time works on a thread.",
    ),
    Excuse(
        message=r"Cannot cancel run with status |Runs in status ",
        why="A run that has ended is not ended again, and takes no outputs.",
    ),
    Excuse(
        message=r"Expected tool outputs for call_ids ",
        why="Outputs are of the calls that were made; which were, no schema can say.",
    ),
)


def excuse(check: str, body: bytes) -> Excuse | None:
    """The excuse of a failed check, by the answer's body."""
    if check != POSITIVE:
        return None
    try:
        error = msgspec.json.decode(body)["error"]
        return next((each for each in EXCUSES if each.holds_for(error)), None)
    except (msgspec.DecodeError, TypeError, KeyError, AttributeError):
        return None
