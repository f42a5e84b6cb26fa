"""Retrieved passages: finding them in the messages, and the sentence that answers best."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from math import log
from typing import Any

import msgspec

from famulus_builtin.words import stem, stems, words

PASSAGES_MAX = 200
SENTENCES_MAX = 2_000
"""Of one passage."""
QUOTE_CHARS_MAX = 600
CONTEXT_CHARS_MAX = 2_000

_HEADING = re.compile(
    r"(?:context|passages?|documents?|excerpts?|sources?|knowledge|background|information|notes|"
    r"facts|search results|results|articles?|text)\b[^\n:]{0,80}:[ \t]*\n?",
    re.IGNORECASE,
)
_TAG = re.compile(
    r"<(context|documents?|passages?|sources?|chunk|results?)\b([^<>]{0,300})>", re.IGNORECASE
)
_ATTRIBUTE = re.compile(r"(?:file(?:_?name)?|name|source|title|id)\s*=\s*[\"']([^\"']+)[\"']", re.I)
_MARK = re.compile(r"\bmark\s*=\s*[\"'](\u3010[^\"'\u3011]+\u3011)[\"']", re.IGNORECASE)
_QUESTION = re.compile(r"(?:^|\n)[ \t]*(?:question|query|user|q)[ \t]*:[ \t]*", re.IGNORECASE)
_HEAD = re.compile(
    r"^[ \t]*(?:[-=#*]{2,8}[ \t]*)?"
    r"(?:\[(?P<number>\d{1,3})\]|(?P<mark>\u3010[^\u3011]{1,120}\u3011)|"
    r"(?:source|file|document|from|filename)[ \t]*:)"
    r"[ \t]*(?P<source>[\w./ -]{0,80}?\.\w{1,5})?[ \t]*[-=:]*[ \t]*",
    re.IGNORECASE | re.MULTILINE,
)
_BREAK = re.compile(r"(?<=[.!?])\s+|\n+")
_HOW = re.compile(r"\bhow (?:long|many|much|old|often|far|tall|big|late|soon)\b", re.IGNORECASE)


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of retrieved text."""

    text: str
    source: str = ""
    """What its file is called, where that is known."""
    mark: str = ""
    """A citation mark that came with it."""


class Quotation(msgspec.Struct, frozen=True, kw_only=True):
    """The words that answer best."""

    text: str
    passage: Passage
    covers: float
    """The share of the question's meaning that the passage speaks of."""


TEXT_CHARS_MAX = 400_000
"""Of a longer text, only so much is looked through."""


def in_result(text: str, *, is_search: bool) -> list[Passage]:
    """The passages of a tool's result; empty where it is of another kind."""
    try:
        found = _in_json(msgspec.json.decode(text))
    except msgspec.DecodeError:
        found = []
        if is_search or len(_HEAD.findall(text)) > 1 or _TAG.search(text):
            found = list(_in_text(text[:TEXT_CHARS_MAX]))
    return found[:PASSAGES_MAX]


def in_instructions(text: str) -> list[Passage]:
    """The passages that a prompt gives as context; empty where it gives none."""
    text = text[:TEXT_CHARS_MAX]
    tagged = list(_in_tags(text))
    if tagged:
        return tagged[:PASSAGES_MAX]
    heading = _HEADING.search(text)
    if heading is None or not text[heading.end() :].strip():
        return []
    return list(_in_text(text[heading.end() :]))[:PASSAGES_MAX]


def split_question(text: str) -> tuple[str, str]:
    """What stands before `Question:` in a message, and what stands after."""
    matches = list(_QUESTION.finditer(text))
    if not matches:
        return "", text
    return text[: matches[-1].start()], text[matches[-1].end() :]


def best(passages: Sequence[Passage], question: str) -> Quotation | None:
    """The sentence that has most of the question's rarer words, or None where none has any."""
    asked = tuple(dict.fromkeys(stems(_HOW.sub(" ", question))))
    wants_number = bool(_HOW.search(question)) or "when" in words(question)
    rows = [(passage, list(_sentences(passage.text))) for passage in passages]
    weight = _Weights(asked, [sentence for _, sentences in rows for sentence in sentences])
    found: Quotation | None = None
    most = 0.0
    for passage, sentences in rows:
        context = weight.of(f"{passage.source} {passage.text[:CONTEXT_CHARS_MAX]}")
        for sentence in sentences:
            value = weight.of(sentence) + 0.3 * context
            if value > 0 and wants_number and any(char.isdigit() for char in sentence):
                value += 0.7
            if value > most:
                text, most = sentence.strip()[:QUOTE_CHARS_MAX], value
                found = Quotation(text=text, passage=passage, covers=context / weight.whole)
    return found


