"""The administration of projects and keys, in OpenAI's forms."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from famulus_schemas.keys import Role
from famulus_schemas.wire import Answer, Cursor, Order, PageLimit, Request, UnixSeconds

ShownName: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=256, description="What it is called in lists.")
]
Lifetime: TypeAlias = Annotated[
    int, Meta(ge=1, le=3_153_600_000, description="Seconds until the key expires.")
]
ScopeName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
Scopes: TypeAlias = Annotated[
    list[ScopeName],
    Meta(max_length=64, description="What the key may do, as `threads.read`; none is all."),
]


class Project(Answer, frozen=True, kw_only=True):
    """A project: all that is stored belongs to one."""

    id: str
    object: Literal["organization.project"] = "organization.project"
    name: str
    created_at: UnixSeconds
    archived_at: UnixSeconds | None = None
    status: Literal["active", "archived"] = "active"


class CreateProject(Request, frozen=True, kw_only=True):
    """A new project."""

    name: ShownName


class ModifyProject(Request, frozen=True, kw_only=True):
    """Changes of a project."""

    name: ShownName | UnsetType = UNSET


class ProjectQuery(Struct, frozen=True, kw_only=True):
    """Which page of the projects to return, oldest first."""

    limit: PageLimit = 20
    after: Cursor | None = None
    include_archived: bool = False


class PageQuery(Struct, frozen=True, kw_only=True):
    """Which page of a list to return, oldest first."""

    limit: PageLimit = 20
    after: Cursor | None = None


class KeyQuery(Struct, frozen=True, kw_only=True):
    """Which page of a project's keys to return, oldest first."""

    limit: PageLimit = 20
    after: Cursor | None = None
    owner_project_access: Literal["active", "inactive", "any"] = "any"


class AdminKeyQuery(Struct, frozen=True, kw_only=True):
    """Which page of the admin keys to return."""

    limit: PageLimit = 20
    order: Order = "asc"
    after: Cursor | None = None


class KeyUser(Answer, frozen=True, kw_only=True):
    """Whom a key speaks for that belongs to no service account: itself."""

    id: str
    object: Literal["organization.user"] = "organization.user"
    type: Literal["user"] = "user"
    name: str
    email: str = ""
    created_at: UnixSeconds
    role: Literal["owner", "member"]


class ServiceAccount(Answer, frozen=True, kw_only=True):
    """Somebody in a project who is no person."""

    id: str
    object: Literal["organization.project.service_account"] = "organization.project.service_account"
    name: str
    role: Role
    created_at: UnixSeconds


class KeyOwner(Answer, frozen=True, kw_only=True):
    """Whom a project's key speaks for: a service account, or else itself."""

    type: Literal["user", "service_account"]
    user: KeyUser | UnsetType = UNSET
    service_account: ServiceAccount | UnsetType = UNSET


class ProjectApiKey(Answer, frozen=True, kw_only=True):
    """A project's key, without what makes it valid."""

    id: str
    object: Literal["organization.project.api_key"] = "organization.project.api_key"
    name: str
    redacted_value: str
    created_at: UnixSeconds
    last_used_at: UnixSeconds | None
    expires_at: UnixSeconds | None
    owner: KeyOwner
    owner_project_access: Literal["active", "inactive"] = "active"
    scopes: list[str]


class ModifyApiKey(Request, frozen=True, kw_only=True):
    """Changes of a key."""

    scopes: Scopes | UnsetType = UNSET
    expires_in_seconds: Lifetime | UnsetType = UNSET


class CreateServiceAccount(Request, frozen=True, kw_only=True):
    """A new service account, with a key unless it is said otherwise."""

    name: ShownName
    create_service_account_only: bool | None = None
    expires_in_seconds: Lifetime | None = None


class ModifyServiceAccount(Request, frozen=True, kw_only=True):
    """Changes of a service account."""

    name: ShownName | UnsetType = UNSET
    role: Literal["owner", "member", "reader"] | UnsetType = UNSET


class ServiceAccountKey(Answer, frozen=True, kw_only=True):
    """The key of a new service account; `value` is shown only now."""

    id: str
    object: Literal["organization.project.service_account.api_key"] = (
        "organization.project.service_account.api_key"
    )
    name: str
    value: str
    created_at: UnixSeconds
    expires_at: UnixSeconds | None = None


class NewServiceAccount(Answer, frozen=True, kw_only=True):
    """A service account that was just made."""

    id: str
    object: Literal["organization.project.service_account"] = "organization.project.service_account"
    name: str
    role: Role
    created_at: UnixSeconds
    api_key: ServiceAccountKey | None


class AdminApiKey(Answer, frozen=True, kw_only=True):
    """A key for the administration; `value` comes once, with the answer that makes it."""

    id: str
    object: Literal["organization.admin_api_key"] = "organization.admin_api_key"
    name: str
    redacted_value: str
    created_at: UnixSeconds
    last_used_at: UnixSeconds | None
    expires_at: UnixSeconds | None
    owner: KeyUser
    value: str | UnsetType = UNSET


class CreateAdminApiKey(Request, frozen=True, kw_only=True):
    """A new admin key."""

    name: ShownName
    expires_in_seconds: Lifetime | UnsetType = UNSET


class ApiKeyDeleted(Answer, frozen=True, kw_only=True):
    """The key is not valid any more."""

    id: str
    object: Literal["organization.project.api_key.deleted"] = "organization.project.api_key.deleted"
    deleted: bool = True


class AdminApiKeyDeleted(Answer, frozen=True, kw_only=True):
    """The admin key is not valid any more."""

    id: str
    object: Literal["organization.admin_api_key.deleted"] = "organization.admin_api_key.deleted"
    deleted: bool = True


class ServiceAccountDeleted(Answer, frozen=True, kw_only=True):
    """The service account is gone, and its keys are not valid any more."""

    id: str
    object: Literal["organization.project.service_account.deleted"] = (
        "organization.project.service_account.deleted"
    )
    deleted: bool = True
