"""Slots held in this process: a bounded table of leases, for any clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from famulus_schemas.limits import Hold, Slot, refuse_impossible_hold


class Slots:
    """Who holds which slot until when. A full table forgets the one that was held first."""

    def __init__(self, clock: Callable[[], float], *, keys_max: int) -> None:
        self._clock = clock
        self._keys_max = keys_max
        self._holders: dict[tuple[str, str], dict[str, float]] = {}
        """The ends of leases, by holder."""

    def __len__(self) -> int:
        return len(self._holders)

    def others(self, project: str, slots: Sequence[Slot], *, than: str = "") -> tuple[int, ...]:
        """How many hold each slot, apart from one holder."""
        refuse_impossible_hold(slots)
        return tuple(len(self._of(project, slot).keys() - {than}) for slot in slots)

    def put(self, project: str, hold: Hold) -> None:
        """Let these be held from now on, whether or not there is room."""
        ends_at = self._clock() + hold.lease_s
        for slot in hold.slots:
            holders = self._of(project, slot)
            holders[hold.holder] = ends_at
            self._keep((project, slot.key), holders)

    def release(self, project: str, hold: Hold) -> None:
        """As `Limits.release`."""
        for slot in hold.slots:
            self._of(project, slot).pop(hold.holder, None)
            self._of(project, slot)

    def _of(self, project: str, slot: Slot) -> dict[str, float]:
        """Those who hold a slot now; what is over is forgotten."""
        place = (project, slot.key)
        holders = self._holders.get(place)
        if holders is None:
            return {}
        now = self._clock()
        for holder in [holder for holder, ends_at in holders.items() if ends_at <= now]:
            del holders[holder]
        if not holders:
            del self._holders[place]
        return holders

    def _keep(self, place: tuple[str, str], holders: dict[str, float]) -> None:
        while place not in self._holders and len(self._holders) >= self._keys_max:
            del self._holders[next(iter(self._holders))]
        self._holders[place] = holders
