"""An event of the log: what is in it, and the record that keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from famulus_audit.words import TOLD
from famulus_schemas.audit_logs import ID_PREFIX
from famulus_schemas.records import Insert, Kind, Record

Json = dict[str, Any]

INDEXES = ("day", "type", "project", "actor", "owner", "resource")


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Who did something, and by which request."""

    actor: Json
    """In OpenAI's form."""
    actor_id: str = ""
    """By which it is found: a key, or whoever came in without one."""
    owner_id: str = ""
    """Likewise: the service account of the key."""
    ip_address: str | None = None
    user_agent: str | None = None
    request_id: str | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What happened."""

    type: str
    at: int
    source: Source
    project: str | None = None
    """That it was done in; None where it concerns none."""
    project_name: str | None = None
    resource: str | None = None
    details: Json = {}
    """Of this type, in OpenAI's form where it has it."""
    result: str = "success"
    """Or `refused`."""


def _index_of(record: Record) -> Mapping[str, str]:
    body = msgspec.json.decode(record.body)
    actor = body["actor"]
    key = actor.get("api_key") or {}
    user = (actor.get("session") or {}).get("user") or {}
    details = body.get(body["type"]) or {}
    return index(
        type=body["type"],
        at=body["effective_at"],
        project=(body.get("project") or {}).get("id"),
        actor=key.get("id") or user.get("id") or _own(actor["type"]),
        owner=(key.get("service_account") or {}).get("id", ""),
        resource=details.get("id"),
    )


def _own(actor_type: str) -> str:
    return "" if actor_type in ("api_key", "session") else actor_type


KIND = Kind(name="audit_event", indexes=INDEXES, index_of=_index_of)
"""Body: the event as it is answered. Parent: itself."""


def index(
    *, type: str, at: int, project: str | None, actor: str, owner: str, resource: str | None
) -> dict[str, str]:
    """What an event is found by; what it does not have is not there."""
    named = {"day": day_of(at), "type": type, "actor": actor, "owner": owner}
    named |= {"project": project or "", "resource": resource or ""}
    return {name: value for name, value in named.items() if value}


def day_of(at: int) -> str:
    """The day of a time, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def event_id(random: str, project: str) -> str:
    """An event's id, from which it can be told whose record it is."""
    return f"{ID_PREFIX}{random}-{project}"


def project_of_id(id: str) -> str | None:
    """Whose record has that id; None where no event has such an id."""
    if not id.startswith(ID_PREFIX):
        return None
    _, separator, project = id.removeprefix(ID_PREFIX).partition("-")
    return project if separator else None


def project_told_of(record: Record) -> str | None:
    """The project that an event names; None for that of its erasure, which stays as its proof."""
    body = msgspec.json.decode(record.body)
    if body["type"] == TOLD["projects.erase"].type:
        return None
    project: str | None = (body.get("project") or {}).get("id")
    return project


def body_of(id: str, event: Event) -> Json:
    """An event as it is kept, listed and exported."""
    source, details = event.source, dict(event.details)
    if event.resource is not None:
        details = {"id": event.resource, **details}
    body: Json = {
        "id": id,
        "object": "organization.audit_log",
        "type": event.type,
        "effective_at": event.at,
    }
    if event.project is not None:
        body["project"] = {"id": event.project, "name": event.project_name}
    return body | {
        "actor": source.actor,
        "ip_address": source.ip_address,
        "user_agent": source.user_agent,
        "request_id": source.request_id,
        "result": event.result,
        event.type: details,
    }


def record_of(event: Event, *, id: str) -> Insert:
    """The write that keeps an event.

    It is its own parent: a list that several write into is waited for, and one that is cleared
    leaves no cursors.
    """
    source = event.source
    return Insert(
        kind=KIND.name,
        id=id,
        parent=id,
        created_at=event.at,
        body=msgspec.json.encode(body_of(id, event)),
        index=index(
            type=event.type,
            at=event.at,
            project=event.project,
            actor=source.actor_id,
            owner=source.owner_id,
            resource=event.resource,
        ),
    )
