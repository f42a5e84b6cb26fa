"""That what a lost worker leaves is taken up in time, where there is somebody who could."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.server import JOB_SETTINGS, RUN_S

from famulus_jobs.kinds import JobBody, decode_job
from famulus_runs.kinds import decode_run

if TYPE_CHECKING:
    from tests.simulation.world import World

LATE_S = 2 * JOB_SETTINGS.lease_s
"""A lease and as much again, as 15 s and 15 s are by default."""


class Lateness:
    """For how long each job could have been taken up, and was not.

    Nobody can be blamed while there is trouble: a server that stands still, does not reach the
    store, is just starting, or has no room. Each such moment begins the time anew.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._since: dict[tuple[str, int], float] = {}
        """By job and fence, since when it could have been taken up."""
        self._trouble = 0.0
        """When a server was last seen not to be well."""

    def look(self) -> None:
        """Once in a while."""
        world, now = self._world, self._world.loop.time()
        could = self._could_be_taken()
        since: dict[tuple[str, int], float] = {}
        for record in world.store.lists.get(("default", "job", ""), ()):
            body = decode_job(record.body)
            if could and self._is_left(body):
                place = (record.id, record.fence)
                since[place] = self._since.get(place, now)
                seconds = now - since[place]
                promise = "what a lost worker leaves is taken up in time"
                world.watch.hold(promise, seconds <= LATE_S, (record.id, body.state, seconds))
        self._since = since
        self._look_at_times()

    def _look_at_times(self) -> None:
        """A run that nobody is at work on does not outlive its time."""
        world = self._world
        if not world.servers or any(not server.is_well for server in world.servers):
            self._trouble = world.now()
        for record in world.store.records.values():
            if record.kind != "run":
                continue
            run = decode_run(record.body)
            job = world.store.records.get((record.project, "job", f"run:{run.id}"))
            if job is not None and decode_job(job.body).state == "leased":
                # Its worker ends it; one that does not know that it has it finds out in two sweeps.
                continue
            if run.status in ("queued", "requires_action") and run.expires_at is not None:
                due = run.expires_at
                if job is not None:
                    # Its server may have stood still between the clock and the commit.
                    due = max(due, job.created_at + RUN_S)
                late = world.now() - max(due + world.profile.skew_s, self._trouble)
                promise = "a run that waits expires in time"
                world.watch.hold(promise, late <= LATE_S, (run.id, run.status, late))

    def _is_left(self, body: JobBody) -> bool:
        """Whether the job waits for somebody to take it up."""
        if body.state == "parked":
            return False
        workers = {server.worker for server in self._world.servers if server.is_up}
        return body.state == "waiting" or body.worker not in workers

    def _could_be_taken(self) -> bool:
        """Whether all servers are well, and one of them has room."""
        world = self._world
        if not world.servers or not all(server.is_well for server in world.servers):
            return False
        return any(server.room > 0 for server in world.servers)
