"""A long log, page by page with the official client, while it grows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.plugins.audit.conftest import Store
from tests.plugins.audit.test_audit import House, opened

from famulus_audit.events import Event, Source, event_id, record_of

pytestmark = pytest.mark.anyio

EVENTS = 10_000
AT_ONCE = 500
PROJECTS, TYPES, ACTORS = ("proj_a", "proj_b"), ("note.created", "note.deleted"), ("key_1", "key_2")
SPAN_S = 100
"""Seconds between the first event and the last."""


def event_of(number: int, *, now: int) -> tuple[str, Any]:
    """The project of an event, and the write that keeps it."""
    project = PROJECTS[number % 2]
    source = Source(actor={"type": "server"}, actor_id=ACTORS[number // 2 % 2])
    event = Event(
        type=TYPES[number // 4 % 2],
        at=now - SPAN_S + number * SPAN_S // EVENTS,
        source=source,
        project=project,
    )
    return project, record_of(event, id=event_id(f"{number:08}", project))


@asynccontextmanager
async def growing(house: House) -> AsyncIterator[None]:
    """While this is open, assistants are made, and events with them."""

    async def grow() -> None:
        while True:
            await house.assistants.create(model="m")

    task = asyncio.create_task(grow())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_each_event_is_on_one_page_while_others_come(store: Store) -> None:
    async with opened(store) as house:
        records, now = house.server.plugin("audit").records, int(house.clock.at)
        written = [event_of(number, now=now) for number in range(EVENTS)]
        for at in range(0, EVENTS, AT_ONCE):
            for project in PROJECTS:
                some = [write for of, write in written[at : at + AT_ONCE] if of == project]
                await records.of(project).commit(some)
        newest_first = [write for _, write in written[::-1]]

        async with growing(house):
            asked: list[tuple[dict[str, Any], set[str]]] = [
                ({}, {write.id for write in newest_first}),
                (
                    {"project_ids": [PROJECTS[1]], "event_types": [TYPES[0]]},
                    {w.id for n, (_, w) in enumerate(written) if n % 2 and n // 4 % 2 == 0},
                ),
                (
                    {"actor_ids": [ACTORS[0]], "event_types": [*TYPES]},
                    {w.id for n, (_, w) in enumerate(written) if n // 2 % 2 == 0},
                ),
                (
                    {"effective_at": {"gte": now - 50, "lt": now - 40}},
                    {w.id for w in newest_first if now - 50 <= w.created_at < now - 40},
                ),
            ]
            for query, expected in asked:
                found = [
                    each.id async for each in house.organization.audit_logs.list(limit=100, **query)
                ]
                assert len(found) == len({*found})
                assert {each for each in found if each in expected} == expected
                others = {*found} - expected
                assert all(not each.startswith("audit_log-0000") for each in others)
                if query:
                    assert not others
