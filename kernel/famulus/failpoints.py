"""Places at which a crash test has this process killed, so that rare moments are met on purpose.

Started with `FAMULUS_FAILPOINT=name` or `name:n`, the process ends at the nth passage of that
place as a power cut would end it; see `ops/crash`. Everywhere else a passage does nothing.
"""

from __future__ import annotations

import os
import signal
from typing import Final

VARIABLE: Final = "FAMULUS_FAILPOINT"

POINTS: Final = (
    # Clients' writes.
    "assistant_create_before_commit",
    "assistant_created",
    "assistant_delete_before_commit",
    "assistant_deleted",
    "thread_create_before_commit",
    "thread_created",
    "thread_delete_before_commit",
    "thread_deleted",
    "message_create_before_commit",
    "message_created",
    "message_delete_before_commit",
    "message_deleted",
    "file_create_before_commit",
    "file_created",
    "file_delete_before_commit",
    "file_deleted",
    "part_add_before_commit",
    "part_added",
    "upload_complete_before_commit",
    "upload_completed",
    "container_before_commit",
    "container_committed",
    "store_create_before_commit",
    "store_created",
    "store_delete_before_commit",
    "store_deleted",
    "store_file_add_before_commit",
    "store_file_added",
    "store_file_remove_before_commit",
    "store_file_removed",
    "store_batch_create_before_commit",
    "store_batch_created",
    "store_batch_marked",
    "store_batch_called_off",
    "modify_before_commit",
    "modified",
    "answer_before_kept",
    "answer_kept",
    # A run's way in, and what clients do to it.
    "run_create_before_commit",
    "run_created",
    "run_create_started",
    "submit_before_commit",
    "submit_committed",
    "submit_started",
    "cancel_read",
    "cancel_before_end",
    "cancel_done",
    "cancel_marked",
    "expire_before_end",
    "expire_resting",
    "rest_before_commit",
    "rest_committed",
    "rest_told",
    # A run at work.
    "run_loaded",
    "run_in_progress",
    "model_before_asked",
    "model_answered",
    "calls_before_stored",
    "calls_stored",
    "tool_before_run",
    "tool_ran",
    "tool_progress_told",
    "tool_output_stored",
    "calls_completed",
    "client_before_asked",
    "client_asked",
    "run_over",
    "run_closed",
    "resume_message_reopened",
    "resume_calls_reopened",
    "resume_calls_told_anew",
    "code_session_before_commit",
    "code_session_committed",
    # What it tells.
    "journal_before_commit",
    "journal_committed",
    "journal_told",
    "journal_vacating",
    "checkpoint_before_commit",
    "checkpoint_committed",
    # A file's way into a vector store, and what is left of it.
    "ingest_begun",
    "ingest_chunks_before_commit",
    "ingest_chunks_committed",
    "ingest_before_end",
    "ingest_ended",
    "chunks_clear_before_commit",
    "chunks_cleared",
    "store_clear_before_commit",
    "store_cleared",
    "store_expire_before_commit",
    "store_expired",
    # Jobs and workers.
    "job_started",
    "job_take_before_commit",
    "job_taken",
    "job_put_back_before_commit",
    "job_put_back",
    "job_free_before_commit",
    "job_freed",
    "worker_entered",
    "worker_beat_before_commit",
    "worker_beat",
    "worker_buried",
    "worker_leaving",
    # The record stores.
    "sqlite_migrating",
    "sqlite_begun",
    "sqlite_judged",
    "sqlite_written",
    "sqlite_before_commit",
    "sqlite_committed",
    "sqlite_before_answers",
    "sqlite_answered",
    "postgres_migrating",
    "postgres_begun",
    "postgres_locked",
    "postgres_judged",
    "postgres_written",
    "postgres_before_commit",
    "postgres_committed",
    "postgres_before_answers",
    "postgres_answered",
    # Blobs.
    "blob_before_placed",
    "blob_placed",
    "blob_removed",
    # Keys.
    "pepper_written",
    "key_add_before_commit",
    "key_added",
    # Usage.
    "usage_before_written",
    "usage_written",
    "usage_before_rolled",
    "usage_rolled",
    # What is kept no longer.
    "retention_batch_done",
    "person_partly_erased",
)
"""Every point there is; each is passed in exactly one place."""

_armed = ""
_passages_left = 0


def arm(text: str) -> None:
    """From now on die at a point, `name` or `name:n`; at none where the text is empty.

    Raises ValueError for what names no point.
    """
    global _armed, _passages_left
    name, _, count = text.partition(":")
    passages = int(count) if count.isdecimal() else 1 if not count else 0
    if text and (name not in POINTS or passages < 1):
        raise ValueError(f"{text!r} names no failpoint; it is name[:n], as in {POINTS[0]}:2")
    _armed, _passages_left = name, passages


def failpoint(name: str) -> None:
    """End the process here, without a chance to put anything in order, if it was so told."""
    if name == _armed:
        _pass(name)


def _pass(name: str) -> None:
    global _passages_left
    _passages_left -= 1
    if _passages_left == 0:
        # Past all buffers: who waits for it must see where the process ended.
        os.write(2, f"killed at failpoint {name}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)
