"""The report: how far a server is OpenAI's API, the same for the same findings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from famulus_conformance.findings import Aspect
from famulus_conformance.oracle import Oracle, OracleOperation
from famulus_conformance.overlay import overlay
from famulus_conformance.verdict import ASPECTS, Verdict

NAMES = ("REPORT.md", "REPORT.json")
MEASURED_BY_DOCUMENT: tuple[Aspect, ...] = ("properties", "limits")
"""What only the document knows all of, so that only it can say how much of it is met."""


class Report:
    """A verdict, written down."""

    def __init__(self, oracle: Oracle, verdict: Verdict, *, server: str) -> None:
        self._oracle = oracle
        self._verdict = verdict
        self._server = server
        self._groups = tuple(dict.fromkeys(each.group for each in verdict.operations))

    def write(self, folder: Path) -> None:
        """Both files, into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in zip(NAMES, (self.markdown(), self.as_json()), strict=True):
            (folder / name).write_text(text, encoding="utf-8")

    # --- for machines ---------------------------------------------------------------------------

    def as_json(self) -> str:
        """All of it, as JSON."""
        return json.dumps(self._told(), indent=2, ensure_ascii=False) + "\n"

    def _told(self) -> dict[str, Any]:
        verdict = self._verdict
        return {
            "server": self._server,
            "oracle": self._oracle.name,
            "oracle_is_document": self._oracle.is_document,
            "ran": list(verdict.ran),
            "operations": [self._told_of(each) for each in verdict.operations],
            "groups": {each: self._shares(each) for each in self._groups},
            "total": self._shares(""),
            "known": [
                {"why": why, "findings": [f"{one.operation}: {one.what}" for one in found]}
                for why, found in verdict.known().items()
            ],
            "overlay": [{"what": each.what, "why": each.why} for each in overlay().deviation],
            "broken": [f"{each.operation}: {each.what}" for each in verdict.broken()],
        }

    def _told_of(self, operation: OracleOperation) -> dict[str, Any]:
        told: dict[str, Any] = {
            "id": operation.id,
            "operation": str(operation),
            "group": operation.group,
            "implemented": operation.id in self._verdict.served,
        }
        for aspect in ASPECTS[1:]:
            count = self._verdict.counts.get((operation.id, aspect))
            if count is not None:
                told[aspect] = {"kept": count.kept, "known": count.known, "of": count.of}
        return told

    def _shares(self, group: str) -> dict[str, Any]:
        shares: dict[str, Any] = {}
        for aspect in self._verdict.ran:
            whole, operations = self._verdict.whole(aspect, group)
            shares["operations"] = operations
            if self._is_measured(aspect):
                shares[aspect] = {"whole": whole, "percent": _percent(whole, operations)}
        return shares

    def _is_measured(self, aspect: Aspect) -> bool:
        return self._oracle.is_document or aspect not in MEASURED_BY_DOCUMENT

    # --- for people -----------------------------------------------------------------------------

    def markdown(self) -> str:
        """All of it, as a page."""
        parts = (self._head(), self._by_group(), self._by_operation(), self._known(), self._rest())
        return "\n".join(line for part in parts for line in part).rstrip() + "\n"

    def _head(self) -> Iterator[str]:
        yield "# How far it is OpenAI's API"
        yield ""
        yield f"Judged was {self._server}, by {self._oracle.name}."
        count = len(self._verdict.operations)
        yield f"Percentages are of all {count} operations that were asked of, served or not;"
        yield "one counts where nothing of it deviates but what is explained below."
        if not self._oracle.is_document:
            yield ""
            yield "Properties and limits are not given in percent: only OpenAI's document has all."
        for aspect in ASPECTS:
            if aspect not in self._verdict.ran:
                yield ""
                yield f"Not run: {aspect}."
        yield ""

    def _by_group(self) -> Iterator[str]:
        yield "## By group"
        yield ""
        yield from _row("group", "operations", *ASPECTS)
        yield from _rule(len(ASPECTS) + 2)
        for row in self._group_rows():
            yield from _row(*row)
        yield ""

    def _share(self, aspect: Aspect, group: str) -> str:
        if aspect not in self._verdict.ran:
            return "not run"
        if not self._is_measured(aspect):
            return "by document only"
        return f"{_percent(*self._verdict.whole(aspect, group)):g} %"

    def table(self) -> str:
        """The table of groups, for a terminal."""
        rows = [("group", "operations", *ASPECTS), *self._group_rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )

    def _group_rows(self) -> Iterator[tuple[str, ...]]:
        for group in (*self._groups, ""):
            _, operations = self._verdict.whole("implemented", group)
            shares = (self._share(aspect, group) for aspect in ASPECTS)
            yield (group or "all", str(operations), *shares)

    def _by_operation(self) -> Iterator[str]:
        yield "## By operation"
        yield ""
        yield "Kept of looked at, and how many more are knowingly different."
        yield ""
        yield from _row("operation", *ASPECTS)
        yield from _rule(len(ASPECTS) + 1)
        for operation in self._verdict.operations:
            cells = (self._cell(operation, aspect) for aspect in ASPECTS)
            yield from _row(f"`{operation}`", *cells)
        yield ""

    def _cell(self, operation: OracleOperation, aspect: Aspect) -> str:
        if aspect not in self._verdict.ran:
            return "not run"
        if aspect == "implemented":
            return "yes" if operation.id in self._verdict.served else "no"
        count = self._verdict.counts.get((operation.id, aspect))
        if count is None:
            return "-"
        known = f" + {count.known}" if count.known else ""
        return f"{count.kept}{known} of {count.of}"

    def _known(self) -> Iterator[str]:
        yield "## Knowingly different"
        yield ""
        yield "In what every server is held to:"
        yield ""
        for entry in overlay().deviation:
            only = f" (by the {entry.only} only)" if entry.only else ""
            yield f"- {entry.why}{only}  "
            yield f"  `{entry.what}`"
        yield ""
        for why, findings in self._verdict.known().items():
            operations = ", ".join(dict.fromkeys(each.operation for each in findings))
            yield f"- {why} ({len(findings)} times: {operations})"
        yield ""

    def _rest(self) -> Iterator[str]:
        yield "## Not as it should be"
        yield ""
        broken = self._verdict.broken()
        yield from (f"- {each.operation}: {each.what} ({each.aspect})" for each in broken)
        if not broken:
            yield "Nothing."


def _row(*cells: str) -> Iterator[str]:
    yield f"| {' | '.join(cells)} |"


def _rule(columns: int) -> Iterator[str]:
    yield from _row(*(["---"] * columns))


def _percent(part: int, whole: int) -> float:
    """Rounded down, so that 100 is all of it."""
    return int(1000 * part / whole) / 10 if whole else 100.0
