"""What came of it, for people."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ledger import Finding

PAGE = Path(__file__).with_name("RESULTS.md")
KINDS = ("lost", "doubled", "half-made", "stuck", "wrong", "unreached")


@dataclass(frozen=True)
class Row:
    """One store."""

    store: str
    processes: int
    deaths: int
    points: int
    acknowledged: int
    unanswered: int
    failed_by_loss: int
    findings: Sequence[Finding]

    def __add__(self, other: Row) -> Row:
        """Both chapters of one store together."""
        return Row(
            store=self.store,
            processes=self.processes,
            deaths=self.deaths + other.deaths,
            points=self.points + other.points,
            acknowledged=self.acknowledged + other.acknowledged,
            unanswered=self.unanswered + other.unanswered,
            failed_by_loss=self.failed_by_loss + other.failed_by_loss,
            findings=[*self.findings, *other.findings],
        )

    def cells(self) -> list[str]:
        """As the table shows it."""
        counts = [sum(finding.kind == kind for finding in self.findings) for kind in KINDS]
        numbers = (self.deaths, self.points, self.acknowledged, self.unanswered, *counts)
        store = f"{self.store}, {self.processes} process" + "es" * (self.processes > 1)
        return [store, *map(str, numbers), str(self.failed_by_loss)]


HEAD = (
    "store", "deaths", "points", "acknowledged", "unanswered", *KINDS, "given up"
)  # fmt: skip


def page(rows: Sequence[Row], *, seed: int, profile: str, seconds: float) -> str:
    """The table, and how it came about."""
    lines = [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    lines += [f"| {' | '.join(row.cells())} |" for row in rows]
    return "\n".join([f"{profile} profile, seed {seed}, {seconds:.0f} s", "", *lines, ""])


def keep(text: str) -> None:
    """Put it in RESULTS.md."""
    when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    PAGE.write_text(
        f"# The last crash test\n\n{when}, {machine}, "
        f"{text}\n"
        "*Acknowledged* are writes that were answered, and events but deltas that a stream told.\n"
        "*Given up* are runs that failed because their process was lost three times, and say so.\n"
        "What the other columns count is told in [README.md](README.md).\n"
    )
