"""Which functions the user's words ask for, and the calls that follow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from famulus_builtin.arguments import fill
from famulus_builtin.refs import SchemaUnusable
from famulus_builtin.said import CHARS_MAX, Said
from famulus_builtin.words import row, stem, stems, words
from famulus_schemas.inference import ChatRequest, OfferedFunction

CALLS_MAX = 8

# Verbs that many functions' names begin with; they tell little of what a function is about.
_VERBS = frozenset(
    map(
        stem,
        row(
            """
            get fetch do make run call use list set find create add update delete remove send show
            check search look read write query execute handle process perform tool function api
            compute calculate book order open close start stop play cancel schedule convert
            translate track
            """
        ),
    )
)
_SAYS_NOTHING = row("get fetch do run call use tool function api perform execute handle")
_SEARCHES_FILES = re.compile(
    r"(?:file|doc|document|knowledge|handbook|archive|vector)s?_?(?:base_?)?(?:search|lookup|retrieval|query)"
    r"|(?:search|query|lookup|find_in|retrieve)_?(?:the_)?(?:file|doc|document|knowledge|vector)"
    r"|^retriev",
    re.IGNORECASE,
)


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call to make; `arguments` is JSON text."""

    name: str
    arguments: str


class CannotCall(Exception):
    """What was asked of the functions cannot be done; the message is for the client."""


def calls_for(request: ChatRequest, asked: str, *, is_answered: bool, is_chat: bool) -> list[Call]:
    """The calls to make now; empty where the answer shall be text.

    `is_answered`: results of calls have just come. `is_chat`: the words are small talk, which no
    search would help with.
    """
    asked = asked[:CHARS_MAX]
    offered = [tool.function for tool in request.tools or ()]
    choice = request.tool_choice or "auto"
    if choice == "none":
        return []
    if isinstance(choice, dict):
        return [_call(_named(choice, offered), asked)]
    if not offered:
        return []
    several = request.parallel_tool_calls is not False
    if choice == "required":
        best = max(offered, key=lambda one: score(one, asked))
        return _spread(best, asked) if several else [_call(best, asked)]
    if is_answered:
        return []
    return _wanted(offered, asked, several=several, is_chat=is_chat)


def _named(choice: dict[str, Any], offered: Sequence[OfferedFunction]) -> OfferedFunction:
    named = choice.get("function") or choice
    if not isinstance(named, dict):
        raise CannotCall("tool_choice names no function by its `name`")
    name = named.get("name")
    for function in offered:
        if function.name == name:
            return function
    raise CannotCall(f"tool_choice names the function {name!r:.80}, which is not among the tools")


def _wanted(
    offered: Sequence[OfferedFunction], asked: str, *, several: bool, is_chat: bool
) -> list[Call]:
    if several:
        pairs = _of_clauses(offered, asked)
        if len({function.name for function, _ in pairs}) > 1:
            return [_call(function, clause, asked) for function, clause in pairs][:CALLS_MAX]
    best = max(offered, key=lambda one: score(one, asked))
    if score(best, asked) >= FITS:
        return _spread(best, asked) if several else [_call(best, asked)]
    searching = [one for one in offered if _SEARCHES_FILES.search(one.name)]
    if searching and asked.strip() and not is_chat:
        return [_call(searching[0], asked)]
    return []


FITS = 3.0
"""From this score on, the words are taken to mean the function."""


def score(function: OfferedFunction, asked: str) -> float:
    """How much the words have in common with a function's name and description."""
    spoken = set(stems(asked)) | {stem(word) for word in words(asked) if word in _VERBS}
    if re.search(rf"(?<!\w){re.escape(function.name)}(?!\w)", asked):
        return 100.0
    name = [stem(word) for word in words(function.name)]
    nouns = {one for one in name if one not in _VERBS}
    verbs = {one for one in name if one in _VERBS and one not in _SAYS_NOTHING}
    described = set(stems(function.description or "")) - nouns - verbs
    properties = {one for key in _properties(function) for one in stems(key)} - nouns - described
    total = 3.0 * len(nouns & spoken) + 1.5 * len(verbs & spoken) + 0.5 * len(properties & spoken)
    return total + min(3.0, 1.0 * len(described - _VERBS & spoken)) + _said_choices(function, asked)


