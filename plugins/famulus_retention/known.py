"""What the plugins of this server have listed as kinds of data."""

from __future__ import annotations

from collections.abc import Sequence

from famulus_schemas.records import Record, Unit, Write
from famulus_schemas.retention import Data, DataKind, DataPlace, Orphans


class Known:
    """The kinds of data, by what is done with them."""

    def __init__(self, listed: Sequence[Data]) -> None:
        self.kinds = [each for each in listed if isinstance(each, DataKind)]
        self.places = [each for each in listed if isinstance(each, DataPlace)]
        self.orphans = [each for each in listed if isinstance(each, Orphans)]

    @property
    def aged(self) -> list[DataKind]:
        """Those that can be deleted by age."""
        return [each for each in self.kinds if each.last_used is not None]

    @property
    def staying(self) -> dict[str, str]:
        """Kinds of record that stay where what they tell of is erased, and why."""
        return {
            kind: each.stays
            for each in self.kinds
            if each.stays
            for kind in (each.kind, *each.also)
        }

    async def unneeded(self, record: Record) -> Unit | None:
        """Guards that nothing needs what the record stands for; None where something does."""
        guards: list[Write] = []
        for each in self.kinds:
            if each.holds is None:
                continue
            found = await each.holds(record.project, record.kind, record.id)
            if found is None:
                return None
            guards += found
        return guards
