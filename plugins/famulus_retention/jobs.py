"""Waiting for the jobs that do the rest of deletions."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from famulus_schemas.jobs import job_id
from famulus_schemas.records import SystemRecords

LOOK_S = 0.1


async def settled(
    records: SystemRecords, kinds: Collection[str], *, project: str | None, within_s: float
) -> bool:
    """Whether no job of these kinds is left, once it is so or the time is up."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while await _any_left(records, kinds, project):
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(LOOK_S)
    return True


async def _any_left(records: SystemRecords, kinds: Collection[str], project: str | None) -> bool:
    beginnings = tuple(job_id(kind, "") for kind in kinds)
    after = 0
    while found := await records.scan("job", after_seq=after):
        after = found[-1].seq
        for record in found:
            if project in (None, record.project) and record.id.startswith(beginnings):
                return True
    return False
