"""How each point is reached: most by the mixed load alone, some need more."""

from __future__ import annotations

from collections.abc import Sequence

from famulus.failpoints import POINTS

FRESH = frozenset({"sqlite_migrating", "postgres_migrating", "pepper_written"})
"""Passed by the first start in an empty place."""

KEYS = frozenset({"key_add_before_commit", "key_added"})
"""Passed by `famulus keys create`."""

STARTING = {
    "worker_entered": "",
    "job_free_before_commit": "",
    "job_freed": "",
    "worker_buried": "",
    "resume_message_reopened": "checkpoint_committed",
    "resume_calls_reopened": "calls_before_stored",
}
"""Passed by a start after a crash, which was at the point that is named, or anywhere."""

ENDING = frozenset({"job_put_back_before_commit", "job_put_back", "worker_leaving"})
"""Passed by an orderly end with runs at work."""

EXPIRING = frozenset({"expire_before_end", "expire_resting"})
"""Passed where runs have little time."""

SHARED = frozenset({"cancel_marked"})
"""Passed only where several processes have one store."""


PARTICULAR = FRESH | KEYS | STARTING.keys() | ENDING | EXPIRING


def points_of(store: str, passages: Sequence[int]) -> list[str]:
    """The points that a store is tested at; every one is, at one store or the other."""
    of_postgres = [name for name in POINTS if name.startswith("postgres_") or name in SHARED]
    if store == "postgres":
        own = of_postgres
    else:
        own = [name for name in POINTS if name not in of_postgres]
    later = [
        f"{name}:{passage}"
        for passage in passages
        if passage > 1
        for name in own
        if name not in PARTICULAR
    ]
    return own + later
