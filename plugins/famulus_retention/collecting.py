"""A sweep at once, with all that belongs to nothing: what `famulus gc` does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click
import msgspec

from famulus_retention.jobs import settled
from famulus_retention.sweep import Sweep
from famulus_retention.tally import Count, Tally

if TYPE_CHECKING:
    from famulus_retention.plugin import Retention


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What went, or would."""

    is_dry: bool
    counts: dict[str, Count]
    unsettled: bool = False
    """Whether jobs that do the rest were not done in time."""

    @property
    def failed(self) -> bool:
        """Whether not all went that should have."""
        return self.unsettled or any(count.failed for count in self.counts.values())


async def collect(
    plugin: Retention, *, project: str | None, is_dry: bool, compact: bool
) -> Collected:
    """Sweep from the beginning, wait for the rest, and remove what belongs to nothing."""
    tally = Tally()
    sweep = Sweep(
        plugin.settings,
        records=plugin.records,
        known=plugin.known,
        now=plugin.now,
        log=plugin.log,
        tallies=(tally,),
        is_dry=is_dry,
        project=project,
    )
    if is_dry:
        await sweep.run()
    else:
        await _alone(plugin, sweep)
    jobs = {job for each in plugin.known.kinds for job in each.jobs}
    is_settled = is_dry or await settled(
        plugin.records, jobs, project=project, within_s=plugin.settings.finish_s
    )
    # What belongs to nothing has no project by which it could be chosen.
    for orphans in plugin.known.orphans if project is None else ():
        removed = await orphans.remove(is_dry)
        if removed.count:
            tally[orphans.name].add(removed)
    if compact and not is_dry:
        await plugin.records.scrub()
    return Collected(is_dry=is_dry, counts=tally.of, unsettled=not is_settled)


async def _alone(plugin: Retention, sweep: Sweep) -> None:
    """Sweep while no other process does."""
    if await plugin.lease.take(due_s=0) is None:
        raise click.ClickException(
            "another process is sweeping just now; what it deletes is in its log. Try again later, "
            "or with --dry-run"
        )

    async def note(kind: str, after_seq: int) -> None:
        await plugin.lease.note(kind=kind, after_seq=after_seq)

    try:
        await sweep.run(note=note, pause_s=0)
        await plugin.lease.end()
    except asyncio.CancelledError:
        await plugin.lease.let_go()
        raise
