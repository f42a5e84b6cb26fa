"""The administration as the official client uses it, and what keys may do that it makes."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from famulus.testing import FixedClock, TestServer, live_server, make_kernel
from famulus_schemas.identity import SERVER

pytestmark = pytest.mark.anyio

PLUGINS = ("sqlite", "keys", "admin", "assistants", "threads")
ADMIN = "the admin key of the deployment"
FIXED = "the key of the deployment"
SETTINGS = {"keys": {"admin_api_key": ADMIN, "api_key": FIXED}}


class House:
    """A server and the official client."""

    def __init__(self, server: TestServer, client: AsyncOpenAI, clock: FixedClock) -> None:
        self.server = server
        self.client = client
        self.clock = clock
        self.projects = client.admin.organization.projects
        self.admin_keys = client.admin.organization.admin_api_keys

    async def ask(self, method: str, path: str, key: str, **more: Any) -> Any:
        """What is answered to a key."""
        headers = {"authorization": f"Bearer {key}"}
        return await self.server.client.request(method, f"/v1{path}", headers=headers, **more)

    async def status(self, key: str, method: str = "GET", path: str = "/assistants") -> int:
        """The status that a key gets."""
        body = {"json": {"model": "m"}} if method == "POST" else {}
        response = await self.ask(method, path, key, **body)
        return int(response.status_code)

    async def key(self, project: str | None = None, **fields: Any) -> tuple[str, str, str]:
        """A new service account's key: the project, the key's id, and the key."""
        if project is None:
            project = (await self.projects.create(name="Billing")).id
        accounts = self.projects.service_accounts
        made = await accounts.create(project_id=project, name="ci", **fields)
        assert made.api_key is not None
        return project, made.api_key.id, made.api_key.value


@asynccontextmanager
async def opened(*more: str) -> AsyncIterator[House]:
    clock = FixedClock()
    with tempfile.TemporaryDirectory() as folder:
        kernel = make_kernel(*PLUGINS, *more, data_dir=Path(folder), settings=SETTINGS, clock=clock)
        async with (
            live_server(kernel) as url,
            AsyncOpenAI(
                base_url=f"{url}/v1", api_key=FIXED, admin_api_key=ADMIN, max_retries=0
            ) as client,
            httpx.AsyncClient(base_url=url, timeout=60) as bare,
        ):
            yield House(TestServer(kernel, bare), client, clock)


async def test_projects_are_made_listed_renamed_and_archived() -> None:
    async with opened() as house:
        first = await house.projects.create(name="Billing")
        second = await house.projects.create(name="Support")
        assert (first.object, first.name, first.status) == (
            "organization.project",
            "Billing",
            "active",
        )
        renamed = await house.projects.update(first.id, name="Invoices")
        assert renamed.name == (await house.projects.retrieve(first.id)).name == "Invoices"
        listed = [each.id async for each in house.projects.list(limit=1)]
        assert listed == ["default", first.id, second.id]
        archived = await house.projects.archive(second.id)
        assert (archived.status, archived.archived_at) == ("archived", int(house.clock.at))
        assert second.id not in [each.id async for each in house.projects.list()]
        with_archived = house.projects.list(include_archived=True)
        assert second.id in [each.id async for each in with_archived]
        with pytest.raises(openai.BadRequestError, match="is archived"):
            await house.projects.update(second.id, name="Again")
        with pytest.raises(openai.BadRequestError, match="default project"):
            await house.projects.archive("default")
        for unknown in ("proj_nothing", "system"):
            with pytest.raises(openai.NotFoundError, match="No project found"):
                await house.projects.retrieve(unknown)


async def test_a_service_account_comes_with_a_key_of_its_project() -> None:
    async with opened() as house:
        project, id, key = await house.key()
        made = await house.ask("POST", "/assistants", key, json={"model": "m"})
        assert made.status_code == 200
        assert await house.status(FIXED, path=f"/assistants/{made.json()['id']}") == 404
        accounts = house.projects.service_accounts
        [account] = [each async for each in accounts.list(project)]
        assert (account.name, account.role) == ("ci", "member")
        got = await accounts.retrieve(account.id, project_id=project)
        assert got == account
        [listed] = [each async for each in house.projects.api_keys.list(project)]
        assert (listed.id, listed.owner.type) == (id, "service_account")
        assert listed.owner.service_account is not None
        assert listed.owner.service_account.id == account.id
        assert listed.redacted_value.endswith(key[-4:])
        assert listed.last_used_at == int(house.clock.at)
        assert key not in listed.model_dump_json()
        assert (await accounts.delete(account.id, project_id=project)).deleted
        assert await house.status(key) == 401
        assert [each async for each in house.projects.api_keys.list(project)] == []
        bare = await accounts.create(
            project_id=project, name="later", create_service_account_only=True
        )
        assert (bare.api_key, bare.role) == (None, "none")


async def test_the_role_of_a_service_account_is_what_its_keys_may() -> None:
    async with opened() as house:
        project, key_id, key = await house.key()
        [account] = [each async for each in house.projects.service_accounts.list(project)]

        async def become(role: Any) -> list[int]:
            accounts = house.projects.service_accounts
            changed = await accounts.update(account.id, project_id=project, role=role)
            assert (changed.id, changed.role, changed.name) == (account.id, role, "ci")
            return [await house.status(key), await house.status(key, "POST")]

        assert await become("owner") == [200, 200]
        assert await become("reader") == [200, 403]
        # Its key does not hold more for that.
        keys = house.projects.api_keys
        await keys.update(key_id, project_id=project, scopes=["api.assistants.write"])
        assert await house.status(key) == 200
        assert await house.status(key, path="/threads/thread_none") == 403
        assert await become("member") == [200, 200]
        renamed = await house.projects.service_accounts.update(
            account.id, project_id=project, name="builds"
        )
        assert (renamed.name, renamed.role) == ("builds", "member")
        with pytest.raises(openai.BadRequestError, match="Supported values are"):
            await become("none")
        with pytest.raises(openai.NotFoundError, match="No service account found"):
            await house.projects.service_accounts.update("svc_none", project_id=project, name="x")


async def test_a_deleted_key_is_refused_at_once_and_an_expired_one_in_time() -> None:
    async with opened() as house:
        project, id, key = await house.key()
        _, _, other = await house.key(project, expires_in_seconds=60)
        assert (await house.status(key), await house.status(other)) == (200, 200)
        gone = await house.projects.api_keys.delete(id, project_id=project)
        assert (gone.deleted, gone.object) == (True, "organization.project.api_key.deleted")
        assert (await house.status(key), await house.status(other)) == (401, 200)
        house.clock.move(60)
        assert await house.status(other) == 401
        with pytest.raises(openai.NotFoundError):
            await house.projects.api_keys.retrieve(id, project_id=project)


async def test_a_key_is_found_in_its_own_project_only() -> None:
    async with opened() as house:
        _, id, key = await house.key()
        other = (await house.projects.create(name="Other")).id
        with pytest.raises(openai.NotFoundError):
            await house.projects.api_keys.retrieve(id, project_id=other)
        with pytest.raises(openai.NotFoundError):
            await house.projects.api_keys.delete(id, project_id=other)
        assert await house.status(key) == 200


async def test_the_keys_of_an_archived_project_let_nobody_in() -> None:
    async with opened() as house:
        project, _, key = await house.key()
        assert await house.status(key) == 200
        await house.projects.archive(project)
        refused = await house.ask("GET", "/assistants", key)
        assert refused.status_code == 401
        assert refused.json()["error"]["code"] == "not_authorized_invalid_project"
        with pytest.raises(openai.BadRequestError, match="is archived"):
            await house.key(project)


@pytest.mark.parametrize(
    "scopes, may_read, may_write, may_thread",
    [
        ([], True, True, True),
        (["api.all"], True, True, True),
        (["api.all.read"], True, False, False),
        (["api.assistants.read"], True, False, False),
        (["assistants.write"], True, True, False),
        (["threads.write"], False, False, True),
    ],
)
async def test_a_key_may_what_its_scopes_say(
    scopes: list[str], may_read: bool, may_write: bool, may_thread: bool
) -> None:
    async with opened() as house:
        project, id, key = await house.key()
        keys = house.projects.api_keys
        await keys.update(id, project_id=project, scopes=scopes)
        assert (await house.status(key) == 200) == may_read
        assert (await house.status(key, "POST") == 200) == may_write
        thread = await house.ask("POST", "/threads", key, json={})
        assert (thread.status_code == 200) == may_thread
        if not may_thread:
            error = thread.json()["error"]
            assert thread.status_code == 403
            assert "Missing scopes: api.threads.write." in error["message"]
            assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("scope", ["threads", "threads.sing", "api.organization.write", ".read"])
async def test_a_scope_that_is_none_is_named(scope: str) -> None:
    async with opened() as house:
        project, id, _ = await house.key()
        with pytest.raises(openai.BadRequestError) as refused:
            await house.projects.api_keys.update(
                id, project_id=project, scopes=["threads.read", scope]
            )
        assert refused.value.param == "scopes[1]"


async def test_admin_keys_are_made_used_listed_and_deleted() -> None:
    async with opened() as house:
        made = await house.admin_keys.create(name="terraform", expires_in_seconds=60)
        assert made.value.startswith("sk-admin-")
        assert made.object == "organization.admin_api_key"
        assert await house.status(made.value, path="/organization/projects") == 200
        [listed] = [each async for each in house.admin_keys.list()]
        assert listed.id == made.id
        assert made.value not in listed.model_dump_json()
        assert (await house.admin_keys.retrieve(made.id)).last_used_at == int(house.clock.at)
        gone = await house.admin_keys.delete(made.id)
        assert gone.object == "organization.admin_api_key.deleted"
        assert await house.status(made.value, path="/organization/projects") == 401


async def test_each_kind_of_key_is_for_its_own_operations_only() -> None:
    async with opened() as house:
        _, _, key = await house.key()
        for refused_key in (key, FIXED):
            refused = await house.ask("GET", "/organization/projects", refused_key)
            assert refused.status_code == 403
            assert "admin API key" in refused.json()["error"]["message"]
        refused = await house.ask("GET", "/assistants", ADMIN)
        assert refused.status_code == 403
        assert "API key of a project" in refused.json()["error"]["message"]


async def test_a_rotated_key_is_valid_for_its_grace() -> None:
    async with opened() as house:
        project, id, key = await house.key()
        service = house.server.plugin("keys").service
        _, new = await service.rotate_key(project, id, by=SERVER, grace_s=30)
        assert (await house.status(key), await house.status(new)) == (200, 200)
        house.clock.move(30)
        assert (await house.status(key), await house.status(new)) == (401, 200)


async def test_no_answer_with_a_secret_is_kept_for_who_asks_again() -> None:
    async with opened("idempotency") as house:
        for path, body in (
            ("/organization/admin_api_keys", {"name": "ops"}),
            ("/organization/projects", {"name": "Billing"}),
        ):
            headers = {"authorization": f"Bearer {ADMIN}", "idempotency-key": "once"}
            response = await house.server.client.post(f"/v1{path}", json=body, headers=headers)
            assert response.status_code == 400
            assert response.json()["error"]["code"] == "idempotency_key_not_taken"
        assert [each.name async for each in await house.admin_keys.list()] == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("POST", "", {"name": "x"}),
        ("POST", "/archive", {}),
        ("GET", "/api_keys", None),
        ("GET", "/api_keys/{key}", None),
        ("POST", "/api_keys/{key}", {"scopes": ["api.all"]}),
        ("DELETE", "/api_keys/{key}", None),
        ("GET", "/service_accounts", None),
        ("POST", "/service_accounts", {"name": "x"}),
        ("GET", "/service_accounts/svc_acct_x", None),
        ("POST", "/service_accounts/svc_acct_x", {"name": "x"}),
        ("DELETE", "/service_accounts/svc_acct_x", None),
    ],
)
async def test_what_admin_keys_belong_to_is_no_project(method: str, path: str, body: Any) -> None:
    """Otherwise one could be given scopes there, and be no admin key any more."""
    async with opened() as house:
        made = await house.admin_keys.create(name="deploys")
        where = f"/organization/projects/system{path.format(key=made.id)}"
        more = {} if body is None else {"json": body}
        refused = await house.ask(method, where, ADMIN, **more)
        assert refused.status_code == 404, refused.text
        assert "No project found with id 'system'" in refused.json()["error"]["message"]
        assert (await house.admin_keys.retrieve(made.id)).name == "deploys"
        assert [key.id async for key in house.admin_keys.list()] == [made.id]
