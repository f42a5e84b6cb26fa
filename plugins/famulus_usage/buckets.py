"""From a question to pages of buckets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from famulus import Problem
from famulus_schemas.errors import INTEGER_ABOVE, INVALID
from famulus_schemas.usage import What
from famulus_schemas.usage_answers import Bucket, BucketPage
from famulus_usage.cells import Cell, plus
from famulus_usage.times import SECONDS, Width, floor

T = TypeVar("T")
V = TypeVar("V")

LIMITS: dict[Width, tuple[int, int]] = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}
"""Buckets of a page: how many unless it is said, and at most."""
_PAGE = "page_"
NO_CELL = Cell(at=0)

Names = tuple[str | None, ...]


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The buckets of one page."""

    width: Width
    start: int
    end: int
    has_more: bool

    @property
    def next_page(self) -> str | None:
        """How the next one is asked for."""
        return f"{_PAGE}{self.end}" if self.has_more else None


def window_of(
    start_time: int,
    end_time: int | None,
    width: Width,
    limit: int | None,
    page: str | None,
    *,
    now: float,
    limits: tuple[int, int] | None = None,
    kept_from: float = 0,
) -> Window:
    """The buckets that a question asks for. Raises Problem naming what is wrong with it."""
    usual, most = limits or LIMITS[width]
    if limit is not None and limit > most:
        raise Problem(INTEGER_ABOVE, param="limit", name="limit", limit=most, got=limit)
    end = int(now) + 1 if end_time is None else end_time
    if end <= start_time:
        reason = "it is not before end_time" if end_time is not None else "it is in the future"
        raise Problem(INVALID, param="start_time", name="start_time", reason=reason)
    start = floor(start_time, width)
    if page is not None:
        start = _start_of(page, start, end, width)
    step = SECONDS[width]
    if start < floor(kept_from, width):
        reason = f"buckets of {width} are kept since {int(kept_from)}; ask for wider ones"
        raise Problem(INVALID, param="start_time", name="start_time", reason=reason)
    there = -(-(end - start) // step)
    count = min(limit or usual, there)
    return Window(width=width, start=start, end=start + count * step, has_more=count < there)


def _start_of(page: str, first: int, end: int, width: Width) -> int:
    text = page.removeprefix(_PAGE)
    if text != page and text.isascii() and text.isdigit() and len(text) < 16:
        start = int(text)
        if first <= start < end and start % SECONDS[width] == 0:
            return start
    reason = "give next_page of the answer before, to the same question"
    raise Problem(INVALID, param="page", name="page", reason=reason)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Which usage is meant; an empty collection is no condition."""

    what: Sequence[What]
    projects: Sequence[str] = ()
    users: Sequence[str] = ()
    keys: Sequence[str] = ()
    models: Sequence[str] = ()

    def has(self, project: str, cell: Cell) -> bool:
        """Whether this is among it."""
        pairs = (
            (self.projects, project),
            (self.users, cell.user),
            (self.keys, cell.key),
            (self.models, cell.model),
        )
        return cell.what in self.what and all(not names or name in names for names, name in pairs)


def grouped(
    rows: Iterable[tuple[str, Cell]], group_by: Sequence[str]
) -> dict[tuple[int, Names], Cell]:
    """Sums, by time and by the values of what they are grouped by: project, user, key, model."""
    wanted = [name in group_by for name in ("project_id", "user_id", "api_key_id", "model")]
    sums: dict[tuple[int, Names], Cell] = {}
    for project, cell in rows:
        values = (project, cell.user, cell.key, cell.model)
        names = tuple(v or None if w else None for v, w in zip(values, wanted, strict=True))
        known = sums.get((cell.at, names))
        sums[cell.at, names] = cell if known is None else plus(known, cell)
    return sums


def paged(
    window: Window, sums: dict[tuple[int, Names], V], result: Callable[[Names, V], T]
) -> BucketPage[T]:
    """The page: every bucket of the time, also those in which nothing was used."""
    step = SECONDS[window.width]
    by_time: dict[int, list[T]] = {}
    for (at, names), found in sorted(
        sums.items(), key=lambda item: (item[0][0], [name or "" for name in item[0][1]])
    ):
        by_time.setdefault(at, []).append(result(names, found))
    return BucketPage(
        data=[
            Bucket(start_time=at, end_time=at + step, results=by_time.get(at, []))
            for at in range(window.start, window.end, step)
        ],
        has_more=window.has_more,
        next_page=window.next_page,
    )
