"""From the unit that a request commits to the events that tell of it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from famulus_audit.events import Json
from famulus_audit.words import BESIDES, TOLD, type_of
from famulus_schemas.keys import StoredAccount, StoredKey, StoredProject
from famulus_schemas.rate_limits import StoredRateLimit
from famulus_schemas.records import Delete, Insert, Replace, Unit, Write


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a change."""

    type: str
    resource: str | None = None
    details: Json = {}
    called: str | None = None
    """A project's name as it is from now on, where that is what is changed."""


def changes_of(action: str, unit: Unit, *, named: str | None) -> Iterator[Change]:
    """What a unit changes. `named` is the id that its request was sent to."""
    told = TOLD.get(action)
    kind = told.kind if told is not None else None
    main = next((write for write in unit if _is_of(write, kind)), None)
    if main is None and told is None:
        # Of a plugin that is not ours: what it writes first is what it is about.
        main = next((write for write in unit if isinstance(write, Insert | Replace | Delete)), None)
    resource = named if main is None else _id_of(main)
    details, called = ({}, None) if main is None else _details(main)
    yield Change(
        type=type_of(action) if told is None else told.type,
        resource=resource,
        details=details,
        called=called,
    )
    for write in unit:
        if isinstance(write, Insert) and write is not main and write.kind in BESIDES:
            yield Change(type=BESIDES[write.kind], resource=write.id)


def _is_of(write: Write, kind: str | None) -> bool:
    return isinstance(write, Insert | Replace | Delete) and write.kind == kind


def _id_of(write: Write) -> str | None:
    """The id by which clients know it: that of a store's file follows the store's."""
    assert isinstance(write, Insert | Replace | Delete)
    return write.id.rpartition("/")[2] if write.kind == "vector_store_file" else write.id


def _details(write: Write) -> tuple[Json, str | None]:
    """Of projects, keys, service accounts and limits; all else is content."""
    if not isinstance(write, Insert | Replace) or write.body is None:
        return {}, None
    is_new = isinstance(write, Insert)
    if write.kind == "key":
        return _of_key(msgspec.json.decode(write.body, type=StoredKey), is_new=is_new), None
    if write.kind == "project":
        project = msgspec.json.decode(write.body, type=StoredProject)
        return _of_project(project, is_new=is_new), project.name
    if write.kind == "service_account":
        account = msgspec.json.decode(write.body, type=StoredAccount)
        return {"data" if is_new else "changes_requested": {"role": account.role}}, None
    if write.kind == "rate_limit":
        limit = msgspec.json.decode(write.body, type=StoredRateLimit)
        return {"changes_requested": _of_rate_limit(limit)}, None
    return {}, None


def _of_rate_limit(limit: StoredRateLimit) -> Json:
    """All that is set of it then."""
    told: Json = msgspec.to_builtins(limit)
    return {name: amount for name, amount in told.items() if name != "model"}


def _of_key(key: StoredKey, *, is_new: bool) -> Json:
    told: Json = {"scopes": [f"api.{scope}" for scope in key.scopes]}
    if not is_new:
        return {"changes_requested": told | {"expires_at": key.expires_at}}
    return {"data": told, "expires_at": key.expires_at}


def _of_project(project: StoredProject, *, is_new: bool) -> Json:
    if project.archived_at is not None:
        return {}
    return {"data" if is_new else "changes_requested": {"title": project.name}}
