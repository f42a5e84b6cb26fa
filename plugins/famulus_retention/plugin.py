"""The plugin: the sweep in the background, and the commands that sweep or erase at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from famulus import Plugin, hookimpl, need, want
from famulus_retention.known import Known
from famulus_retention.lease import KIND, Lease
from famulus_retention.plans import PLAN
from famulus_retention.settings import RetentionSettings
from famulus_schemas.gauges import Gauge
from famulus_schemas.ports import BLOBS, KEYS, RECORDS

if TYPE_CHECKING:
    import click

    from famulus_retention.background import Background


class Retention(Plugin[RetentionSettings]):
    """Deletes what is older than it may be, and erases projects and persons on command."""

    name = "retention"
    gathers = ("register_data_kinds",)
    records = need(RECORDS.system)
    blobs = want(BLOBS)
    keys = want(KEYS)

    known: Known
    lease: Lease
    background: Background | None = None

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Sweep until stopped, where anything has an age."""
        await self.records.declare(KIND, PLAN)
        self.known = Known(self.gather("register_data_kinds"))
        settings = self.settings
        holder = self.new_id("sweeper_")
        self.lease = Lease(self.records, holder=holder, lease_s=settings.lease_s)
        unknown = settings.named() - {each.name for each in self.known.aged}
        if unknown:
            self.log.warning("ages_of_unknown_kinds", kinds=sorted(unknown))
        if not self.host.serves or not settings.named():
            yield
            return
        # Only here: most servers keep all they have.
        from famulus_retention.background import Background

        self.background = Background(
            settings,
            records=self.records,
            known=self.known,
            lease=self.lease,
            now=self.now,
            log=self.log,
        )
        sweeping = asyncio.create_task(self.background.run())
        try:
            yield
        finally:
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)
            self.background = None

    @hookimpl
    def register_gauges(self) -> list[Gauge]:
        """What was deleted, what waits, and when it was last looked."""
        return [] if self.background is None else self.background.gauges()

    @staticmethod
    @hookimpl
    def register_commands(cli: click.Group) -> None:
        """`famulus gc` and `famulus erase`."""
        from famulus.later import later

        does = "Delete what is older than [plugins.retention] says, and what belongs to nothing."
        cli.add_command(later("gc", "famulus_retention.commands:gc", does=does))
        does = "Erase all of a project or a person for good, and prove it."
        cli.add_command(later("erase", "famulus_retention.commands:erase", does=does))
