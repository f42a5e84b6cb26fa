"""A configuration's mistakes: where in its file they are, and what was perhaps meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

Lines = Mapping[tuple[str, str], int]
"""Line numbers by table and key, and of the tables themselves, whose key is empty."""

NO_LINES: Lines = {}

_HEADER = re.compile(r"\s*\[+([^\]\[]+)\]")
_KEY = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*[.=]""")
_QUOTES = str.maketrans("", "", "\"' \t")


def lines_of(text: str) -> Lines:
    """The lines of a TOML text on which tables begin and keys are. Parts in odd forms are missed.

    What lies deeper than a plugin's own settings is where its setting is first named.
    """
    found: dict[tuple[str, str], int] = {}
    table = below = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            parts = header[1].translate(_QUOTES).split(".")
            depth = 2 if parts[0] == "plugins" else 1
            table, below = ".".join(parts[:depth]), ".".join(parts[depth : depth + 1])
            found.setdefault((table, below), number)
            found.setdefault((table, ""), number)
        elif (key := _KEY.match(line)) and not below:
            found.setdefault((table, key[1] or key[2] or key[3]), number)
    return found


def place(source: str, lines: Lines, table: str, key: str = "") -> str:
    """The file, with the line where that is known."""
    line = lines.get((table, key))
    return source if line is None else f"{source}:{line}"


def meant(name: str, known: Iterable[str], *, written: str = "{!r}") -> str:
    """A question after the name that is nearest to this one; empty where none is near."""
    near = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {written.format(near[0])}?" if near else ""


_PASSWORD = re.compile(r"(://[^\s/@:?#]*:)[^\s/@]*(?=@)")
_IN_QUERY = re.compile(
    r"(?i)([?&](?:password|passwd|pwd|token|secret|key|api_key|apikey|sig)=)[^&\s'\"`]*"
)


def without_passwords(text: str) -> str:
    """A text without the passwords of the URLs in it."""
    return _IN_QUERY.sub(r"\1***", _PASSWORD.sub(r"\1***", text))


class ConfigError(Exception):
    """The configuration cannot be used; says of each mistake where, and what would be accepted."""

    def __init__(self, *mistakes: str) -> None:
        self.mistakes = tuple(map(without_passwords, mistakes))
        super().__init__("\n".join(self.mistakes))
