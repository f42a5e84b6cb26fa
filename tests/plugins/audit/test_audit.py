"""The audit log as an administrator reads it, with the official client."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from openai.types.admin.organization import AuditLogListResponse
from tests.plugins.audit.conftest import Store

from famulus.testing import FixedClock, TestServer, live_server, make_kernel

pytestmark = pytest.mark.anyio

PLUGINS = ("keys", "admin", "audit", "idempotency", "assistants", "threads")
ADMIN = "the admin key of the deployment"
FIXED = "the key of the deployment"
KEYS = {"admin_api_key": ADMIN, "api_key": FIXED}
DAY_S = 86_400
CANARY = "canary-7f3b"


class House:
    """A server and the official client."""

    def __init__(self, server: TestServer, client: AsyncOpenAI, clock: FixedClock) -> None:
        self.server = server
        self.client = client
        self.clock = clock
        self.organization = client.admin.organization
        self.assistants = client.beta.assistants
        self.threads = client.beta.threads

    async def log(self, **query: Any) -> list[AuditLogListResponse]:
        """All events that are asked for, by as many pages as it takes."""
        return [each async for each in self.organization.audit_logs.list(**query)]

    async def types(self, **query: Any) -> list[str]:
        """Likewise, their types."""
        return [event.type for event in await self.log(**query)]

    async def ask(self, key: str, method: str, path: str, **more: Any) -> httpx.Response:
        """What is answered to a key."""
        headers = {"authorization": f"Bearer {key}", **more.pop("headers", {})}
        return await self.server.client.request(method, f"/v1{path}", headers=headers, **more)

    async def written(self) -> None:
        """Wait until all that was refused and read so far is in the log."""
        while self.server.kernel.notices.waiting:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        await self.server.plugin("audit").queue.flush()


@asynccontextmanager
async def opened(store: Store | None = None, **settings: Any) -> AsyncIterator[House]:
    clock = FixedClock()
    audit = {"flush_s": 0.01} | settings
    store = store or {"sqlite": {}}
    with tempfile.TemporaryDirectory() as folder:
        kernel = make_kernel(
            *(*store, *PLUGINS),
            data_dir=Path(folder),
            settings={"keys": KEYS, "audit": audit, **store},
            clock=clock,
        )
        async with (
            live_server(kernel) as url,
            AsyncOpenAI(
                base_url=f"{url}/v1", api_key=FIXED, admin_api_key=ADMIN, max_retries=0
            ) as client,
            httpx.AsyncClient(base_url=url, timeout=60) as bare,
        ):
            yield House(TestServer(kernel, bare), client, clock)


async def test_a_change_is_told_with_who_made_it_and_from_where() -> None:
    async with opened() as house:
        made = await house.assistants.create(
            model="m", extra_headers={"x-request-id": "my-request", "user-agent": "tests/1.0"}
        )
        [event] = await house.log()
        assert event.id.startswith("audit_log-")
        assert (event.type, event.effective_at) == ("assistant.created", int(house.clock.at))
        assert event.project is not None
        assert (event.project.id, event.project.name) == ("default", "Default project")
        assert event.actor is not None
        assert event.actor.type == "api_key"
        assert event.actor.api_key is not None
        assert (event.actor.api_key.id, event.actor.api_key.type) == ("key_fixed", "user")
        told = event.to_dict()
        assert told["object"] == "organization.audit_log"
        assert told["assistant.created"] == {"id": made.id}
        assert (told["ip_address"], told["user_agent"]) == ("127.0.0.1", "tests/1.0")
        assert (told["request_id"], told["result"]) == ("my-request", "success")


async def test_what_openai_has_a_type_for_is_told_in_its_form(store: Store) -> None:
    async with opened(store) as house:
        projects = house.organization.projects
        project = await projects.create(name="Billing")
        await projects.update(project.id, name="Invoices")
        account = await projects.service_accounts.create(project_id=project.id, name="ci")
        assert account.api_key is not None
        await projects.api_keys.update(
            account.api_key.id, project_id=project.id, scopes=["api.threads.read"]
        )
        await projects.api_keys.delete(account.api_key.id, project_id=project.id)
        await projects.service_accounts.update(account.id, project_id=project.id, role="owner")
        await projects.service_accounts.delete(account.id, project_id=project.id)
        await projects.archive(project.id)
        events = (await house.log())[::-1]
        assert [event.type for event in events] == [
            "project.created",
            "project.updated",
            "service_account.created",
            "api_key.created",
            "api_key.updated",
            "api_key.deleted",
            "service_account.updated",
            "service_account.deleted",
            "project.archived",
        ]
        created, updated, account_made, key_made, key_changed, key_gone, *ended = events
        account_changed, account_gone, over = ended
        assert created.project_created is not None
        assert created.project_created.id == project.id
        assert created.project_created.data is not None
        assert created.project_created.data.title == "Billing"
        assert updated.project_updated is not None
        assert updated.project_updated.changes_requested is not None
        assert updated.project_updated.changes_requested.title == "Invoices"
        assert account_made.service_account_created is not None
        assert account_made.service_account_created.id == account.id
        assert account_made.service_account_created.data is not None
        assert account_made.service_account_created.data.role == "member"
        assert key_made.api_key_created is not None
        assert key_made.api_key_created.id == account.api_key.id
        assert key_made.api_key_created.data is not None
        assert key_made.api_key_created.data.scopes == ["api.*"]
        assert key_changed.api_key_updated is not None
        assert key_changed.api_key_updated.changes_requested is not None
        assert key_changed.api_key_updated.changes_requested.scopes == ["api.threads.read"]
        assert key_gone.api_key_deleted is not None
        assert key_gone.api_key_deleted.id == account.api_key.id
        assert account_changed.service_account_updated is not None
        assert account_changed.service_account_updated.changes_requested is not None
        assert account_changed.service_account_updated.changes_requested.role == "owner"
        assert account_gone.service_account_deleted is not None
        assert over.project_archived is not None
        assert over.project_archived.id == project.id
        assert {event.project.id for event in events if event.project} == {project.id}
        names = [event.project.name for event in events if event.project]
        assert names == ["Billing", *["Invoices"] * 8]
        assert await house.types(project_ids=[project.id]) == [each.type for each in events[::-1]]


async def test_a_service_account_is_found_by_its_key_and_by_itself() -> None:
    async with opened() as house:
        project = await house.organization.projects.create(name="Billing")
        account = await house.organization.projects.service_accounts.create(
            project_id=project.id, name="ci"
        )
        assert account.api_key is not None
        key = account.api_key
        assert (await house.ask(key.value, "POST", "/threads", json={})).status_code == 200
        for id in (account.id, key.id):
            [event] = await house.log(actor_ids=[id])
            assert event.type == "thread.created"
            assert event.actor is not None
            assert event.actor.api_key is not None
            assert event.actor.api_key.type == "service_account"
            assert event.actor.api_key.service_account is not None
            assert event.actor.api_key.service_account.id == account.id
        assert await house.types(actor_ids=[account.id, key.id]) == ["thread.created"]


async def test_events_are_filtered_by_all_that_the_client_can_ask_for(store: Store) -> None:
    async with opened(store) as house:
        first = await house.assistants.create(model="m")
        house.clock.move(DAY_S)
        thread = await house.threads.create()
        house.clock.move(DAY_S)
        await house.assistants.delete(first.id)
        start = int(house.clock.at) - 2 * DAY_S
        assert await house.types(resource_ids=[first.id]) == [
            "assistant.deleted",
            "assistant.created",
        ]
        assert await house.types(event_types=["thread.created", "assistant.deleted"]) == [
            "assistant.deleted",
            "thread.created",
        ]
        assert await house.types(effective_at={"gte": start + DAY_S}) == [
            "assistant.deleted",
            "thread.created",
        ]
        assert await house.types(effective_at={"gt": start, "lt": start + 2 * DAY_S}) == [
            "thread.created"
        ]
        assert await house.types(effective_at={"lte": start}) == ["assistant.created"]
        assert await house.types(effective_at={"lt": start}) == []
        assert await house.types(resource_ids=[thread.id], actor_ids=["key_fixed"]) == [
            "thread.created"
        ]
        assert await house.types(project_ids=["elsewhere"]) == []
        assert await house.types(actor_emails=["ann@example.com"]) == []
        assert await house.types(tenant_only=True) == []
        with pytest.raises(openai.BadRequestError, match="combinations"):
            await house.log(
                event_types=[f"a.{n}" for n in range(10)], resource_ids=[str(n) for n in range(10)]
            )


async def test_pages_go_to_older_events_and_back(store: Store) -> None:
    async with opened(store) as house:
        for number in range(7):
            project = "default" if number % 2 else "other"
            await house.server.plugin("keys").create(project=project, name=str(number))
        audit_logs = house.organization.audit_logs
        everything = await house.log(limit=100)
        assert len(everything) == 7
        assert [each.id for each in await house.log(limit=2)] == [each.id for each in everything]
        page = await audit_logs.list(limit=2, before=everything[5].id)
        assert [each.id for each in page.data] == [each.id for each in everything[3:5]]
        assert page.has_more
        between = await audit_logs.list(after=everything[1].id, before=everything[5].id)
        assert [each.id for each in between.data] == [each.id for each in everything[2:5]]
        with pytest.raises(openai.BadRequestError) as refused:
            await audit_logs.list(after="audit_log-nothing-default")
        assert refused.value.param == "after"


async def test_the_log_cannot_be_changed_and_is_for_admin_keys_alone() -> None:
    async with opened() as house:
        await house.assistants.create(model="m")
        [event] = await house.log()
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            for path in ("/organization/audit_logs", f"/organization/audit_logs/{event.id}"):
                answer = await house.ask(ADMIN, method, path)
                assert answer.status_code in (404, 405), answer.text
        assert (await house.ask(FIXED, "GET", "/organization/audit_logs")).status_code == 403


# --- refusals and reads --------------------------------------------------------------------------


async def test_refusals_are_told_and_never_the_key_that_was_sent(store: Store) -> None:
    async with opened(store) as house:
        wrong = f"sk-fam-{CANARY}"
        assert (await house.ask(wrong, "GET", "/assistants")).status_code == 401
        assert (await house.ask(FIXED, "GET", "/organization/projects")).status_code == 403
        await house.written()
        denied, failed = await house.log()
        assert (denied.type, failed.type) == ("access.refused", "login.failed")
        assert failed.login_failed is not None
        assert failed.login_failed.error_code == "invalid_api_key"
        assert failed.project is None
        assert failed.actor is not None
        assert failed.actor.session is not None
        assert failed.actor.session.ip_address == "127.0.0.1"
        told = denied.to_dict()
        assert told["result"] == "refused"
        assert told["access.refused"]["action"] == "organization.read"
        assert denied.actor is not None
        assert denied.actor.api_key is not None
        assert denied.actor.api_key.id == "key_fixed"
        assert CANARY not in str([event.to_dict() for event in await house.log()])


async def test_a_flood_of_wrong_keys_is_folded_into_a_count() -> None:
    async with opened(refusals_per_minute=3) as house:
        for number in range(20):
            assert (await house.ask(f"sk-{number}", "GET", "/assistants")).status_code == 401
        await house.written()
        assert await house.types() == ["login.failed"] * 3
        house.clock.move(61)
        await house.written()
        [last, *_] = await house.log()
        assert last.to_dict()["login.failed"]["folded"] == 17
        assert len(await house.log()) == 4
        [folded] = [
            gauge.read()
            for gauge in house.server.plugin("audit").gauges()
            if gauge.name == "famulus_audit_folded_total"
        ]
        assert folded == 17


async def test_reads_are_told_only_where_that_is_wanted() -> None:
    async with opened() as house:
        await house.assistants.list()
        await house.written()
        assert await house.types() == []
    async with opened(reads=True) as house:
        thread = await house.threads.create()
        await house.threads.retrieve(thread.id)
        await house.written()
        read, made = await house.log()
        assert (read.type, made.type) == ("thread.read", "thread.created")
        assert read.to_dict()["thread.read"] == {"id": thread.id, "operation": "retrieve_thread"}


async def test_only_the_administration_is_told_where_that_is_enough() -> None:
    async with opened(changes="administration") as house:
        await house.threads.create()
        await house.organization.projects.create(name="Billing")
        assert await house.types() == ["project.created"]


# --- what is never in it -------------------------------------------------------------------------


async def test_no_content_and_no_secret_is_in_the_log() -> None:
    async with opened(reads=True) as house:
        project = await house.organization.projects.create(name="Billing")
        account = await house.organization.projects.service_accounts.create(
            project_id=project.id, name="ci"
        )
        admin = await house.organization.admin_api_keys.create(name="deploy")
        assert account.api_key is not None
        key = account.api_key.value
        mark = {"metadata": {"mark": CANARY}}
        body = {"model": "m", "instructions": CANARY, "name": CANARY, **mark}
        made = await house.ask(key, "POST", "/assistants", json=body)
        await house.ask(key, "POST", f"/assistants/{made.json()['id']}", json=body)
        words = [{"role": "user", "content": CANARY}]
        thread = await house.ask(key, "POST", "/threads", json={"messages": words, **mark})
        await house.ask(key, "POST", f"/threads/{thread.json()['id']}/messages", json=words[0])
        await house.ask(key, "GET", f"/assistants?{CANARY}=1")
        await house.ask(key, "POST", "/threads", headers={"idempotency-key": CANARY})
        await house.ask(key, "GET", "/organization/projects")
        await house.written()
        events = await house.log(limit=100)
        assert len(events) > 8
        text = str([event.to_dict() for event in events])
        for secret in (CANARY, key, key[-12:], admin.value or "?", FIXED, ADMIN):
            assert secret not in text


async def test_what_a_client_says_of_itself_is_cut() -> None:
    async with opened(user_agent_characters_max=10) as house:
        await house.ask(FIXED, "POST", "/threads", headers={"user-agent": "x" * 5000})
        [event] = await house.log()
        assert event.to_dict()["user_agent"] == "x" * 10


async def test_many_at_once_each_leave_their_event(store: Store) -> None:
    async with opened(store) as house:
        made = await asyncio.gather(*(house.threads.create() for _ in range(40)))
        events = await house.log(limit=100)
        assert sorted(e.to_dict()["thread.created"]["id"] for e in events) == sorted(
            thread.id for thread in made
        )


async def test_a_change_that_loses_a_race_is_told_once(store: Store) -> None:
    async with opened(store) as house:
        thread = await house.threads.create()
        outcomes = await asyncio.gather(
            *(house.threads.delete(thread.id) for _ in range(5)), return_exceptions=True
        )
        deleted = [each for each in outcomes if not isinstance(each, openai.NotFoundError)]
        assert len(deleted) == 1
        assert await house.types(event_types=["thread.deleted"]) == ["thread.deleted"]


async def test_what_a_refused_request_calls_an_object_is_kept_to_a_length() -> None:
    async with opened() as house:
        keys = house.server.plugin("keys")
        _, token = await keys.create(project="default", scopes=("threads.read",))
        refused = await house.ask(token, "DELETE", "/assistants/" + "x" * 60_000)
        assert refused.status_code == 403
        await house.written()
        [event] = await house.log(event_types=["access.refused"])
        told: Any = event.to_dict()["access.refused"]
        assert told["id"] == "x" * 256
