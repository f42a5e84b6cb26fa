"""Wrong keys, counted by the address that they come from."""

from __future__ import annotations

from collections.abc import Callable

from famulus import Problem
from famulus.addresses import network_of
from famulus.buckets import Buckets
from famulus_rate_limits.settings import RateLimitsSettings
from famulus_rate_limits.words import duration, wait_headers
from famulus_schemas.errors import TOO_MANY_FAILURES
from famulus_schemas.limits import Limit, Refused


class FailedLogins:
    """A table of addresses, and one of credentials that were right: nobody else locks them out.

    A credential is known by a hash that only this process makes.
    """

    def __init__(self, settings: RateLimitsSettings, clock: Callable[[], float]) -> None:
        self._per_minute = settings.failed_logins_per_minute
        self._buckets = Buckets(clock, keys_max=settings.addresses_max)
        self.right: dict[int, None] = {}
        self._right_max = settings.addresses_max

    def __len__(self) -> int:
        return len(self._buckets)

    def refuse(self, client: str) -> None:
        """Raise Problem for an address that has sent too many, before its key is looked at.

        Not for a credential that was `right` before: behind one address may be many.
        """
        if not len(self._buckets):
            return
        refused = self._buckets.ask("", [self._limit(client)])
        if not isinstance(refused, Refused):
            return
        wait_s = refused.retry_after_s
        raise Problem(TOO_MANY_FAILURES, headers=wait_headers(wait_s), wait=duration(wait_s))

    def failed(self, client: str, credential: int) -> None:
        """Count a wrong key."""
        self.right.pop(credential, None)
        self._buckets.settle("", [self._limit(client)])

    def succeeded(self, credential: int) -> None:
        """Remember a right one."""
        while len(self.right) >= self._right_max:
            del self.right[next(iter(self.right))]
        self.right[credential] = None

    def _limit(self, client: str) -> Limit:
        return Limit(key=network_of(client), rate=self._per_minute / 60, burst=self._per_minute)
