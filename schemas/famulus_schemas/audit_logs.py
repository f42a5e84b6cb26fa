"""The audit log, in OpenAI's forms: what is asked for, and what an event is."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from famulus_schemas.wire import Answer, Cursor, PageLimit, UnixSeconds

ID_PREFIX = "audit_log-"

Names: TypeAlias = Annotated[list[Annotated[str, Meta(max_length=512)]], Meta(max_length=64)]
Seconds: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]


class EffectiveAt(Struct, frozen=True, kw_only=True):
    """A time in which events were."""

    gt: Seconds | None = None
    gte: Seconds | None = None
    lt: Seconds | None = None
    lte: Seconds | None = None


class AuditLogQuery(Struct, frozen=True, kw_only=True):
    """Which events to return, newest first; on the wire `event_types[]` and the like."""

    effective_at: EffectiveAt = EffectiveAt()
    project_ids: Names = []
    event_types: Names = []
    actor_ids: Names = []
    """Of keys, service accounts and users."""
    actor_emails: Names = []
    resource_ids: Names = []
    tenant_only: bool = False
    """Only events of a tenant, of which there are none."""
    limit: PageLimit = 20
    after: Cursor | None = None
    before: Cursor | None = None


class AuditProject(Answer, frozen=True, kw_only=True):
    """The project that something was done in."""

    id: str
    name: str | None = None


class AuditUser(Answer, frozen=True, kw_only=True):
    """A user, or a key that speaks for itself."""

    id: str
    email: str | None = None


class AuditServiceAccount(Answer, frozen=True, kw_only=True):
    """A service account."""

    id: str


class AuditApiKey(Answer, frozen=True, kw_only=True):
    """The key that was used."""

    id: str
    type: Literal["user", "service_account"]
    user: AuditUser | UnsetType = UNSET
    service_account: AuditServiceAccount | UnsetType = UNSET


class AuditSession(Answer, frozen=True, kw_only=True):
    """A user who came in without a key, or somebody who was not let in."""

    user: AuditUser | None = None
    ip_address: str | None = None


class AuditCommand(Answer, frozen=True, kw_only=True):
    """Somebody at the command line."""

    user: str
    """By the name that the operating system has."""


class AuditActor(Answer, frozen=True, kw_only=True):
    """Who did something; `command_line` and `server` are our own types."""

    type: Literal["session", "api_key", "command_line", "server"]
    api_key: AuditApiKey | UnsetType = UNSET
    session: AuditSession | UnsetType = UNSET
    command_line: AuditCommand | UnsetType = UNSET


class AuditLog(Answer, frozen=True, kw_only=True):
    """An event. Its details are under a name of its own, which is its type."""

    id: str
    object: Literal["organization.audit_log"] = "organization.audit_log"
    type: str
    effective_at: UnixSeconds
    project: AuditProject | UnsetType = UNSET
    actor: AuditActor
    ip_address: str | None
    user_agent: str | None
    request_id: str | None
    result: Literal["success", "refused"]
