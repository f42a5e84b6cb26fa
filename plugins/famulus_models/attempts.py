"""Whom to ask for an answer, how often, and after what wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from famulus_models.catalog import Served
from famulus_models.circuit import Circuits
from famulus_models.settings import ModelsSettings
from famulus_schemas.inference import BackendFault
from famulus_schemas.notices import BackendFailed

if TYPE_CHECKING:
    from famulus.log import Log
    from famulus_models.metering import Meter
    from famulus_schemas.notices import Notice

ONCE = ("refused", "unsupported", "not_found", "timeout")
"""Kinds of fault after which the same server would say the same, or be waited for as long."""


class Policy:
    """What all requests' attempts share."""

    def __init__(
        self,
        settings: ModelsSettings,
        circuits: Circuits,
        *,
        chance: Callable[[], float],
        tell: Callable[[Notice], None],
        log: Log,
    ) -> None:
        self.settings = settings
        self.circuits = circuits
        self.chance = chance
        self.tell = tell
        self.log = log


class Attempts:
    """One request's attempts, as an iterator of whom to ask next; it ends by raising the fault.

    They go in rounds. Each asks every candidate that may yet answer, one after the other; between
    two rounds is a wait.
    """

    def __init__(self, candidates: Sequence[Served], policy: Policy) -> None:
        assert candidates, "somebody must be asked"
        self._left = list(candidates)
        self._policy = policy
        self._round = 0
        self._at = 0
        self._asked_in_round = False
        self._fault: BackendFault | None = None

    def __aiter__(self) -> Attempts:
        return self

    async def __anext__(self) -> Served:
        """Whom to ask now. Raises the last BackendFault once nobody is left to ask."""
        while True:
            if self._at >= len(self._left):
                await self._next_round()
            candidate = self._left[self._at]
            self._at += 1
            wait_s = self._policy.circuits.of(candidate.card.backend).wait_s()
            if not wait_s:
                self._asked_in_round = True
                return candidate
            self._fault = self._fault or self._left_alone(candidate, wait_s)

    def succeeded(self, candidate: Served) -> None:
        """The candidate has begun to answer."""
        self._policy.circuits.of(candidate.card.backend).succeeded()

    def failed(self, candidate: Served, fault: BackendFault, *, meter: Meter | None = None) -> None:
        """Go on after a fault. Raises it where that would not help, or would repeat a token."""
        name = candidate.card.backend
        told = (
            BackendFailed(backend=name, kind=fault.kind) if meter is None else meter.failed(fault)
        )
        started = meter is not None and meter.has_begun
        self._policy.tell(told)
        if self._policy.circuits.of(name).failed(fault):
            cooldown_s = self._policy.settings.circuit_cooldown_s
            self._policy.log.warning(
                "model_server_left_alone", backend=name, for_s=cooldown_s, reason=fault.message
            )
        if started or _is_about_request(fault):
            raise fault
        self._fault = fault
        if fault.kind in ONCE:
            self._at -= 1
            self._left.pop(self._at)
        self._policy.log.info(
            "model_attempt_failed", backend=name, kind=fault.kind, reason=fault.message
        )

    async def _next_round(self) -> None:
        assert self._fault is not None
        settings = self._policy.settings
        self._round += 1
        wait_s = self._fault.retry_after_s or 0.0
        if (
            not self._left
            or not self._asked_in_round
            or self._round >= settings.attempts_max
            or wait_s > settings.retry_after_max_s
        ):
            raise self._fault
        self._at, self._asked_in_round = 0, False
        backoff_s = min(settings.backoff_s * 2 ** (self._round - 1), settings.backoff_max_s)
        await asyncio.sleep(max(wait_s, backoff_s * (0.5 + self._policy.chance() / 2)))

    def _left_alone(self, candidate: Served, wait_s: float) -> BackendFault:
        name = candidate.card.backend
        return BackendFault(
            "unreachable",
            f"it failed time after time and is left alone for {wait_s:.0f} s more: "
            f"{self._policy.circuits.of(name).reason}",
            backend=name,
            retry_after_s=wait_s,
        )


def _is_about_request(fault: BackendFault) -> bool:
    # A refused key is between the operator and that server: another one may well answer.
    return fault.kind == "refused" and fault.status not in (401, 403)
