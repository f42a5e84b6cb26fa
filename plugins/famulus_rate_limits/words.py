"""What a client is told of its limits, in OpenAI's headers and words."""

from __future__ import annotations

import math
import typing
from collections.abc import Sequence

from famulus import Problem
from famulus_rate_limits.policy import Claim, Place, What
from famulus_schemas.errors import (
    TOO_MANY_AT_ONCE,
    TOO_MANY_REQUESTS,
    TOO_MANY_REQUESTS_A_DAY,
    TOO_MANY_TOKENS,
)
from famulus_schemas.limits import Full, Refused, Standing

FULL_WAIT_S = 1.0
"""When to come again where nobody knows when there is room."""


def duration(seconds: float) -> str:
    """A time as OpenAI's headers have it: `20ms`, `7.5s`, `6m0s`, `1h2m3s`."""
    milliseconds = math.ceil(seconds * 1000 - 1e-6)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds > 0 else "0s"
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{milliseconds / 1000:g}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def wait_headers(seconds: float) -> dict[str, str]:
    """When to come again: in whole seconds, one at least, and in milliseconds."""
    return {
        "retry-after": f"{max(1, math.ceil(seconds))}",
        "retry-after-ms": f"{max(1, math.ceil(seconds * 1000 - 1e-6))}",
    }


def limit_lines(claims: Sequence[Claim], standings: Sequence[Standing]) -> bytes:
    """What tells, of requests and of tokens, of the limit that least is left of: as headers."""
    if len(standings) == 2 and claims[0].what == claims[1].what:
        # As of most requests: of a key, and of its project.
        least = standings[1].remaining < standings[0].remaining
        return _told(claims[least], standings[least])
    found: dict[str, tuple[Claim, Standing]] = {}
    for claim, standing in zip(claims, standings, strict=True):
        known = found.get(claim.what)
        if known is None or standing.remaining < known[1].remaining:
            found[claim.what] = claim, standing
    return b"".join(_told(claim, standing) for claim, standing in found.values())


def _told(claim: Claim, standing: Standing) -> bytes:
    reset = duration(standing.reset_s).encode()
    return _LINES[claim.what] % (claim.amount, standing.remaining + 1e-6, reset)


_LINES = {
    what: "".join(
        f"x-ratelimit-{name}-{what}: {value}\r\n"
        for name, value in (("limit", "%d"), ("remaining", "%d"), ("reset", "%s"))
    ).encode()
    for what in typing.get_args(What)
}


def problem(claims: Sequence[Claim], refused: Refused) -> Problem:
    """The answer to a request that has to wait."""
    claim, standing = claims[refused.which], refused.standings[refused.which]
    fault = TOO_MANY_REQUESTS if claim.what == "requests" else TOO_MANY_TOKENS
    if claim.is_of_day:
        fault = TOO_MANY_REQUESTS_A_DAY
    return Problem(
        fault,
        headers=wait_headers(refused.retry_after_s),
        whom=claim.whom,
        limit=claim.amount,
        used=claim.amount - math.floor(standing.remaining + 1e-6),
        wanted=f"{claim.limit.cost:.0f}",
        wait=duration(refused.retry_after_s),
    )


def full_problem(places: Sequence[Place], full: Full) -> Problem:
    """The answer to a request that has to wait until another one is done."""
    place = places[full.which]
    return Problem(
        TOO_MANY_AT_ONCE,
        headers=wait_headers(FULL_WAIT_S),
        whom=place.whom,
        what=place.what,
        limit=place.slot.at_once_max,
        used=full.held[full.which],
        wait=duration(FULL_WAIT_S),
    )
