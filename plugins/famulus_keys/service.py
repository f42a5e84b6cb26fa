"""What `need(KEYS)` gives: projects, their keys and their service accounts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec
from msgspec.structs import replace

from famulus import Problem, found, missing, modify
from famulus.resources import Join
from famulus_keys.projects import ALWAYS, account_of, project_of, rewritten
from famulus_keys.store import KEYS_PER_READ, key_of
from famulus_schemas.errors import IS_ARCHIVED, UNKNOWN_CURSOR, Fault
from famulus_schemas.identity import SYSTEM_PROJECT, Principal
from famulus_schemas.keys import Role, StoredAccount, StoredKey, StoredProject
from famulus_schemas.ports import Page
from famulus_schemas.records import (
    Conflict,
    Delete,
    Insert,
    Record,
    Records,
    Replace,
    UnknownCursor,
)

if TYPE_CHECKING:
    from famulus_keys.plugin import Keys

T = TypeVar("T")

ERASED = "(erased)"
STAYS = Fault(400, "default_project", "The default project cannot be archived.")


class KeyService:
    """Changes of projects and keys."""

    def __init__(self, plugin: Keys) -> None:
        self._plugin = plugin

    # --- projects -----------------------------------------------------------------------------

    async def create_project(
        self, name: str, *, by: Principal, id: str | None = None
    ) -> StoredProject:
        """A new project; with `id` it is called so, or is the one that already is."""
        plugin = self._plugin
        assert id != SYSTEM_PROJECT
        project = StoredProject(id=id or plugin.new_id("proj_"), name=name, created_at=plugin.now())
        join = self._join(by, SYSTEM_PROJECT, "projects.create")
        added = await plugin.projects.add(project, join=join)
        return project if added else await self.project(project.id)

    async def project(self, id: str) -> StoredProject:
        """One project, archived or not."""
        return project_of(await found(self._projects, "project", id, thing="project"))

    async def projects(
        self, *, after: str | None, limit: int, with_archived: bool
    ) -> Page[StoredProject]:
        """The projects, oldest first."""
        where = {} if with_archived else {"status": "active"}
        return await _page(
            self._projects, "project", project_of, after=after, limit=limit, where=where
        )

    async def rename_project(self, id: str, name: str, *, by: Principal) -> StoredProject:
        """Call a project otherwise."""
        join = self._join(by, SYSTEM_PROJECT, "projects.modify")
        return await self._change_project(id, lambda each: replace(each, name=name), join)

    async def archive_project(self, id: str, *, by: Principal) -> StoredProject:
        """Let nobody in any more."""
        if id in ALWAYS:
            await self.project(id)
            raise Problem(STAYS, param="project_id")
        now = self._plugin.now()
        join = self._join(by, SYSTEM_PROJECT, "projects.archive")
        archived = await self._change_project(id, lambda each: replace(each, archived_at=now), join)
        self._plugin.keyring.forget()
        return archived

    async def close_project(self, id: str, *, by: Principal) -> None:
        """Shut a project whose data is to be erased."""
        plugin = self._plugin
        record = await self._projects.get("project", id)
        if record is not None and id not in ALWAYS:
            project = project_of(record)
            closed = replace(project, name=ERASED, archived_at=project.archived_at or plugin.now())
            join = self._join(by, SYSTEM_PROJECT, "projects.erase")
            await self._projects.commit(await join([rewritten(record, closed)]))
        keys = self._of(id)
        while (page := await keys.page("key", limit=KEYS_PER_READ)).records:
            for key in page.records:
                join = self._join(by, id, "api_keys.delete")
                with suppress(Conflict):
                    await keys.commit(await join([Delete(kind="key", id=key.id)]))
        plugin.keyring.forget()

    async def _change_project(
        self, id: str, change: Callable[[StoredProject], StoredProject], join: Join
    ) -> StoredProject:
        def rewrite(record: Record) -> Replace:
            project = project_of(record)
            if project.archived_at is not None:
                raise Problem(IS_ARCHIVED, id=id)
            return rewritten(record, change(project))

        await modify(self._projects, "project", id, thing="project", change=rewrite, join=join)
        return await self.project(id)

    # --- keys ---------------------------------------------------------------------------------

    async def create_key(
        self,
        project: str,
        *,
        by: Principal,
        name: str = "",
        expires_at: int | None = None,
        owner: str | None = None,
        scopes: tuple[str, ...] | None = None,
    ) -> tuple[StoredKey, str]:
        """A new key, and the text that is its only copy."""
        await self._open(project)
        made = await self._plugin.create(
            project=project, by=by, name=name, expires_at=expires_at, owner=owner, scopes=scopes
        )
        assert made is not None
        return made

    async def key(self, project: str, id: str) -> StoredKey:
        """One key."""
        await self._known(project)
        return key_of(await found(self._of(project), "key", id, thing="API key"))

    async def keys(
        self, project: str, *, after: str | None, limit: int, order: Literal["asc", "desc"] = "asc"
    ) -> Page[StoredKey]:
        """The keys of a project."""
        await self._known(project)
        return await _page(self._of(project), "key", key_of, after=after, limit=limit, order=order)

    async def change_key(
        self,
        project: str,
        id: str,
        *,
        by: Principal,
        scopes: tuple[str, ...] | None = None,
        expires_at: int | None = None,
    ) -> StoredKey:
        """Give a key other scopes or another end."""
        await self._open(project)

        def rewrite(record: Record) -> Replace:
            key = key_of(record)
            changed = replace(
                key,
                scopes=key.scopes if scopes is None else scopes,
                expires_at=key.expires_at if expires_at is None else expires_at,
            )
            body = msgspec.json.encode(changed)
            return Replace(kind="key", id=id, version=record.version, body=body)

        join = self._join(by, project, "api_keys.modify")
        await modify(self._of(project), "key", id, thing="API key", change=rewrite, join=join)
        self._plugin.keyring.forget()
        return await self.key(project, id)

    async def rotate_key(
        self, project: str, id: str, *, by: Principal, grace_s: int
    ) -> tuple[StoredKey, str]:
        """A new key in the place of an old one, which ends later."""
        old = await self.key(project, id)
        made = await self.create_key(
            project,
            by=by,
            name=old.name,
            expires_at=old.expires_at,
            owner=old.owner,
            scopes=old.scopes,
        )
        ends = self._plugin.now() + grace_s
        ends = ends if old.expires_at is None else min(ends, old.expires_at)
        await self.change_key(project, id, by=by, expires_at=ends)
        return made

    async def revoke_key(self, project: str, id: str, *, by: Principal) -> None:
        """Make a key invalid for good."""
        await self._known(project)
        unit = [Delete(kind="key", id=id)]
        await self._end(project, "api_keys.delete", unit, by=by, thing="API key")
        self._plugin.keyring.forget()

    # --- service accounts ---------------------------------------------------------------------

    async def create_account(
        self, project: str, name: str, *, by: Principal, role: Role
    ) -> StoredAccount:
        """A new service account."""
        await self._open_project(project)
        plugin = self._plugin
        account = StoredAccount(
            id=plugin.new_id("svc_acct_"), name=name, role=role, created_at=plugin.now()
        )
        write = Insert(
            kind="service_account",
            id=account.id,
            created_at=account.created_at,
            body=msgspec.json.encode(account),
        )
        join = self._join(by, project, "service_accounts.create")
        await self._of(project).commit(await join([write]))
        return account

    async def account(self, project: str, id: str) -> StoredAccount:
        """One service account."""
        await self.project(project)
        return account_of(
            await found(self._of(project), "service_account", id, thing="service account")
        )

    async def accounts(self, project: str, *, after: str | None, limit: int) -> Page[StoredAccount]:
        """The service accounts of a project, oldest first."""
        await self.project(project)
        return await _page(
            self._of(project), "service_account", account_of, after=after, limit=limit
        )

    async def change_account(
        self,
        project: str,
        id: str,
        *,
        by: Principal,
        name: str | None = None,
        role: Role | None = None,
    ) -> StoredAccount:
        """Call a service account otherwise, or let its keys do more or less."""
        await self._open_project(project)

        def rewrite(record: Record) -> Replace:
            kept = account_of(record)
            changed = replace(kept, name=name or kept.name, role=role or kept.role)
            body = msgspec.json.encode(changed)
            return Replace(kind="service_account", id=id, version=record.version, body=body)

        await modify(
            self._of(project),
            "service_account",
            id,
            thing="service account",
            change=rewrite,
            join=self._join(by, project, "service_accounts.modify"),
        )
        self._plugin.keyring.forget()
        return await self.account(project, id)

    async def delete_account(self, project: str, id: str, *, by: Principal) -> None:
        """End a service account, and all of its keys."""
        await self.account(project, id)
        unit = [Delete(kind="service_account", id=id)]
        after: str | None = None
        while True:
            page = await self.keys(project, after=after, limit=KEYS_PER_READ)
            for key in page.data:
                if key.owner == id:
                    await self.revoke_key(project, key.id, by=by)
            if not page.has_more:
                break
            after = page.data[-1].id
        await self._end(project, "service_accounts.delete", unit, by=by, thing="service account")

    # --- where it is kept ---------------------------------------------------------------------

    @property
    def _projects(self) -> Records:
        return self._plugin.projects.records

    def _of(self, project: str) -> Records:
        return self._plugin.store.of(project)

    def _join(self, by: Principal, project: str, action: str) -> Join:
        """Adds what others must have committed with what `by` does in a project."""
        return partial(self._plugin.joined, replace(by, project=project), action)

    async def _end(
        self, project: str, action: str, unit: Sequence[Delete], *, by: Principal, thing: str
    ) -> None:
        joined = await self._join(by, project, action)(unit)
        try:
            await self._of(project).commit(joined)
        except Conflict as conflict:
            raise missing(thing, unit[0].id) from conflict

    async def _known(self, project: str) -> None:
        """Raise Problem (404) where there is no such project, nor is it that of admin keys."""
        if project != SYSTEM_PROJECT:
            await self.project(project)

    async def _open(self, project: str) -> None:
        """Raise Problem where there is no such project, or nobody is let in to it."""
        if project != SYSTEM_PROJECT:
            await self._open_project(project)

    async def _open_project(self, project: str) -> None:
        """As `_open`, where the keys of admins are those of no project."""
        if (await self.project(project)).archived_at is not None:
            raise Problem(IS_ARCHIVED, id=project)


async def _page(
    records: Records,
    kind: str,
    of: Callable[[Record], T],
    *,
    after: str | None,
    limit: int,
    order: Literal["asc", "desc"] = "asc",
    where: dict[str, str] | None = None,
) -> Page[T]:
    try:
        page = await records.page(kind, after=after, limit=limit, order=order, where=where or {})
    except UnknownCursor as error:
        raise Problem(UNKNOWN_CURSOR, param=error.name, name=error.name, id=error.id) from error
    return Page(data=[of(record) for record in page.records], has_more=page.has_more)
