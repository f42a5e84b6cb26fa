"""The times and limits of jobs."""

from __future__ import annotations

from typing import Annotated

from famulus import Settings, setting


class JobSettings(Settings, frozen=True, kw_only=True):
    """Settings of famulus_jobs."""

    heartbeat_s: Annotated[
        float, setting(why="Seconds between the writes that say that this process lives.")
    ] = 5.0
    lease_s: Annotated[
        float,
        setting(why="Seconds without a heartbeat after which a process is taken for dead."),
    ] = 15.0
    poll_s: Annotated[
        float, setting(why="Seconds after which waiting jobs are looked for without a wake-up.")
    ] = 5.0
    retry_s: Annotated[
        float, setting(why="Seconds before a job is tried again whose handler failed.")
    ] = 5.0
    scan_max: Annotated[int, setting(why="Waiting jobs that are looked at in one go.")] = 200
