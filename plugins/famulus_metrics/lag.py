"""How late the event loop is, which is how long everybody waits for whoever holds it up."""

from __future__ import annotations

import asyncio

from famulus_metrics.tally import Histogram


async def watch_lag(into: Histogram, *, pause_s: float) -> None:
    """Observe for ever how much later than asked for this is woken."""
    now = asyncio.get_running_loop().time
    while True:
        due = now() + pause_s
        await asyncio.sleep(pause_s)
        into.observe(value=max(0.0, now() - due))
