"""What is known of a sandbox: looked for once, and again where it did not work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from famulus_schemas.health import Health
from famulus_schemas.sandbox import Probe

AGAIN_S = 60.0
"""After so long what did not work is tried again: its operator may have mended it."""


class Findings:
    """The last probe."""

    def __init__(
        self, look: Callable[[], Awaitable[Probe]], *, on_found: Callable[[], None], log: Any
    ) -> None:
        self._look = look
        self._on_found = on_found
        self._log = log
        self._looking = asyncio.Lock()
        self._looked_at = 0.0
        self.last: Probe | None = None
        """What was found, if it was looked already."""

    @property
    def is_able(self) -> bool:
        """Whether boxes were found to work."""
        return self.last is not None and self.last.level != "none"

    async def ask(self) -> Probe:
        """What boxes are worth here; see `Sandbox.probe`."""
        async with self._looking:
            clock = asyncio.get_running_loop().time
            if self.last is None or (not self.is_able and clock() - self._looked_at > AGAIN_S):
                self.last = await self._look()
                self._looked_at = clock()
                self._log.info(
                    "sandbox_probed",
                    provider=self.last.provider,
                    boxes=self.last.level,
                    reasons=list(self.last.reasons),
                )
                self._on_found()
            return self.last

    def health(self, *, is_broken: Callable[[], bool]) -> Health:
        """What is known of boxes, without looking; `is_broken` says whose fault it is if none."""
        probe = self.last
        if probe is None:
            return Health(detail="boxes have not been tried out yet")
        if not self.is_able:
            return Health(
                status="degraded" if is_broken() else "ok",
                detail="code cannot be run: " + "; ".join(probe.reasons),
            )
        lacks = "".join(f"; {each}" for each in probe.reasons)
        return Health(detail=f"boxes are {probe.level}{lacks}")
