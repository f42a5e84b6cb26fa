"""Lets runs begin only as many at once as their key, project and model may have at work."""

from __future__ import annotations

from famulus_rate_limits.leases import Leases
from famulus_rate_limits.policy import Place, Policy
from famulus_schemas.jobs import Job
from famulus_schemas.limits import Taken


class RunGate:
    """The gate that all processes share, by what LIMITS keeps."""

    def __init__(self, policy: Policy, leases: Leases) -> None:
        self._policy = policy
        self._leases = leases

    def minds(self, job: Job) -> bool:
        """Whether there is any limit that the run has."""
        return bool(self._places(job))

    async def enter(self, job: Job) -> bool:
        """Hold its places, if all are free."""
        outcome = await self._leases.hold(job.project, _name(job), self._places(job))
        return isinstance(outcome, Taken)

    async def leave(self, job: Job) -> None:
        """Give its places back."""
        await self._leases.release(job.project, _name(job))

    def _places(self, job: Job) -> list[Place]:
        return self._policy.places("runs", job.principal, job.project, job.model or None)


def _name(job: Job) -> str:
    # Each attempt by itself: what a lost process held ends with its lease.
    return f"{job.key}:{job.fence}"
