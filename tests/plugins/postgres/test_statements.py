"""Every statement walks along the index that is meant for it, also on tables that are empty.

Plans are made once and kept. One that was made by guess, for a table that was empty then, would
be slow for as long as the session lasts.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest

from famulus_postgres import statements

pytestmark = pytest.mark.anyio

PAGES = [
    statements.page(order, after=after, before=before, backward=before and not after, names=names)
    for order, after, before, names in itertools.product(
        ("asc", "desc"), (False, True), (False, True), (0, 1, 2)
    )
]
OTHERS = [
    statements.READ,
    statements.READ_CLEARING,
    statements.REMOVE,
    statements.WRITE,
    statements.GET,
    *(statements.scan(order, names=names) for order in ("asc", "desc") for names in (0, 1, 2)),
    statements.FILL_READ,
    statements.FILL_WRITE,
]

KEYS = {
    "record_pkey": ("id", "kind", "project"),
    "record_list": ("parent", "kind", "project"),
    "record_scan": ("(kind || ''::text)",),
    "record_index_pkey": ("id", "kind", "project"),
    "record_index_list": ("parent", "kind", "project"),
    "record_index_scan": ("(kind || ''::text)", "name", "value"),
    "tombstone_pkey": ("project", "kind", "parent"),
}
"""The columns of each index that must be known for a walk along it to be a short one."""


@pytest.mark.parametrize("statement", PAGES + OTHERS)
async def test_a_statement_goes_by_the_keys_of_its_index(
    open_postgres: Callable[..., Any], statement: str
) -> None:
    async with open_postgres() as opened:
        session = await opened.database.sessions.open()
        await session.execute(f"prepare planned as {statement}")
        count = max(int(number) for number in re.findall(r"\$(\d+)", statement))
        rows = await session.fetch(f"explain execute planned ({', '.join(['null'] * count)})")
        await session.close()
    plan = [row[0].strip() for row in rows]
    scans = [
        (found[1], plan[at + 1])
        for at, line in enumerate(plan)
        if (found := re.search(r"Index (?:Only )?Scan.* using (\w+) on", line))
    ]
    assert scans or statement == statements.FILL_WRITE
    assert not [line for line in plan if re.search(r"(Seq|Bitmap \w+) Scan on", line)]
    for index, condition in scans:
        assert condition.startswith("Index Cond:")
        for key in KEYS[index]:
            assert re.search(rf"\({re.escape(key)} =", condition), (index, condition)
