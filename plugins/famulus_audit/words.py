"""What an action of an operation is called in the log.

Events that OpenAI's audit log has are called as there; all others likewise, `resource.verb`.
"""

from __future__ import annotations

import msgspec


class Told(msgspec.Struct, frozen=True):
    """How one action is told."""

    type: str
    """The event's."""
    kind: str
    """Of the record that it is about."""


def _of(resource: str, kind: str, **verbs: str) -> dict[str, Told]:
    return {f"{resource}.{verb}": Told(type, kind) for verb, type in verbs.items()}


TOLD: dict[str, Told] = {
    **_of("projects", "project", create="project.created", modify="project.updated"),
    **_of("projects", "project", archive="project.archived", erase="project.deleted"),
    **_of("api_keys", "key", create="api_key.created", modify="api_key.updated"),
    **_of("api_keys", "key", delete="api_key.deleted"),
    **_of("service_accounts", "service_account", create="service_account.created"),
    **_of("service_accounts", "service_account", modify="service_account.updated"),
    **_of("service_accounts", "service_account", delete="service_account.deleted"),
    **_of(
        "spend_limits", "usage_limit", modify="spend_limit.updated", delete="spend_limit.deleted"
    ),
    **_of("rate_limits", "rate_limit", modify="rate_limit.updated"),
    **_of("assistants", "assistant", create="assistant.created", modify="assistant.updated"),
    **_of("assistants", "assistant", delete="assistant.deleted"),
    **_of("threads", "thread", create="thread.created", modify="thread.updated"),
    **_of("threads", "thread", delete="thread.deleted"),
    **_of("messages", "message", create="message.created", modify="message.updated"),
    **_of("messages", "message", delete="message.deleted"),
    **_of("runs", "run", create="run.created", modify="run.updated", cancel="run.cancelled"),
    **_of("runs", "run", submit="run.tool_outputs_submitted"),
    **_of("files", "file", create="file.created", delete="file.deleted"),
    **_of("uploads", "upload", create="upload.created", cancel="upload.cancelled"),
    **_of("uploads", "upload", complete="upload.completed"),
    **_of("uploads", "upload_part", add_part="upload_part.created"),
    **_of("vector_stores", "vector_store", create="vector_store.created"),
    **_of("vector_stores", "vector_store", modify="vector_store.updated"),
    **_of("vector_stores", "vector_store", delete="vector_store.deleted"),
    **_of("vector_stores", "vector_store_file", add_file="vector_store_file.created"),
    **_of("vector_stores", "vector_store_file", modify_file="vector_store_file.updated"),
    **_of("vector_stores", "vector_store_file", remove_file="vector_store_file.deleted"),
    **_of("vector_stores", "vector_store_batch", add_files="vector_store_file_batch.created"),
    **_of("vector_stores", "vector_store_batch", cancel_files="vector_store_file_batch.cancelled"),
    **_of("containers", "container", create="container.created", delete="container.deleted"),
    **_of("containers", "container_file", add_file="container_file.created"),
    **_of("containers", "container_file", delete_file="container_file.deleted"),
}
"""What the units of our own plugins are called; others are called as `type_of` says."""

BESIDES = {"thread": "thread.created", "vector_store": "vector_store.created"}
"""Kinds of which one that is made on the way to something else is told by an event of its own."""

ADMINISTRATION = frozenset(
    {"projects", "api_keys", "service_accounts", "spend_limits", "rate_limits"}
)
"""Resources that are told of whatever `changes` says."""

LOGIN_FAILED = "login.failed"
ACCESS_REFUSED = "access.refused"
RATE_LIMITED = "rate_limit.exceeded"

_PAST = {"modify": "updated", "submit": "submitted", "cancel": "cancelled", "read": "read"}


def type_of(action: str) -> str:
    """What any action is called: `notes.archive` is `note.archived`."""
    resource, _, verb = action.partition(".")
    return f"{resource.removesuffix('s')}.{_PAST.get(verb) or _past(verb)}"


def _past(verb: str) -> str:
    return verb + ("d" if verb.endswith("e") else "ed")
