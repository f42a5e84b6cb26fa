"""What the user has said before: facts about themselves, and the messages themselves."""

from __future__ import annotations

import re
from collections.abc import Sequence

LISTED_MAX = 20
QUOTED_CHARS_MAX = 160
FACT_CHARS_MAX = 4_000

_THING = r"my ((?:[\w'-]{1,40} ){0,3}?[\w'-]{1,40}"
_FACT = re.compile(rf"\b{_THING}) (?:is|are|'s) ([^.!?\n]{{1,120}})", re.IGNORECASE)
_NAMED = re.compile(r"\b(?:I am|I'm|I\u2019m|call me|this is) ([A-Z][\w'-]*(?: [A-Z][\w'-]*){0,3})")
_ASKS_FACT = re.compile(
    r"\b(?:what(?:'s|\u2019s| is| are| was)|tell me|remember|who is|say|which is) (?:again )?"
    rf"{_THING}?)(?: again| called)?\s*[?.!]*$",
    re.IGNORECASE,
)
_ASKS_NAME = re.compile(r"\b(?:who am I|what am I called|do you know me)\b", re.IGNORECASE)
_ASKS_COUNT = re.compile(r"\bhow many (?:messages|questions|things|times)\b.*\b(?:I|me|we)\b", re.I)
_ASKS_LIST = re.compile(
    r"\b(?:what (?:have|did) I (?:said|say|asked?|told|tell|written?)"
    r"|(?:list|repeat|show|summari[sz]e|recap)\b.{0,30}\b(?:my|our|all|previous|earlier)\b.{0,20}"
    r"\b(?:messages|questions|conversation|chat)"
    r"|what (?:have|did) we (?:discussed?|talk(?:ed)? about)"
    r"|(?:summari[sz]e|recap) (?:this|the) (?:conversation|chat|thread))",
    re.IGNORECASE,
)
_ASKS_FIRST = re.compile(
    r"\bmy first (?:message|question)|\b(?:say|said|ask|asked|tell|told)\b.{0,20}\bfirst\b",
    re.IGNORECASE,
)
_ASKS_LAST = re.compile(
    r"\bmy (?:last|previous) (?:message|question)"
    r"|\bI (?:just )?(?:say|said|asked?) (?:before|just now|last)\b"
    r"|\bwhat did I just (?:say|ask)",
    re.IGNORECASE,
)


def recall(asked: str, earlier: Sequence[str]) -> str | None:
    """The answer to a question about what was said before, or None where it is not one."""
    fact = _ASKS_FACT.search(asked)
    if _ASKS_FIRST.search(asked) or _ASKS_LAST.search(asked):
        return _one_message(earlier, first=bool(_ASKS_FIRST.search(asked)))
    if _ASKS_NAME.search(asked):
        return _fact("name", earlier)
    if fact is not None and not re.search(r"\b(?:messages?|questions?)$", fact[1], re.IGNORECASE):
        return _fact(fact[1].lower(), earlier)
    if _ASKS_COUNT.search(asked):
        return _count(len(earlier))
    if _ASKS_LIST.search(asked):
        return _list(earlier)
    return None


def told(asked: str) -> tuple[str, str] | None:
    """A fact that the user states about themselves: what, and its value."""
    facts = _facts(asked[:FACT_CHARS_MAX])
    return facts[-1] if facts and not asked.rstrip().endswith("?") else None


def _facts(text: str) -> list[tuple[str, str]]:
    if text.rstrip().endswith("?"):
        return []
    found = [
        (match[1].lower(), _trimmed(match[2])) for match in _FACT.finditer(text[:FACT_CHARS_MAX])
    ]
    return found + [("name", match[1]) for match in _NAMED.finditer(text[:FACT_CHARS_MAX])]


def _trimmed(value: str) -> str:
    return re.split(r",? (?:and|but) (?:my|I|what|who|how)\b|, ", value.strip())[0].strip(" ,;\"'")


def _fact(wanted: str, earlier: Sequence[str]) -> str:
    for text in reversed(earlier):
        for what, value in reversed(_facts(text)):
            if what == wanted:
                return f"You told me that your {what} is {value}."
    return f"You have not told me your {wanted} in this conversation."


def _count(before: int) -> str:
    messages = "message" if before == 0 else "messages"
    return f"You have sent {before + 1} {messages} in this conversation, counting this one."


def _list(earlier: Sequence[str]) -> str:
    if not earlier:
        return "You have said nothing before this message."
    shown = list(earlier)[-LISTED_MAX:]
    first = len(earlier) - len(shown) + 1
    lines = [f"{number}. {quoted(text)}" for number, text in enumerate(shown, first)]
    return "\n".join(["This is what you have said so far:", *lines])


def _one_message(earlier: Sequence[str], *, first: bool) -> str:
    if not earlier:
        return "You have said nothing before this message."
    which = "first" if first else "last"
    return f"Your {which} message before this one was: {quoted(earlier[0 if first else -1])}"


def quoted(text: str) -> str:
    """A text in quotation marks, on one line and of bounded length."""
    line = " ".join(text.split())
    short = line if len(line) <= QUOTED_CHARS_MAX else f"{line[:QUOTED_CHARS_MAX].rstrip()}\u2026"
    return f"\u201c{short}\u201d"
