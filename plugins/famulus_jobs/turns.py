"""Who comes next of those that wait: by priority, and project by project."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence

from famulus_jobs.kinds import decode_job
from famulus_schemas.records import Record

TURNS_MAX = 10_000
"""Projects whose last turn is remembered."""


class Turns:
    """Which project had its turn when."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, int] = OrderedDict()
        self._count = 0

    def of(self, project: str) -> int:
        """The number of its last turn; 0 where that is long ago."""
        return self._last.get(project, 0)

    def take(self, project: str) -> None:
        """It is its turn."""
        self._count += 1
        self._last[project] = self._count
        self._last.move_to_end(project)
        if len(self._last) > TURNS_MAX:
            self._last.popitem(last=False)

    def copy(self) -> Turns:
        """The same turns, which go on by themselves."""
        copy = Turns()
        copy._last = self._last.copy()
        copy._count = self._count
        return copy


def fairly(records: Sequence[Record], *, turns: Turns, limit: int) -> list[Record]:
    """The first so many: by priority, and within it of the project whose turn was longest ago."""
    by_priority: dict[int, dict[str, deque[Record]]] = {}
    for record in sorted(records, key=lambda record: record.seq):
        projects = by_priority.setdefault(decode_job(record.body).priority, {})
        projects.setdefault(record.project, deque()).append(record)
    ordered: list[Record] = []
    for _, projects in sorted(by_priority.items()):
        while projects and len(ordered) < limit:
            # Of those that have waited equally long for a turn, the oldest job's comes first.
            project = min(projects, key=lambda each: (turns.of(each), projects[each][0].seq))
            turns.take(project)
            ordered.append(projects[project].popleft())
            if not projects[project]:
                del projects[project]
    return ordered
