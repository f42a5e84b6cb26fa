"""Operations of keys: those of projects, and those of the administration itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET
from msgspec.structs import replace

from famulus import Call, Problem, operation
from famulus_admin.forms import admin_key, listed, of_path, project_key, scopes_of
from famulus_schemas.identity import SYSTEM_PROJECT
from famulus_schemas.keys import StoredAccount, StoredKey
from famulus_schemas.lists import ListPage
from famulus_schemas.organization import (
    AdminApiKey,
    AdminApiKeyDeleted,
    AdminKeyQuery,
    ApiKeyDeleted,
    CreateAdminApiKey,
    KeyQuery,
    ModifyApiKey,
    ProjectApiKey,
)

if TYPE_CHECKING:
    from famulus_admin.plugin import Admin

_KEYS = "/v1/organization/projects/{project_id}/api_keys"
_ADMIN_KEYS = "/v1/organization/admin_api_keys"
READ, WRITE = "organization.read", "organization.write"
_NOT_FOUND = 404


class KeyOperations:
    """What admin keys may do with keys."""

    def __init__(self, plugin: Admin) -> None:
        self._plugin = plugin

    @operation("GET", _KEYS, action=READ)
    async def list_project_api_keys(
        self, call: Call, project_id: str, query: KeyQuery
    ) -> ListPage[ProjectApiKey]:
        """List the keys of a project."""
        page = await self._plugin.keys.keys(
            of_path(project_id), after=query.after, limit=query.limit
        )
        owners = {key.id: await self._owner(project_id, key) for key in page.data}
        found: ListPage[ProjectApiKey] = listed(page, lambda key: project_key(key, owners[key.id]))
        # Whoever a key speaks for here is in its project, or gone together with it.
        return replace(found, data=[]) if query.owner_project_access == "inactive" else found

    @operation("GET", f"{_KEYS}/{{api_key_id}}", action=READ)
    async def retrieve_project_api_key(
        self, call: Call, project_id: str, api_key_id: str
    ) -> ProjectApiKey:
        """Retrieve a key of a project."""
        return await self._answer(
            project_id, await self._plugin.keys.key(of_path(project_id), api_key_id)
        )

    @operation("POST", f"{_KEYS}/{{api_key_id}}", action=WRITE, keeps_answer=False)
    async def modify_project_api_key(
        self, call: Call, project_id: str, api_key_id: str, body: ModifyApiKey
    ) -> ProjectApiKey:
        """Give a key other scopes or another end."""
        plugin, lifetime = self._plugin, body.expires_in_seconds
        changed = await plugin.keys.change_key(
            of_path(project_id),
            api_key_id,
            by=call.principal,
            scopes=None if body.scopes is UNSET else scopes_of(body.scopes),
            expires_at=None if lifetime is UNSET else plugin.now() + lifetime,
        )
        return await self._answer(project_id, changed)

    @operation("DELETE", f"{_KEYS}/{{api_key_id}}", action=WRITE)
    async def delete_project_api_key(
        self, call: Call, project_id: str, api_key_id: str
    ) -> ApiKeyDeleted:
        """Delete a key of a project: it lets nobody in any more."""
        await self._plugin.keys.revoke_key(of_path(project_id), api_key_id, by=call.principal)
        return ApiKeyDeleted(id=api_key_id)

    @operation("GET", _ADMIN_KEYS, action=READ)
    async def list_admin_api_keys(self, call: Call, query: AdminKeyQuery) -> ListPage[AdminApiKey]:
        """List the admin keys."""
        page = await self._plugin.keys.keys(
            SYSTEM_PROJECT, after=query.after, limit=query.limit, order=query.order
        )
        return listed(page, admin_key)

    @operation("POST", _ADMIN_KEYS, action=WRITE, keeps_answer=False)
    async def create_admin_api_key(self, call: Call, body: CreateAdminApiKey) -> AdminApiKey:
        """Create an admin key; it is shown only now."""
        plugin, lifetime = self._plugin, body.expires_in_seconds
        key, value = await plugin.keys.create_key(
            SYSTEM_PROJECT,
            by=call.principal,
            name=body.name,
            expires_at=None if lifetime is UNSET else plugin.now() + lifetime,
        )
        return replace(admin_key(key), value=value)

    @operation("GET", f"{_ADMIN_KEYS}/{{key_id}}", action=READ)
    async def retrieve_admin_api_key(self, call: Call, key_id: str) -> AdminApiKey:
        """Retrieve an admin key."""
        return admin_key(await self._plugin.keys.key(SYSTEM_PROJECT, key_id))

    @operation("DELETE", f"{_ADMIN_KEYS}/{{key_id}}", action=WRITE)
    async def delete_admin_api_key(self, call: Call, key_id: str) -> AdminApiKeyDeleted:
        """Delete an admin key: it lets nobody in any more."""
        await self._plugin.keys.revoke_key(SYSTEM_PROJECT, key_id, by=call.principal)
        return AdminApiKeyDeleted(id=key_id)

    async def _answer(self, project_id: str, key: StoredKey) -> ProjectApiKey:
        return project_key(key, await self._owner(project_id, key))

    async def _owner(self, project_id: str, key: StoredKey) -> StoredAccount | None:
        if key.owner is None:
            return None
        try:
            return await self._plugin.keys.account(project_id, key.owner)
        except Problem as problem:
            # It is being deleted, and the key with it.
            if problem.status == _NOT_FOUND:
                return None
            raise
