"""Which of the user's words a text property takes, by the kind of thing that it asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from famulus_builtin.arithmetic import sum_in
from famulus_builtin.kinds import Kind
from famulus_builtin.said import COMMANDS, Said, Span
from famulus_builtin.words import EMPTY, row, stem

_PLACES = ("in", "at", "near", "around", "for", "of", "from", "to")
_PERSONS = ("to", "for", "with", "named", "called", "by", "of", "is", "am")
_SEARCHES = ("search (?:the web |online )?for", "look up", "look for", "google")
_SAYINGS = ("saying", "says", "that says", "saying that", "with the text")


def clear(said: Said, kind: Kind) -> Iterator[Span]:
    """What the words clearly say for a property of this kind."""
    plain = {
        Kind.EMAIL: said.emails,
        Kind.URL: said.urls,
        Kind.DATE: said.dates,
        Kind.TIME: said.times,
        Kind.CODE: said.codes,
        Kind.PATH: said.paths,
        Kind.ID: [*said.ids, *said.numbers],
    }
    yield from plain.get(kind, ())
    if kind is Kind.ORIGIN:
        yield from said.after("from")
    elif kind is Kind.DESTINATION:
        yield from said.after("to", "into", "towards")
        yield from _names_after(said, "in", "for", "at")
    elif kind is Kind.PLACE:
        yield from _names_after(said, *_PLACES)
        yield from said.names
        yield from said.after("in", "at", "near", "around")
        yield from said.opener
    elif kind is Kind.LANGUAGE:
        yield from _names_after(said, "to", "into", "in", "from")
        yield from said.after("to", "into")
    elif kind is Kind.PERSON:
        yield from _names_after(said, *_PERSONS)
        yield from said.opener
        yield from said.names
    elif kind is Kind.SUM:
        shown = sum_in(said.text)
        at = said.text.find(shown) if shown else -1
        yield from (Span(at, at + len(shown or ""), one) for one in (shown,) if one and at >= 0)
    else:
        yield from _clear_sentences(said, kind)


def _clear_sentences(said: Said, kind: Kind) -> Iterator[Span]:
    if kind is Kind.TITLE:
        yield from said.after("called", "named", "titled", "entitled")
        yield from said.quotes
    elif kind is Kind.TEXT:
        yield from said.quotes
        yield from said.rest_after(*_SAYINGS, "because of", "because", "due to")
        for match in re.finditer(r":\s+(\S.*)", said.text):
            yield Span(match.start(1), match.end(1), match[1].strip())
    elif kind is Kind.QUERY:
        yield from said.quotes
        yield from said.rest_after(*_SEARCHES)


def likely(said: Said, kind: Kind) -> Iterator[Span]:
    """What may be meant where nothing is clear, likelier first."""
    if kind is Kind.TITLE:
        yield from said.rest_after("about", "to", "on")
    elif kind is Kind.TEXT:
        yield from said.rest_after("that")
        yield from said.rest_after("to")
    elif kind is Kind.QUERY and not said.text.rstrip().endswith("?"):
        yield from said.rest_after("about")
    if kind in (Kind.TEXT, Kind.QUERY):
        # The place is empty: all words are repeated, and stay free for other properties.
        yield Span(0, 0, said.text.strip())
    yield from said.quotes
    yield from said.names
    yield from said.ids
    yield from said.counted
    yield from said.after("for", "of", "about", "in", "on", "to", "with", "at", "from")
    yield from said.opener
    yield from _remainder(said)


def moments(said: Said) -> Iterator[Span]:
    """A date and a time of day together; a date alone begins at midnight."""
    for day in said.free(said.dates):
        for time in [*said.free(said.times), Span(0, 0, "00:00")]:
            if re.fullmatch(r"\d{4}-\d\d-\d\d", day.value):
                yield Span(*day[:2], f"{day.value}T{time.value}:00Z")
            yield Span(*day[:2], f"{day.value} {time.value}" if time.end else day.value)
    yield from said.free(said.times)


def _names_after(said: Said, *leads: str) -> Iterator[Span]:
    return (span for span in said.names if said.word_before(span) in leads)


def _remainder(said: Said) -> Iterator[Span]:
    """The words that mean something, from the first to the last of them."""
    found = [m for m in re.finditer(r"[^\W_][\w'-]*", said.text) if m[0].lower() not in EMPTY]
    while found and (found[0][0].lower() in COMMANDS or stem(found[0][0]) in said.dull):
        found.pop(0)
    while found and (found[-1][0].lower() in _TRAILING or stem(found[-1][0]) in said.dull):
        found.pop()
    if found:
        start, end = found[0].start(), found[-1].end()
        yield Span(start, end, said.text[start:end])


_TRAILING = row("mean means work works")
