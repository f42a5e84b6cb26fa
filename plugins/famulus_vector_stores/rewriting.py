"""Queries without what only makes a question of them.

A modest rule, and the same for everybody: who asks "Could you please tell me what the notice
period is?" looks for "notice period". It knows English; other languages stay as they are.
"""

from __future__ import annotations

import re

_OPENINGS = (
    r"(?:hi|hello|hey)\b[,!.]?",
    r"please\b,?",
    r"(?:can|could|would|will) you\b(?: please)?",
    r"i(?:'d| would) like to (?:know|understand|learn|find out)\b",
    r"i (?:want|need) to (?:know|understand|learn|find out)\b",
    r"i(?:'m| am) (?:looking for|wondering)\b",
    r"do you know\b",
    r"(?:tell|show|give|remind) me\b",
    r"(?:explain|describe|find|search for|look up|look for)\b",
    r"(?:what|who|which|where|when|how) (?:is|are|was|were|'s)\b",
    r"(?:what|where|when|how|why) (?:do|does|did|can|could|should|would|will) (?:i|you|we|one)\b",
    r"what(?:'s)?\b(?= the\b)",
    r"(?:is|are) there\b(?: any)?",
    r"(?:about|whether|if)\b",
    r"(?:the|a|an|any|some|all)\b",
)
_OPENING = re.compile(r"^\s*(?:" + "|".join(_OPENINGS) + r")\s*", re.IGNORECASE)
_CLOSING = re.compile(r"\b(?:please|thanks|thank you|is|are)\Z", re.IGNORECASE)
_CLOSING_CHARS = 16
"""More than the longest of these words, so that one is seen to be whole."""
_OPENINGS_MAX = 8


def rewritten(query: str) -> str:
    """The query without its filler; as it is where nothing else is in it."""
    text = query.strip()
    for _ in range(_OPENINGS_MAX):
        shorter = _OPENING.sub("", text, count=1)
        if shorter == text:
            break
        text = shorter
    return _without_closing(text).strip() or query


def _without_closing(text: str) -> str:
    # By hand: an expression that may begin at any blank tries all of a long run of them each time.
    text = _stripped(text, "?!.")
    last = _CLOSING.search(text[-_CLOSING_CHARS:])
    if last is not None:
        text = text[: len(text) - len(last[0])]
    return _stripped(text, ",")


def _stripped(text: str, signs: str) -> str:
    end = len(text)
    while end and (text[end - 1] in signs or text[end - 1].isspace()):
        end -= 1
    return text[:end]
