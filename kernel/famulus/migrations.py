"""What `famulus migrate` runs: stores that can say what is pending and apply it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Migrations(Protocol):
    """One store's numbered migrations. A store also applies them itself when it starts."""

    owner: str
    """The plugin whose store it is."""

    async def pending(self) -> Sequence[str]:
        """Titles of what is not applied yet, in order. Raises where the store is newer."""
        ...

    async def apply(self) -> Sequence[str]:
        """Apply what is pending; the titles of what was applied."""
        ...
