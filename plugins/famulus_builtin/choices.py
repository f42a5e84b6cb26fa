"""Which of a few given values was meant: an enum's, or true and false."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from famulus_builtin.named import assigned_bool
from famulus_builtin.said import Said, Span
from famulus_builtin.words import row, stem, stems, words

_NO = row("no not without never don't dont disable exclude skip off false non except")
_SWITCHES = row("on state enabled power status")
_HOLLOW = row("is has use flag allow include enable")
_SWITCHED = re.compile(
    r"\b(?:turn|switch|power)\b[^.!?]{0,60}?\b(on|off)\b"
    r"|\b(enable|disable|activate|deactivate)\b",
    re.IGNORECASE,
)
_IS_ON = {"on": True, "enabled": True, "off": False, "disabled": False}


def chosen(said: Said, choices: list[Any]) -> Iterator[tuple[Any, Span | None]]:
    """Values of an enum that were said; the longest first, since it says most."""
    for value in sorted(choices, key=lambda one: -len(str(one))):
        span = _mention(said, value)
        if span is not None:
            yield value, span
    switched = _switched(said.text)
    for value in choices:
        if switched is not None and isinstance(value, str) and _IS_ON.get(value) is switched:
            yield value, None


def truth(said: Said, name: str) -> Iterator[bool]:
    """Whether a property was affirmed or denied, by the clearest sign first."""
    signs = [assigned_bool(said, name), _mentioned(said, name)]
    if _SWITCHES & set(words(name)):
        signs.append(_switched(said.text))
    return (sign for sign in signs if sign is not None)


def _mention(said: Said, value: Any) -> Span | None:
    """Where a value is said, in this or a kindred form."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return next((span for span in said.numbers if float(span.value) == value), None)
    parts = words(value) if isinstance(value, str) else []
    if not parts:
        return None
    if len(value) == 1:
        match = re.search(rf"(?<!\w){re.escape(value)}(?!\w)", said.text)
    else:
        pattern = r"[\s_-]+".join(re.escape(part) for part in parts)
        match = re.search(rf"(?<!\w){pattern}(?!\w)", said.text, re.IGNORECASE)
    if match is None and len(parts) == 1 and len(value) > 3:
        kin = (
            one for one in re.finditer(r"[^\W\d_]{4,}", said.text) if stem(one[0]) == stem(value)
        )
        match = next(kin, None)
    return Span(match.start(), match.end(), value) if match else None


def _mentioned(said: Said, name: str) -> bool | None:
    """True where the property is spoken of, False where it is spoken of and denied."""
    wanted = {one for one in stems(name) if one not in _HOLLOW}
    spoken = [(match.start(), stem(match[0])) for match in re.finditer(r"[^\W\d_]+", said.text)]
    places = [at for at, one in spoken if one in wanted]
    if not wanted or not wanted <= {one for _, one in spoken}:
        return None
    before = re.findall(r"[\w']+", said.text[max(0, places[0] - 60) : places[0]].lower())[-3:]
    return not _NO & set(before)


def _switched(text: str) -> bool | None:
    match = _SWITCHED.search(text)
    return (match[1] or match[2]).lower() in ("on", "enable", "activate") if match else None
