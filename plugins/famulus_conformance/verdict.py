"""What findings come to: kept, knowingly different, or not as it should be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Literal, get_args

import msgspec

from famulus_conformance.findings import Aspect, Finding
from famulus_conformance.oracle import OracleOperation
from famulus_conformance.overlay import Known, overlay
from famulus_conformance.probe_implemented import NOT_SERVED

ASPECTS: tuple[Aspect, ...] = get_args(Aspect)

Standing = Literal["kept", "known", "broken", "not served"]


class Judged(msgspec.Struct, frozen=True):
    """A finding, and how it stands."""

    finding: Finding
    standing: Standing
    why: str = ""
    """The reason, where it is known."""


class Count(msgspec.Struct):
    """How much was looked at of one operation in one respect."""

    kept: int = 0
    known: int = 0
    broken: int = 0

    @property
    def of(self) -> int:
        """All that was looked at."""
        return self.kept + self.known + self.broken


def judged(findings: Iterable[Finding]) -> list[Judged]:
    """How each finding stands, by the overlay."""
    known = overlay().known
    return [_judged(finding, known) for finding in findings]


def _judged(finding: Finding, known: Sequence[Known]) -> Judged:
    if finding.kept:
        return Judged(finding, "kept")
    if finding.detail == NOT_SERVED:
        return Judged(finding, "not served")
    entry = next((each for each in known if is_known(finding, each)), None)
    return Judged(finding, "known", entry.why) if entry else Judged(finding, "broken")


def is_known(finding: Finding, entry: Known) -> bool:
    """Whether an entry of the overlay speaks of a finding."""
    name = f"{finding.operation}: {finding.what}"
    if not any(fnmatchcase(name, pattern) for pattern in entry.findings):
        return False
    spaceless = finding.detail.replace(" ", "")
    return entry.code is None or f'"code":"{entry.code}"' in spaceless


class Verdict:
    """Findings by operation and respect."""

    def __init__(
        self,
        operations: Sequence[OracleOperation],
        findings: Iterable[Finding],
        ran: Iterable[Aspect],
    ) -> None:
        self.operations = operations
        self.ran = tuple(aspect for aspect in ASPECTS if aspect in set(ran))
        self.judged = judged(findings)
        self.served = {
            each.finding.operation
            for each in self.judged
            if each.finding.aspect == "implemented" and each.standing in ("kept", "known")
        }
        self.counts = self._counts()

    def _counts(self) -> Mapping[tuple[str, Aspect], Count]:
        counts: dict[tuple[str, Aspect], Count] = {}
        for each in self.judged:
            if each.standing != "not served":
                key = each.finding.operation, each.finding.aspect
                count = counts.setdefault(key, Count())
                setattr(count, each.standing, getattr(count, each.standing) + 1)
        return counts

    def broken(self) -> list[Finding]:
        """What is served and deviates, and nobody knows why."""
        return [each.finding for each in self.judged if each.standing == "broken"]

    def known(self) -> Mapping[str, list[Finding]]:
        """What is knowingly different, by reason."""
        found: dict[str, list[Finding]] = {}
        for each in self.judged:
            if each.standing == "known":
                found.setdefault(each.why, []).append(each.finding)
        return found

    def whole(self, aspect: Aspect, group: str = "") -> tuple[int, int]:
        """Of the oracle's operations, how many have nothing unknown in this respect."""
        operations = [each for each in self.operations if group in ("", each.group)]
        return sum(self._is_whole(each, aspect) for each in operations), len(operations)

    def _is_whole(self, operation: OracleOperation, aspect: Aspect) -> bool:
        count = self.counts.get((operation.id, aspect))
        if aspect == "implemented" or count is None:
            # Nothing to look at, such as limits of an operation that has none, is nothing wrong.
            return operation.id in self.served
        return operation.id in self.served and count.broken == 0
