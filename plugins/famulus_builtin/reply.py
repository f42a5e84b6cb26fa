"""Decides what the stand-in answers: a call, a JSON value, or a sentence. Never pretends."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from famulus_builtin import arithmetic, functions, memory, passages, phrases, readout
from famulus_builtin.arguments import fill
from famulus_builtin.conversation import Conversation
from famulus_builtin.functions import Call
from famulus_builtin.kinds import is_quantity
from famulus_builtin.passages import Passage
from famulus_builtin.refs import SchemaUnusable
from famulus_schemas.inference import ChatRequest

RULES_CHARS_MAX = 1_000
"""Longer messages are no small talk, and are not looked through for it."""
COVERS_ENOUGH = 0.34
"""The share of a question's meaning that a passage must speak of to be quoted as its answer."""

_KEYS = re.compile(
    r"\b(?:keys?|fields?|properties)\b(?: (?:named|called))?:? "
    r"([\w\"'`]{1,80}(?:(?:, and |, | and )[\w\"'`]{1,80}){0,20})",
    re.IGNORECASE,
)


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What to answer: a text, or calls."""

    text: str = ""
    calls: tuple[Call, ...] = ()


def reply_to(request: ChatRequest) -> Reply:
    """The answer to a request. Raises SchemaUnusable or CannotCall where it asks too much."""
    talk = Conversation(request.messages)
    own = _own_words(talk)
    is_chat = own is not None or memory.told(talk.asked) is not None
    calls = functions.calls_for(
        request,
        talk.asked,
        is_answered=talk.ends_with_results,
        is_chat=is_chat,
    )
    if calls:
        return Reply(calls=tuple(calls))
    text = _of_results(talk) if talk.ends_with_results else own or _in_words(talk)
    return Reply(text=_in_form(request.response_format, talk, text))


def _own_words(talk: Conversation) -> str | None:
    """What needs nothing but the conversation itself."""
    _, question = passages.split_question(talk.asked)
    echo = phrases.said_to_say(question)
    if echo is not None or len(question) > RULES_CHARS_MAX:
        return echo
    return (
        phrases.counted(question)
        or memory.recall(question, talk.users[:-1])
        or arithmetic.answer(question)
        or phrases.small_talk(question)
    )


def _in_words(talk: Conversation) -> str:
    context, question = passages.split_question(talk.asked)
    given = [passage for text in talk.instructions for passage in passages.in_instructions(text)]
    given += passages.in_instructions(context) if context else []
    if given:
        return _quote(given, question, "passages that I was given")
    told = memory.told(question)
    if told is not None:
        return f"I will remember, in this conversation, that your {told[0]} is {told[1]}."
    return _fallback(talk, question)


def _quote(found: list[Passage], question: str, which: str) -> str:
    best = passages.best(found, question)
    if best is None:
        return (
            f"I compared words, and found none of your question in the {which}. "
            f"{phrases.IDENTITY}, so I may have missed an answer in other words."
        )
    source = f"From {best.passage.source}" if best.passage.source else f"From the {which}"
    quotation = f"\u201c{best.text}\u201d{best.passage.mark}"
    if best.covers < COVERS_ENOUGH:
        return f"Nothing in the {which} clearly answers that. {source}, the closest is: {quotation}"
    return f"{source}, I quote: {quotation}"


def _of_results(talk: Conversation) -> str:
    """What the functions answered, read out; of searches, the sentence that answers best."""
    found: list[Passage] = []
    sentences: list[str] = []
    for result in talk.results:
        searched = passages.is_search(result.name)
        if nothing := _found_nothing(result.text, searched):
            sentences.append(nothing)
            continue
        here = passages.in_result(result.text, is_search=searched)
        found += here
        if not here:
            sentences.append(readout.sentence(result))
    if found:
        sentences.insert(0, _quote(found, talk.asked, "passages that were found"))
    return "\n".join(sentences)


def _found_nothing(text: str, searched: bool) -> str | None:
    if not searched:
        return None
    is_empty = text.strip() in _EMPTY_RESULTS or _NOTHING.match(text)
    return "The search found nothing." if is_empty else None


_NOTHING = re.compile(
    r"\s*(?:nothing|no (?:results?|passages?|documents?|match(?:es)?)) (?:(?:was|were) )?found\b",
    re.IGNORECASE,
)


_EMPTY_RESULTS = frozenset(
    ("", "[]", "{}", "null", '{"results":[]}', '{"results": []}', '{"data":[]}')
)


def _fallback(talk: Conversation, question: str) -> str:
    seen = ""
    if talk.pictures:
        seen = " I cannot see pictures."
    if not question.strip():
        return f"{phrases.IDENTITY}. There was no text for me to answer.{seen} {phrases.CONNECT}"
    return (
        f"{phrases.IDENTITY}. You said {memory.quoted(question)}, and I have no rule that answers "
        f"it.{seen} {phrases.CONNECT}"
    )


# -- JSON -----------------------------------------------------------------------------------------


def _in_form(form: dict[str, Any] | None, talk: Conversation, text: str) -> str:
    """The text itself, or the JSON value that the response format asks for."""
    kind = (form or {}).get("type")
    known = {key: one for result in talk.results for key, one in readout.known(result).items()}
    said = "\n".join([talk.asked, *(result.text for result in talk.results)])
    if form is not None and kind == "json_schema":
        named = form.get("json_schema") or {}
        if not isinstance(named, dict):
            raise SchemaUnusable("json_schema is no object")
        schema = named.get("schema", {})
        given = dict.fromkeys(("answer", "reply", "response"), text) | known
        return _encoded(fill(schema, said, given))
    if kind == "json_object":
        keys = _KEYS.search("\n".join([*talk.instructions, talk.asked]))
        if keys is not None:
            names = [name.strip("\"'`") for name in re.split(r", and |, | and ", keys[1])]
            said = said.replace(keys[0], " ")
            return _encoded(fill(_object_of(names), said, known, dull=("json", "object")))
        return _encoded(known or {"reply": text})
    return text


def _object_of(names: list[str]) -> dict[str, Any]:
    properties = {
        name: {"type": ["number", "string"] if is_quantity(name) else "string"} for name in names
    }
    return {"type": "object", "properties": properties, "required": names}


def _encoded(value: Any) -> str:
    return msgspec.json.encode(value).decode()