def _said_choices(function: OfferedFunction, asked: str) -> float:
    """A little for a value of an enum that was said."""
    spoken = set(stems(asked))
    for part in _properties(function).values():
        for value in part.get("enum", ()) if isinstance(part, dict) else ():
            if isinstance(value, str) and set(stems(value)) & spoken:
                return 1.0
    return 0.0


def _properties(function: OfferedFunction) -> dict[str, Any]:
    properties = (function.parameters or {}).get("properties")
    return properties if isinstance(properties, dict) else {}


def _of_clauses(
    offered: Sequence[OfferedFunction], asked: str
) -> list[tuple[OfferedFunction, str]]:
    """The function that each clause asks for, where the clauses ask for different ones."""
    pairs: list[tuple[OfferedFunction, str]] = []
    for clause in re.split(r"[.?!;]\s+|,?\s+(?:and|then|and then|also)\s+", asked):
        best = max(offered, key=lambda one: score(one, clause))
        if score(best, clause) >= FITS and best not in [function for function, _ in pairs]:
            pairs.append((best, clause))
    return pairs


def _spread(function: OfferedFunction, asked: str) -> list[Call]:
    """A call for each member of `in Oslo, Rome and Bonn` where the function takes one of them."""
    first = _call(function, asked)
    filled = msgspec.json.decode(first.arguments)
    wholes = [key for key, value in filled.items() if isinstance(value, str)]
    for key in wholes:
        members = _members(asked, filled[key])
        if len(members) > 1 and len(wholes) <= 2 and not _takes_sentences(key):
            return [_with(first, key, one) for one in members][:CALLS_MAX]
    return [first]


def _takes_sentences(key: str) -> bool:
    return bool({"query", "question", "text", "message", "prompt", "input"} & set(words(key)))


def _with(call: Call, key: str, value: str) -> Call:
    changed = msgspec.json.decode(call.arguments) | {key: value}
    return Call(name=call.name, arguments=msgspec.json.encode(changed).decode())


def _members(asked: str, first: str) -> list[str]:
    """The names that are listed together with `first`, which is the first of them."""
    names = Said(asked).names
    found = [first]
    at = next((span.end for span in names if span.value == first), None)
    for span in names:
        if at is None or span.start < at:
            continue
        between = asked[at : span.start].lower()
        if not re.fullmatch(
            r"\s*(?:,|and|or|&|vs\.?|versus|,\s*and|,\s*or)\s*(?:(?:in|for|of|at|to)\s+)?(?:the\s+)?",
            between,
        ):
            break
        found.append(span.value)
        at = span.end
    return list(dict.fromkeys(found))


def _call(function: OfferedFunction, asked: str, context: str = "") -> Call:
    """A call with its arguments from the words; what a clause lacks, the whole sentence gives."""
    schema = function.parameters or {"type": "object", "properties": {}}
    dull = {stem(word) for word in words(function.name)}
    try:
        arguments = fill(schema, asked, dull=dull)
        if context and not _is_said(arguments, asked):
            arguments = fill(schema, context, dull=dull)
    except SchemaUnusable as error:
        raise CannotCall(
            f"the parameters of {function.name!r} cannot be filled: {error}"
        ) from error
    if not isinstance(arguments, dict):
        arguments = {}
    return Call(name=function.name, arguments=msgspec.json.encode(arguments).decode())


def _is_said(arguments: Any, asked: str) -> bool:
    """Whether all texts among the arguments stand in the words."""
    values = arguments.values() if isinstance(arguments, dict) else ()
    return all(value in asked for value in values if isinstance(value, str))
