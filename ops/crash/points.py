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

FILES = frozenset(
    {
        "file_create_before_commit",
        "file_created",
        "file_delete_before_commit",
        "file_deleted",
        "part_add_before_commit",
        "part_added",
        "upload_complete_before_commit",
        "upload_completed",
        "blob_before_placed",
        "blob_placed",
        "blob_removed",
    }
)
"""Not passed by this load: `tests/plugins/files/test_killed.py` kills a server at each of them."""

CODE = frozenset(
    {
        "code_session_before_commit",
        "code_session_committed",
        "container_before_commit",
        "container_committed",
    }
)
"""Not passed by this load: `test_killed.py` of `code_interpreter` and of `containers` die there."""

STORES = frozenset({name for name in POINTS if name.startswith(("store_", "ingest_", "chunks_"))})
"""Not passed by this load: `tests/plugins/vector_stores/test_killed.py` kills a server at each."""

TELLING = frozenset({"tool_progress_told", "resume_calls_told_anew"})
"""Not passed by this load, whose tools tell nothing while they run; the simulation dies there."""

USAGE = frozenset({"usage_before_written", "usage_written"})
"""Not passed by this load, which relays nothing: `tests/plugins/usage/test_killed.py` does."""

RETENTION = frozenset({"retention_batch_done", "person_partly_erased"})
"""Not passed by this load, in which nothing is kept for a time only, and nobody is erased."""

ALONE = STARTING.keys() | EXPIRING
"""Passed for certain only where no other process does instead what is to be done."""

PARTICULAR = FRESH | KEYS | STARTING.keys() | ENDING | EXPIRING


def shared(store: str, points: Sequence[str]) -> list[str]:
    """Half of the points that both stores pass, such that the other has the rest; its own all."""
    mine = ("sqlite", "postgres").index(store)
    both = [name for name in POINTS if not name.startswith(("sqlite_", "postgres_"))]
    elsewhere = {name for at, name in enumerate(both) if at % 2 != mine}
    return [point for point in points if point.partition(":")[0] not in elsewhere]


def points_of(store: str, passages: Sequence[int]) -> list[str]:
    """The points that a store is tested at: all that the load passes but those of the other."""
    others = "postgres_" if store == "sqlite" else "sqlite_"
    elsewhere = FILES | STORES | CODE | TELLING | USAGE | RETENTION
    own = [name for name in POINTS if not name.startswith(others) and name not in elsewhere]
    later = [
        f"{name}:{passage}"
        for passage in passages
        if passage > 1
        for name in own
        if name not in PARTICULAR
    ]
    return own + later
