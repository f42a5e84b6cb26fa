"""Between what is kept of projects and keys, and what is answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from famulus import Problem, missing
from famulus_schemas.errors import INVALID
from famulus_schemas.identity import SYSTEM_PROJECT
from famulus_schemas.keys import ALL, StoredAccount, StoredKey, StoredProject, normal_scopes
from famulus_schemas.lists import ListPage
from famulus_schemas.organization import (
    AdminApiKey,
    KeyOwner,
    KeyUser,
    Project,
    ProjectApiKey,
    ServiceAccount,
)
from famulus_schemas.ports import Page

T = TypeVar("T")
Listed = TypeVar("Listed", Project, ProjectApiKey, ServiceAccount, AdminApiKey)


def project(kept: StoredProject) -> Project:
    """A project as it is answered."""
    return Project(
        id=kept.id,
        name=kept.name,
        created_at=kept.created_at,
        archived_at=kept.archived_at,
        status="active" if kept.archived_at is None else "archived",
    )


def account(kept: StoredAccount) -> ServiceAccount:
    """A service account as it is answered."""
    return ServiceAccount(id=kept.id, name=kept.name, role=kept.role, created_at=kept.created_at)


def project_key(kept: StoredKey, owner: StoredAccount | None) -> ProjectApiKey:
    """A project's key as it is answered; `owner` is the service account that it is of."""
    if owner is None:
        whose = KeyOwner(type="user", user=_itself(kept, is_admin=False))
    else:
        whose = KeyOwner(type="service_account", service_account=account(owner))
    return ProjectApiKey(
        id=kept.id,
        name=kept.name,
        redacted_value=_redacted(kept, "sk-fam-"),
        created_at=kept.created_at,
        last_used_at=kept.last_used_at,
        expires_at=kept.expires_at,
        owner=whose,
        scopes=[] if ALL in kept.scopes else [f"api.{scope}" for scope in kept.scopes],
    )


def admin_key(kept: StoredKey) -> AdminApiKey:
    """An admin key as it is answered."""
    return AdminApiKey(
        id=kept.id,
        name=kept.name,
        redacted_value=_redacted(kept, "sk-admin-"),
        created_at=kept.created_at,
        last_used_at=kept.last_used_at,
        expires_at=kept.expires_at,
        owner=_itself(kept, is_admin=True),
    )


def listed(page: Page[T], form: Callable[[T], Listed]) -> ListPage[Any]:
    """A page in the envelope of lists."""
    data = [form(each) for each in page.data]
    return ListPage(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=page.has_more,
    )


def of_path(project_id: str) -> str:
    """The project that a path names. Raises Problem (404) for that of admin keys: it is none."""
    if project_id == SYSTEM_PROJECT:
        raise missing("project", project_id)
    return project_id


def scopes_of(given: list[str]) -> tuple[str, ...]:
    """Scopes as they are kept. Raises Problem naming the one that is none."""
    try:
        return normal_scopes(given)
    except ValueError as error:
        param = f"scopes[{given.index(str(error))}]"
        reason = "a scope is api.all, or RESOURCE.read or .write, as api.threads.read."
        raise Problem(INVALID, param=param, name=param, reason=reason) from error


def _itself(kept: StoredKey, *, is_admin: bool) -> KeyUser:
    return KeyUser(
        id=kept.id,
        name=kept.name,
        created_at=kept.created_at,
        role="owner" if is_admin else "member",
    )


def _redacted(kept: StoredKey, prefix: str) -> str:
    return f"{prefix}...{kept.last_four}"
