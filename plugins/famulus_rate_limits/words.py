"""What a client is told of its limits, in OpenAI's headers and words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from famulus import Problem
from famulus_schemas.errors import (
    TOO_MANY_AT_ONCE,
    TOO_MANY_REQUESTS,
    TOO_MANY_REQUESTS_A_DAY,
    TOO_MANY_TOKENS,
)
from famulus_schemas.limits import Full, Refused, Standing

if TYPE_CHECKING:
    from famulus_rate_limits.policy import Claim, Place, What

FULL_WAIT_S = 1.0
"""When to come again where nobody knows when there is room."""


def duration(seconds: float) -> str:
    """A time as OpenAI's headers have it: `20ms`, `7.5s`, `6m0s`, `1h2m3s`."""
    return _duration(math.ceil(seconds * 1000 - 1e-6))


def _duration(milliseconds: int) -> str:
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
        at = standings[1].remaining < standings[0].remaining
        return _told(claims[at], standings[at])
    least: dict[str, tuple[Claim, Standing]] = {}
    for claim, standing in zip(claims, standings, strict=True):
        known = least.get(claim.what)
        if known is None or standing.remaining < known[1].remaining:
            least[claim.what] = claim, standing
    return b"".join(_told(claim, standing) for claim, standing in least.values())


def _told(claim: Claim, standing: Standing) -> bytes:
    # Of a number that is whole %d takes half as long as of one that it has to make whole.
    left, milliseconds = int(standing.remaining + 1e-6), math.ceil(standing.reset_s * 1000 - 1e-6)
    if 0 < milliseconds < 1000:
        return claim.lines % (left, b"%dms" % milliseconds)
    return claim.lines % (left, _duration(milliseconds).encode())


def lines_of(what: What, amount: int) -> bytes:
    """The lines that tell of a limit, but for what is left of it and when all will be."""
    return (
        f"x-ratelimit-limit-{what}: {amount}\r\n"
        f"x-ratelimit-remaining-{what}: %d\r\n"
        f"x-ratelimit-reset-{what}: %s\r\n"
    ).encode()


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