class _Weights:
    """How much the words of a question weigh: the more, the fewer sentences have them."""

    def __init__(self, asked: Sequence[str], sentences: Sequence[str]) -> None:
        counts: Counter[str] = Counter()
        for sentence in sentences:
            counts.update(set(asked).intersection(stems(sentence)))
        total = len(sentences) + 1
        self._weights = {one: log(1 + total / (1 + counts[one])) for one in asked}
        self.whole = sum(self._weights.values()) or 1.0

    def of(self, text: str) -> float:
        """The weight of the question's words in a text."""
        # In a fixed order, because the sum of floats depends on it.
        present = set(stems(text))
        return sum(weight for one, weight in self._weights.items() if one in present)


def _sentences(text: str) -> Iterator[str]:
    """Sentences, less headings; a question goes with the sentence after it, its answer."""
    question = ""
    for sentence in islice(_BREAK.split(text), SENTENCES_MAX):
        if not sentence.strip() or sentence.lstrip().startswith("#"):
            continue
        if sentence.rstrip().endswith("?") and not question:
            question = f"{sentence.strip()} "
            continue
        yield question + sentence.strip()
        question = ""
    if question:
        yield question


def _in_json(value: Any) -> list[Passage]:
    """Objects that hold a text, under the names that search results go by."""
    if isinstance(value, dict):
        for key in ("results", "data", "passages", "documents", "chunks", "matches", "hits"):
            if isinstance(value.get(key), list):
                return _in_json(value[key])
        return []
    if not isinstance(value, list):
        return []
    found = []
    for one in value:
        text = _text_in(one) if isinstance(one, dict) else ""
        if text:
            found.append(Passage(text=text, source=_source_in(one)))
    return found


def _text_in(value: dict[str, Any]) -> str:
    for key in ("text", "content", "passage", "chunk", "snippet", "page_content", "body"):
        held = value.get(key)
        if isinstance(held, str):
            return held
        if isinstance(held, list):
            parts = [part.get("text") for part in held if isinstance(part, dict)]
            return "\n".join(part for part in parts if isinstance(part, str))
    return ""


def _source_in(value: dict[str, Any]) -> str:
    for key in ("filename", "file_name", "source", "title", "document", "name", "file_id", "id"):
        if isinstance(value.get(key), str):
            return str(value[key])
    return ""


def _in_tags(text: str) -> Iterator[Passage]:
    """Passages between tags such as `<document title="...">` and `</document>`; inner ones."""
    at = 0
    while tag := _TAG.search(text, at):
        end = text.lower().find(f"</{tag[1].lower()}>", tag.end())
        if end < 0:
            return
        inside = text[tag.end() : end]
        name, mark = _ATTRIBUTE.search(tag[2]), _MARK.search(tag[2])
        if name or mark:
            source = name[1] if name else ""
            yield Passage(text=inside.strip(), source=source, mark=mark[1] if mark else "")
        else:
            yield from _in_text(inside)
        at = end


def _in_text(text: str) -> Iterator[Passage]:
    """Passages under headings such as `[1] handbook.md`; else a passage for each paragraph."""
    tagged = list(_in_tags(text))
    if tagged:
        yield from tagged
        return
    heads = list(_HEAD.finditer(text))
    if not heads:
        yield from (Passage(text=one.strip()) for one in re.split(r"\n\s*\n", text) if one.strip())
        return
    ends = [head.start() for head in heads[1:]] + [len(text)]
    for head, end in zip(heads, ends, strict=True):
        body = text[head.end() : end].strip().strip("-=").strip()
        if body:
            yield Passage(text=body, source=(head["source"] or "").strip(), mark=head["mark"] or "")


def is_search(name: str) -> bool:
    """Whether a function of this name looks things up in texts."""
    return bool({"search", "retriev", "retrieval", "lookup"} & {stem(word) for word in words(name)})
