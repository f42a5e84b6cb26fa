"""Operations of projects and of their service accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from famulus import Call, operation
from famulus_admin.forms import account, listed, project
from famulus_schemas.lists import ListPage
from famulus_schemas.organization import (
    CreateProject,
    CreateServiceAccount,
    ModifyProject,
    ModifyServiceAccount,
    NewServiceAccount,
    PageQuery,
    Project,
    ProjectQuery,
    ServiceAccount,
    ServiceAccountDeleted,
    ServiceAccountKey,
)

if TYPE_CHECKING:
    from famulus_admin.plugin import Admin

_PROJECTS = "/v1/organization/projects"
_ACCOUNTS = f"{_PROJECTS}/{{project_id}}/service_accounts"
READ, WRITE = "organization.read", "organization.write"


class ProjectOperations:
    """What admin keys may do with projects."""

    def __init__(self, plugin: Admin) -> None:
        self._plugin = plugin

    @operation("GET", _PROJECTS, action=READ)
    async def list_projects(self, call: Call, query: ProjectQuery) -> ListPage[Project]:
        """List the projects."""
        page = await self._plugin.keys.projects(
            after=query.after, limit=query.limit, with_archived=query.include_archived
        )
        return listed(page, project)

    @operation("POST", _PROJECTS, action=WRITE, keeps_answer=False)
    async def create_project(self, call: Call, body: CreateProject) -> Project:
        """Create a project."""
        return project(await self._plugin.keys.create_project(body.name, by=call.principal))

    @operation("GET", f"{_PROJECTS}/{{project_id}}", action=READ)
    async def retrieve_project(self, call: Call, project_id: str) -> Project:
        """Retrieve a project."""
        return project(await self._plugin.keys.project(project_id))

    @operation("POST", f"{_PROJECTS}/{{project_id}}", action=WRITE, keeps_answer=False)
    async def modify_project(self, call: Call, project_id: str, body: ModifyProject) -> Project:
        """Call a project otherwise."""
        if body.name is UNSET:
            return project(await self._plugin.keys.project(project_id))
        keys = self._plugin.keys
        return project(await keys.rename_project(project_id, body.name, by=call.principal))

    @operation("POST", f"{_PROJECTS}/{{project_id}}/archive", action=WRITE, keeps_answer=False)
    async def archive_project(self, call: Call, project_id: str) -> Project:
        """Archive a project for good: its keys let nobody in any more, what it has is kept."""
        return project(await self._plugin.keys.archive_project(project_id, by=call.principal))

    @operation("GET", _ACCOUNTS, action=READ)
    async def list_project_service_accounts(
        self, call: Call, project_id: str, query: PageQuery
    ) -> ListPage[ServiceAccount]:
        """List the service accounts of a project."""
        page = await self._plugin.keys.accounts(project_id, after=query.after, limit=query.limit)
        return listed(page, account)

    @operation("POST", _ACCOUNTS, action=WRITE, keeps_answer=False)
    async def create_project_service_account(
        self, call: Call, project_id: str, body: CreateServiceAccount
    ) -> NewServiceAccount:
        """Create a service account; its key is shown only now."""
        keys = self._plugin.keys
        alone = bool(body.create_service_account_only)
        made = await keys.create_account(
            project_id, body.name, by=call.principal, role="none" if alone else "member"
        )
        return NewServiceAccount(
            id=made.id,
            name=made.name,
            role=made.role,
            created_at=made.created_at,
            api_key=None if alone else await self._key_of(call, project_id, made.id, body),
        )

    async def _key_of(
        self, call: Call, project_id: str, account_id: str, body: CreateServiceAccount
    ) -> ServiceAccountKey:
        plugin, lifetime = self._plugin, body.expires_in_seconds
        key, value = await plugin.keys.create_key(
            project_id,
            by=call.principal,
            name=body.name,
            owner=account_id,
            expires_at=None if lifetime is None else plugin.now() + lifetime,
        )
        return ServiceAccountKey(
            id=key.id,
            name=key.name,
            value=value,
            created_at=key.created_at,
            expires_at=key.expires_at,
        )

    @operation("GET", f"{_ACCOUNTS}/{{service_account_id}}", action=READ)
    async def retrieve_project_service_account(
        self, call: Call, project_id: str, service_account_id: str
    ) -> ServiceAccount:
        """Retrieve a service account."""
        return account(await self._plugin.keys.account(project_id, service_account_id))

    @operation("POST", f"{_ACCOUNTS}/{{service_account_id}}", action=WRITE, keeps_answer=False)
    async def modify_project_service_account(
        self, call: Call, project_id: str, service_account_id: str, body: ModifyServiceAccount
    ) -> ServiceAccount:
        """Call a service account otherwise, or give it another role: a reader's keys only read."""
        changed = await self._plugin.keys.change_account(
            project_id,
            service_account_id,
            by=call.principal,
            name=None if body.name is UNSET else body.name,
            role=None if body.role is UNSET else body.role,
        )
        return account(changed)

    @operation("DELETE", f"{_ACCOUNTS}/{{service_account_id}}", action=WRITE)
    async def delete_project_service_account(
        self, call: Call, project_id: str, service_account_id: str
    ) -> ServiceAccountDeleted:
        """Delete a service account; its keys let nobody in any more."""
        await self._plugin.keys.delete_account(project_id, service_account_id, by=call.principal)
        return ServiceAccountDeleted(id=service_account_id)
