"""All in which a server's own document differs from OpenAI's, each with the overlay's reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from famulus_conformance.comparison import Comparison
from famulus_conformance.overlay import Deviation, Told, overlaid, overlay

Json = Mapping[str, Any]


class Difference:
    """The differences, by reason."""

    def __init__(self, theirs: Json, ours: Json) -> None:
        self.theirs = theirs
        self.ours = ours
        self.not_served = Comparison(theirs, ours).not_served()
        self.of_its_own = Comparison(theirs, ours).of_its_own()
        self.explained: dict[str, list[str]] = {}
        """Lines by the reason of the entry that explains them."""
        self.unneeded: list[str] = []
        """Entries that explain nothing, though they are of operations that are served."""
        self.unexplained = self._lines(theirs)
        self._by_deviations()
        self._by_told()

    def text(self, title: str) -> str:
        """All of it, to be kept in a file."""
        return "\n".join(self._written(title)).rstrip() + "\n"

    def _written(self, title: str) -> Iterator[str]:
        yield title
        sections: list[tuple[str, Sequence[str]]] = [
            ("Not served", self.not_served),
            ("Of our own", self.of_its_own),
            *self.explained.items(),
            ("WITHOUT A REASON", self.unexplained),
        ]
        for name, lines in sections:
            if lines:
                yield from ("", f"## {name}", "", *lines)

    def _lines(self, theirs: Json) -> list[str]:
        return list(Comparison(theirs, self.ours).differences())

    def _by_deviations(self) -> None:
        """Apply one entry after the other: what it takes away, it explains."""
        document = self.theirs
        for entry in overlay().deviation:
            if entry.only not in (None, "document") or entry.never_succeeds:
                continue
            document = overlaid(document, "document", [entry])
            left = self._lines(document)
            gone = [line for line in self.unexplained if line not in left]
            self._explain(entry, gone)
            self.unexplained = left

    def _explain(self, entry: Deviation, lines: list[str]) -> None:
        if lines:
            self.explained.setdefault(entry.why, []).extend(lines)
        elif not entry.of_others and not entry.on_wire:
            self.unneeded.append(entry.what)

    def _by_told(self) -> None:
        for told in overlay().told:
            lines = [line for line in self.unexplained if _tells(told, line)]
            self.explained.setdefault(told.why, []).extend(lines)
            self.unexplained = [line for line in self.unexplained if line not in lines]
            self.unneeded += [
                pattern
                for pattern in told.lines
                if not any(fnmatchcase(line, pattern) for line in lines)
            ]


def _tells(told: Told, line: str) -> bool:
    return any(fnmatchcase(line, pattern) for pattern in told.lines)
