"""Who did something, as it is told in the log."""

from __future__ import annotations

import getpass

import msgspec

from famulus import Call
from famulus_audit.events import Json, Source
from famulus_schemas.audit_logs import (
    AuditActor,
    AuditApiKey,
    AuditCommand,
    AuditServiceAccount,
    AuditSession,
    AuditUser,
)
from famulus_schemas.identity import COMMAND_LINE, SERVER, Principal
from famulus_schemas.notices import RequestRefused


def of_call(call: Call, *, characters_max: int) -> Source:
    """Who sent a request."""
    principal = call.principal
    return _of(
        principal.id,
        principal.key_id,
        client=call.client,
        user_agent=call.headers.get("user-agent", ""),
        request_id=call.request_id,
        characters_max=characters_max,
    )


def of_refused(refused: RequestRefused, *, characters_max: int) -> Source:
    """Who was refused."""
    return _of(
        refused.principal,
        refused.key_id,
        client=refused.client,
        user_agent=refused.user_agent,
        request_id=refused.request_id,
        characters_max=characters_max,
    )


def of_itself(principal: Principal) -> Source | None:
    """Who did something that no request asked for; None where that is told of nowhere."""
    if principal.id == COMMAND_LINE.id:
        actor = AuditActor(type="command_line", command_line=AuditCommand(user=_user()))
        return Source(actor=_json(actor), actor_id=COMMAND_LINE.id)
    if principal.id == SERVER.id:
        return Source(actor=_json(AuditActor(type="server")), actor_id=SERVER.id)
    return None


def _of(
    id: str | None,
    key_id: str | None,
    *,
    client: str,
    user_agent: str,
    request_id: str,
    characters_max: int,
) -> Source:
    owner = id if id and key_id and id != key_id else ""
    if key_id is None:
        user = None if id is None else AuditUser(id=id, email=id if "@" in id else None)
        session = AuditSession(user=user, ip_address=client or None)
        actor = AuditActor(type="session", session=session)
    elif owner:
        account = AuditServiceAccount(id=owner)
        key = AuditApiKey(id=key_id, type="service_account", service_account=account)
        actor = AuditActor(type="api_key", api_key=key)
    else:
        key = AuditApiKey(id=key_id, type="user", user=AuditUser(id=key_id))
        actor = AuditActor(type="api_key", api_key=key)
    return Source(
        actor=_json(actor),
        actor_id=key_id or id or "",
        owner_id=owner,
        ip_address=client or None,
        user_agent=user_agent[:characters_max] or None,
        request_id=request_id,
    )


def _json(actor: AuditActor) -> Json:
    made: Json = msgspec.to_builtins(actor)
    return made


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # Whoever has no name here, as in a container.
        return "unknown"
