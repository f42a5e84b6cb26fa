"""What can be picked out of a user's words: names, numbers, dates, quotations and the like."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from typing import NamedTuple

from famulus_builtin.words import EMPTY, row, stem

CHARS_MAX = 4_000
"""Of a longer text, only so much is looked through."""


class Span(NamedTuple):
    """A place in the text, and what it stands for."""

    start: int
    end: int
    value: str

    def meets(self, other: Span) -> bool:
        """Whether the two share a character."""
        return self.start < other.end and other.start < self.end


COMMANDS = row(
    """
    add ask book build buy calculate call cancel change check close compare compute convert copy
    count create delete describe do email estimate explain fetch file find forecast get give go
    hello help hey hi how invite launch let list locate lock log look lookup mail make message move
    note notify open order pause pay pick plan play post print put query raise read record remind
    remove rename reply report request reserve reset resume retrieve return run save say schedule
    search select send set share show sort start stop submit subtract sum summarise summarize switch
    tell text thanks track transfer translate trigger turn unlock update upload use using verify
    wake write
    """
)
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_MONTH = rf"(?:{'|'.join(_MONTHS)}|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)"
_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_CALENDAR = re.compile(rf"(?:{_MONTH}|{_DAY})", re.IGNORECASE)
_COUNTED = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen", "twenty"),
)
_NUMBER_WORDS = {word: str(value) for value, word in enumerate(_COUNTED)} | {
    "dozen": "12",
    "thirty": "30",
    "forty": "40",
    "fifty": "50",
    "sixty": "60",
    "hundred": "100",
}

_CAPITAL = r"[A-Z\u00c0-\u00de][\w&-]*(?:['\u2019](?!s\b)\w+)*"
_NAME = re.compile(
    rf"\b{_CAPITAL}(?: (?:(?:de|la|van|von|der|of|the|da|di|el|del) ){{0,2}}{_CAPITAL})*"
    r"(?:, [A-Z]{2}\b)?"
)
_NUMBER = re.compile(
    r"(?<![\w.,:#/-])[$\u20ac\u00a3]?(-?\d{1,15}(?:,\d{3})*(?:\.\d{1,15})?)(?![\d:/]|-\d)"
)
_NUMBER_WORD = re.compile(rf"\b(?:{'|'.join(_NUMBER_WORDS)})\b", re.IGNORECASE)
_QUOTE = re.compile(
    r"\"([^\"]+)\"|\u201c([^\u201d]+)\u201d|\u00ab([^\u00bb]+)\u00bb"
    r"|(?<!\w)['\u2018]([^'\u2019]+)['\u2019](?!\w)"
)
_CODE = re.compile(r"```(?:\w*\n)?(.+?)```|`([^`]+)`", re.DOTALL)
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+")
_URL = re.compile(r"\bhttps?://[^\s<>\"')]+[^\s<>\"').,;:!?]")
_ID = re.compile(r"#(\w+)|\b((?=[\w-]*\d)[A-Za-z]\w*(?:-\w+)*)\b")
_PATH = re.compile(
    r"(?<![\w/])(?:[~.]{0,2}/[\w./-]{0,200}\w"
    r"|[\w-]{1,80}(?:/[\w.-]{1,80}){0,8}\.[A-Za-z]\w{0,4})\b"
)
_PLEASE = re.compile(r",? please$", re.IGNORECASE)
_ISO_DATE = re.compile(r"\b(\d{4})-(\d\d?)-(\d\d?)\b")
_DAY_FIRST = re.compile(
    rf"\b(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? ({_MONTH})\b,?(?: (\d{{4}}))?", re.IGNORECASE
)
_MONTH_FIRST = re.compile(
    rf"\b({_MONTH}) (\d{{1,2}})(?:st|nd|rd|th)?\b(?:,? (\d{{4}}))?", re.IGNORECASE
)
_RELATIVE = re.compile(
    rf"\b(?:today|tomorrow|yesterday|tonight|(?:(?:next|this|last) )?{_DAY}|"
    r"(?:next|this|last) (?:week|weekend|month|year|morning|afternoon|evening))\b",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"\b(?:([01]?\d|2[0-3]):([0-5]\d)(?:\s*([ap])\.?m\b)?"
    r"|(1[0-2]|0?[1-9])\s*([ap])\.?m\b|(noon|midnight))",
    re.IGNORECASE,
)
_STOP = re.compile(r"[.!?]+(?=\s|$)|[,;:()\n\"]")


class Said:
    """A text, and what was found in it; each finding can be claimed once."""

    def __init__(self, text: str, dull: Collection[str] = ()) -> None:
        self.text = text[:CHARS_MAX]
        self.dull = frozenset(dull)
        """Stems of words that are no finding by themselves."""
        self._claimed: list[Span] = []

    def claim(self, span: Span) -> None:
        """Let nobody else have it."""
        self._claimed.append(span)

    def free(self, spans: Iterable[Span]) -> Iterator[Span]:
        """Those that nobody has claimed."""
        return (span for span in spans if not any(span.meets(one) for one in self._claimed))

    def word_before(self, span: Span) -> str:
        """The word just before, in lower case; empty at the start."""
        found = re.search(r"([\w']+)\W*$", self.text[max(0, span.start - 60) : span.start])
        return found[1].lower() if found else ""

    def words_after(self, span: Span, count: int = 2) -> list[str]:
        """The next words of the same clause, in lower case."""
        return re.findall(r"[^\W\d_]+", self._clause(span.end))[:count]

    def _clause(self, at: int, length: int = 200) -> str:
        rest = self.text[at : at + length]
        stop = _STOP.search(rest)
        return (rest[: stop.start()] if stop else rest).lower()

    @cached_property
    def quotes(self) -> list[Span]:
        """What stands in quotation marks."""
        return _spans(_QUOTE, self.text)

    @cached_property
    def codes(self) -> list[Span]:
        """What stands in backquotes."""
        return [Span(*span[:2], span.value.strip("\n")) for span in _spans(_CODE, self.text)]

    @cached_property
    def emails(self) -> list[Span]:
        """Addresses for mail."""
        return _spans(_EMAIL, self.text)

    @cached_property
    def urls(self) -> list[Span]:
        """Web addresses."""
        return _spans(_URL, self.text)

    @cached_property
    def ids(self) -> list[Span]:
        """Marks such as `ORD-12`, `#42` or `AB12`."""
        taken = [*self.urls, *self.emails, *self.dates, *self.times]
        return [span for span in _spans(_ID, self.text) if not _meets_any(span, taken)]

    @cached_property
    def names(self) -> list[Span]:
        """Words that begin with a capital, in groups, unless a sentence's beginning is why."""
        found = []
        for match in _NAME.finditer(self.text):
            span = self._without_command(match)
            if span is not None and not _meets_any(span, [*self.urls, *self.emails]):
                found.append(span)
        return found

    def _without_command(self, match: re.Match[str]) -> Span | None:
        start, value = match.start(), match[0]
        begins = re.search(r"(?:^|[.!?\n\"\u201c])\s*$", self.text[:start][-20:]) is not None
        parts = value.split(" ")
        while parts and (
            parts[0].lower() in EMPTY
            or stem(parts[0]) in self.dull
            or _CALENDAR.fullmatch(parts[0])
            or (begins and parts[0].lower() in COMMANDS)
        ):
            start += len(parts.pop(0)) + 1
        if parts and begins and len(parts) == 1 and start == match.start():
            # A capital at the beginning of a sentence says nothing; `opener` keeps the word.
            return None
        return Span(start, match.end(), " ".join(parts)) if parts else None

    @cached_property
    def opener(self) -> list[Span]:
        """The first word, where it has a capital and is neither empty nor a command."""
        match = re.match(rf"\s*({_CAPITAL})(?: {_CAPITAL})*", self.text)
        if match is None or match[1].lower() in EMPTY | COMMANDS or stem(match[1]) in self.dull:
            return []
        return [Span(match.start(1), match.end(), match[0].strip())]

    @cached_property
    def numbers(self) -> list[Span]:
        """Numbers, in figures or words, that are not part of a date, a time or a mark."""
        taken = [*self.dates, *self.times, *self.ids, *self.urls, *self.emails]
        figures = [
            Span(match.start(), match.end(), match[1].replace(",", ""))
            for match in _NUMBER.finditer(self.text)
        ]
        spoken = [
            Span(match.start(), match.end(), _NUMBER_WORDS[match[0].lower()])
            for match in _NUMBER_WORD.finditer(self.text)
        ]
        found = [span for span in (*figures, *spoken) if not _meets_any(span, taken)]
        return sorted(found)

    @cached_property
    def counted(self) -> list[Span]:
        """What numbers are said of: the lamps in `3 lamps`."""
        found = []
        for number in self.numbers:
            if self.text[number.end : number.end + 1] == " ":
                span = self._phrase(number.end + 1, 4)
                unit, of, thing = span.value.partition(" of ")
                start = span.start + len(unit + of) if of else span.start
                found.append(Span(start, span.end, thing or unit))
        return found

    @cached_property
    def paths(self) -> list[Span]:
        """Names of files and folders."""
        return _spans(_PATH, self.text)

    @cached_property
    def dates(self) -> list[Span]:
        """Dates: as YYYY-MM-DD where day, month and year are said, else in the user's words."""
        found = [
            Span(match.start(), match.end(), _iso(match[1], match[2], match[3]))
            for match in _ISO_DATE.finditer(self.text)
        ]
        for pattern, day, month in ((_DAY_FIRST, 1, 2), (_MONTH_FIRST, 2, 1)):
            for match in pattern.finditer(self.text):
                number = str(_month_number(match[month]))
                value = _iso(match[3], number, match[day]) if match[3] else match[0].strip(" ,")
                span = Span(match.start(), match.end(), value)
                if not _meets_any(span, found):
                    found.append(span)
        found += [span for span in _spans(_RELATIVE, self.text) if not _meets_any(span, found)]
        return sorted(found)

    @cached_property
    def times(self) -> list[Span]:
        """Times of day, as HH:MM."""
        return [
            Span(match.start(), match.end(), _clock(match)) for match in _TIME.finditer(self.text)
        ]

    def after(self, *leads: str, words_max: int = 4) -> Iterator[Span]:
        """What follows one of these words: a name, a quotation, or up to `words_max` words."""
        pattern = rf"\b(?:{'|'.join(leads)})\b:?\s+(?:(?:the|a|an|my|our)\s+)?"
        for match in re.finditer(pattern, self.text, re.IGNORECASE):
            known = [s for s in (*self.quotes, *self.names) if s.start == match.end()]
            yield known[0] if known else self._phrase(match.end(), words_max)

    def _phrase(self, start: int, words_max: int) -> Span:
        """The words from `start` to the first that carries no meaning."""
        clause = self._clause(start)
        end = 0
        for number, match in enumerate(re.finditer(r"[\w'\u2019-]+", clause)):
            if number == words_max or (match[0] in EMPTY and match[0] != "of"):
                break
            end = match.end()
        return Span(start, start + end, self.text[start : start + end])

    def rest_after(self, *leads: str) -> Iterator[Span]:
        """Everything that follows one of these words, to the end of the sentence."""
        pattern = rf"\b(?:{'|'.join(leads)})\b:?\s+([^\n]+?)(?=[.!?]{{1,3}}(?:\s|$)|\n|$)"
        for match in re.finditer(pattern, self.text, re.IGNORECASE):
            start = match.start(1)
            end = min((one.start for one in self._claimed if one.end > start), default=match.end(1))
            value = self.text[start : min(end, match.end(1))].rstrip(" ,")
            if value:
                yield Span(start, start + len(value), _PLEASE.sub("", value).strip("\"'"))


def _spans(pattern: re.Pattern[str], text: str) -> list[Span]:
    """Every match; its value is the group that took part, or all of it."""
    return [
        Span(match.start(), match.end(), next((g for g in match.groups() if g), match[0]))
        for match in pattern.finditer(text)
    ]


def _meets_any(span: Span, others: Iterable[Span]) -> bool:
    return any(span.meets(other) for other in others)


def _month_number(name: str) -> int:
    return next(n for n, month in enumerate(_MONTHS, 1) if month.startswith(name.lower()[:3]))


def _iso(year: str, month: str, day: str) -> str:
    return f"{year}-{int(month):02}-{int(day):02}"


def _clock(match: re.Match[str]) -> str:
    if match[6]:
        return "12:00" if match[6].lower() == "noon" else "00:00"
    hour, minute = int(match[1] or match[4]), match[2] or "00"
    half = (match[3] or match[5] or "").lower()
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    return f"{hour:02}:{minute}"
