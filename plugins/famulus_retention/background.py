"""Sweeps in the background: by one process at a time, one after the other, with pauses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from famulus.log import Log
from famulus_retention.known import Known
from famulus_retention.lease import Lease, LeaseLost
from famulus_retention.settings import RetentionSettings
from famulus_retention.sweep import Sweep
from famulus_retention.tally import Tally
from famulus_schemas.gauges import Gauge, Values
from famulus_schemas.records import SystemRecords

LOOKS_PER_LEASE = 2
"""How often a process looks whether another's sweep has gone silent."""


class Background:
    """Sweeps until cancelled, and tells what came of it."""

    def __init__(
        self,
        settings: RetentionSettings,
        *,
        records: SystemRecords,
        known: Known,
        lease: Lease,
        now: Callable[[], int],
        log: Log,
    ) -> None:
        self._settings = settings
        self._records = records
        self._known = known
        self._lease = lease
        self._now = now
        self._log = log
        self.all = Tally()
        """Since the start of this process."""
        self.last = Tally()
        """Of the sweep that is being made, or was made last."""
        self.is_sweeping = False
        self.ended_at = 0.0

    async def run(self) -> None:
        """Sweep again and again."""
        pause_s = min(self._settings.sweep_s, self._settings.lease_s / LOOKS_PER_LEASE)
        while True:
            try:
                await self.sweep()
            except LeaseLost:
                self._log.warning("sweep_taken_over")
            except Exception as error:  # Isolation: one trouble must not end all sweeping.
                self._log.error("sweep_failed", exc_info=error)
            await asyncio.sleep(pause_s)

    async def sweep(self) -> bool:
        """Make the sweep if it is due and nobody else makes it; whether it was made."""
        place = await self._lease.take(due_s=self._settings.sweep_s)
        if place is None:
            return False
        self.last, self.is_sweeping = Tally(), True
        if place.kind:
            self._log.info("sweep_goes_on", kind=place.kind, after_seq=place.after_seq)
        try:
            await self._made().run(
                kind=place.kind,
                after_seq=place.after_seq,
                note=self._note,
                pause_s=self._settings.pause_s,
            )
            await self._lease.end()
        except asyncio.CancelledError:
            await self._lease.let_go()
            raise
        finally:
            self.is_sweeping = False
        self.ended_at = await self._records.now()
        self._tell()
        return True

    def _made(self) -> Sweep:
        return Sweep(
            self._settings,
            records=self._records,
            known=self._known,
            now=self._now,
            log=self._log,
            tallies=(self.all, self.last),
        )

    async def _note(self, kind: str, after_seq: int) -> None:
        await self._lease.note(kind=kind, after_seq=after_seq)
        if self.last.deleted():
            self._log.debug("sweep_goes_on", kind=kind, deleted=self.last.deleted())

    def _tell(self) -> None:
        last = self.last
        log = self._log.info if last.total("deleted") or last.total("failed") else self._log.debug
        log(
            "sweep_done",
            deleted=last.deleted(),
            bytes=last.total("bytes"),
            in_use=last.total("in_use"),
            failed=last.total("failed"),
        )

    def gauges(self) -> list[Gauge]:
        """What was deleted, what waits, and when it was last looked."""

        def deleted() -> Values:
            return {(name,): float(count.deleted) for name, count in self.all.of.items()}

        def waiting() -> Values:
            return {(name,): float(count.in_use) for name, count in self.last.of.items()}

        return [
            Gauge(
                name="famulus_retention_deleted_total",
                help="Things that this process deleted since they were too old.",
                labels=("kind",),
                read=deleted,
            ),
            Gauge(
                name="famulus_retention_freed_bytes_total",
                help="Size of the contents that went with them.",
                read=lambda: float(self.all.total("bytes")),
            ),
            Gauge(
                name="famulus_retention_failed_total",
                help="Things that are too old and could not be deleted.",
                read=lambda: float(self.all.total("failed")),
            ),
            Gauge(
                name="famulus_retention_waiting",
                help="Things that were too old at the last sweep, but in use.",
                labels=("kind",),
                read=waiting,
            ),
            Gauge(
                name="famulus_retention_sweeping",
                help="1 while this process sweeps.",
                read=lambda: float(self.is_sweeping),
            ),
            Gauge(
                name="famulus_retention_last_sweep_seconds",
                help="When this process last ended a sweep, in unix seconds; 0 for never.",
                read=lambda: self.ended_at,
            ),
        ]
