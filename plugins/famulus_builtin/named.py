"""What a text gives to a property by the property's own name."""

from __future__ import annotations

import re
from collections.abc import Iterator

from famulus_builtin.kinds import Kind
from famulus_builtin.said import Said, Span
from famulus_builtin.words import EMPTY, row, words

LIST_CHARS_MAX = 500
NAME_WORDS_MAX = 8

_SENTENCES = (Kind.TEXT, Kind.TITLE, Kind.QUERY)
_CLAUSE = re.compile(r"[^,;.\n]+")
_LEADS = row("with and the in of for to at a an")
_VALUE = r"(\"[^\"]+\"|'[^']+'|`[^`]+`|[A-Z][\w-]*(?: [A-Z][\w-]*)*|[\w@.+#/-]{0,80}[\w@+#/-])"


def spoken(name: str) -> str:
    """A pattern for a property's name as people say or write it; matches nothing for no name."""
    parts = [re.escape(word) for word in words(name)[:NAME_WORDS_MAX]]
    return r"[\s_-]*".join(parts) or r"(?!)"


def assigned(said: Said, name: str, kind: Kind) -> Iterator[Span]:
    """The value in `zone: North`, `the title is "X"` or `with priority 3`."""
    pattern = rf"(?i:\b{spoken(name)}\b)(\s*[:=]\s*|\s+(?:is|as|to|of)\s+|\s+){_VALUE}"
    for match in re.finditer(pattern, said.text):
        link, text = match[1].strip(), match[2]
        marked = text[0] in "\"'`" or text[:1].isupper() or any(char.isdigit() for char in text)
        lead = said.word_before(Span(*match.span(), ""))
        plain = link in (":", "=", "is", "as") or (not link and lead in _LEADS)
        if kind in _SENTENCES and link in ("to", "of"):
            continue
        if kind in _SENTENCES and link in (":", "=") and text[0] not in "\"'`":
            clause = _CLAUSE.match(said.text, match.start(2))
            text = clause[0].strip() if clause else text
        if (marked or plain) and text.lower() not in EMPTY:
            yield Span(match.start(2), match.start(2) + len(text), text.strip("\"'`"))


def listed(said: Said, name: str) -> list[Span]:
    """The members of `a, b and c` where such a list follows the property's name or a colon."""
    match = re.search(
        rf"(?:\b{spoken(name)}s?\b(?:\s+(?:are|is|of|like|such as))?\s*[:=]?|:)\s+([^.!?\n:]+)",
        said.text,
        re.IGNORECASE,
    )
    if match is None:
        return []
    found = []
    for part in re.finditer(r"(?:(?!\s(?:and|or)\s|,).)+", match[1][:LIST_CHARS_MAX]):
        value = re.sub(r"^(?:and|or|the|a|an)\s+", "", part[0].strip()).strip("\"'")
        if value:
            start = match.start(1) + part.start()
            found.append(Span(start, start + len(part[0]), value))
    return found


def assigned_bool(said: Said, name: str) -> bool | None:
    """The value in `force: yes`, or None."""
    pattern = rf"\b{spoken(name)}\b\s*(?:[:=]|is|to|as)?\s*\b(true|false|yes|no|on|off)\b"
    match = re.search(pattern, said.text, re.IGNORECASE)
    return match[1].lower() in ("true", "yes", "on") if match else None
