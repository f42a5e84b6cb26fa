"""Minutes, hours, days and months of the calendar, in UTC, by the second at which they begin."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, TypeAlias

Width: TypeAlias = Literal["1m", "1h", "1d"]

SECONDS: dict[Width, int] = {"1m": 60, "1h": 3_600, "1d": 86_400}
DAY_S = SECONDS["1d"]


def floor(at: float, width: Width) -> int:
    """When the minute, hour or day began."""
    return int(at) // SECONDS[width] * SECONDS[width]


def month_of(at: float) -> int:
    """When the month began."""
    day = datetime.fromtimestamp(at, UTC)
    return int(datetime(day.year, day.month, 1, tzinfo=UTC).timestamp())


def next_month(at: float) -> int:
    """When the next month begins."""
    day = datetime.fromtimestamp(at, UTC)
    year, month = (day.year, day.month + 1) if day.month < 12 else (day.year + 1, 1)
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp())


def shelf_of(start: int, width: Width) -> int:
    """Under which hour, day or month the rows of a minute, hour or day lie."""
    if width == "1d":
        return month_of(start)
    return floor(start, "1h" if width == "1m" else "1d")


def shelves(start: int, end: int, width: Width) -> list[int]:
    """All of them that begin before `end` and reach beyond `start`."""
    found, at = [], shelf_of(start, width)
    while at < end:
        found.append(at)
        if width == "1d":
            at = next_month(at)
        else:
            at += SECONDS["1h" if width == "1m" else "1d"]
    return found
