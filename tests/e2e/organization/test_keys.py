"""An operator gives keys, sees them used, and ends them; a developer meets what they allow."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai import OpenAI
from tests.e2e.organization.organization import ADMIN_KEY, CACHE_S, Key, Organization, eventually
from tests.e2e.serving import Served

Ask = Callable[[], Any]


def test_the_operator_finds_what_was_made_at_either_process(organization: Organization) -> None:
    for served in organization.processes:
        admin = organization.admin(served)
        projects = {each.id: each.name for each in admin.projects.list()}
        assert projects == {
            "default": "Default project",
            organization.support: "Support",
            organization.billing: "Billing",
        }
        accounts = admin.projects.service_accounts.list(project_id=organization.support)
        assert [each.name for each in accounts] == ["writer", "reader"]
        keys = admin.projects.api_keys.list(project_id=organization.billing).data
        assert [(each.id, each.name) for each in keys] == [(organization.biller.id, "biller")]
        shown = keys[0].redacted_value
        assert shown.endswith(organization.biller.value[-4:])
        assert len(shown) < 20


def test_a_list_of_keys_is_read_page_by_page(organization: Organization) -> None:
    api_keys = organization.admin(organization.two).projects.api_keys
    first = api_keys.list(project_id=organization.support, limit=1)
    assert [each.id for each in first.data] == [organization.writer.id]
    assert first.has_more
    # The client asks for the next pages by itself.
    every = [each.id for each in api_keys.list(project_id=organization.support, limit=1)]
    assert every == [organization.writer.id, organization.reader.id]


def test_a_key_does_at_both_processes_what_its_scopes_allow_and_nothing_else(
    organization: Organization,
) -> None:
    writer = organization.client(organization.writer)
    thread = writer.beta.threads.create(messages=[{"role": "user", "content": "canary"}])
    assistant = writer.beta.assistants.create(model="scripted")
    for served in organization.processes:
        reader = organization.client(organization.reader, served)
        assert reader.beta.threads.retrieve(thread.id) == thread
        assert [each.id for each in reader.beta.assistants.list()] == [assistant.id]
        for missing, ask in forbidden(reader, thread.id, assistant.id):
            with pytest.raises(openai.PermissionDeniedError, match=missing):
                ask()
    writer.beta.assistants.delete(assistant.id)


def test_new_scopes_of_a_key_hold_at_the_other_process_a_second_later(
    organization: Organization,
) -> None:
    key = organization.key(organization.billing, "widened", scopes=["api.threads.read"])
    there = organization.client(key, organization.two)
    with pytest.raises(openai.PermissionDeniedError):
        there.beta.threads.create()
    organization.admin(organization.one).projects.api_keys.update(
        key.id, project_id=key.project, scopes=["api.threads.write"]
    )
    time.sleep(CACHE_S)
    assert there.beta.threads.create().id
    organization.admin().projects.api_keys.delete(key.id, project_id=key.project)


def test_keys_of_projects_open_no_administration_and_the_admin_key_no_project(
    organization: Organization,
) -> None:
    for served in organization.processes:
        for key in (organization.writer, organization.biller):
            told = organization.ask("GET", "/v1/organization/projects", key, served)
            assert told.status_code == 403
        for path in ("/v1/assistants", "/v1/models", "/v1/files"):
            assert organization.ask("GET", path, ADMIN_KEY, served).status_code == 403
        assert organization.ask("GET", "/v1/assistants", None, served).status_code == 401


def test_an_admin_key_made_at_one_process_administers_the_other_until_it_is_deleted(
    organization: Organization,
) -> None:
    admin_keys = organization.admin(organization.one).admin_api_keys
    made = admin_keys.create(name="colleague")
    organization.secrets.append(made.value)
    projects = "/v1/organization/projects"
    assert organization.ask("GET", projects, made.value, organization.two).status_code == 200
    admin_keys.delete(made.id)
    assert organization.ask("GET", projects, made.value, organization.one).status_code == 401
    time.sleep(CACHE_S)
    assert organization.ask("GET", projects, made.value, organization.two).status_code == 401


def test_when_a_key_was_last_used_is_told_wherever_it_was_used(organization: Organization) -> None:
    key = organization.key(organization.billing, "used elsewhere", at=organization.one)
    admin = organization.admin(organization.one).projects.api_keys
    assert admin.retrieve(key.id, project_id=key.project).last_used_at is None
    organization.client(key, organization.two).models.list()
    used = admin.retrieve(key.id, project_id=key.project)
    assert used.last_used_at is not None
    assert used.last_used_at >= used.created_at


def test_a_key_is_replaced_by_a_second_one_of_its_account(organization: Organization) -> None:
    """As OpenAI has it: another account with the same rights, and the first one deleted."""
    old = organization.key(organization.billing, "website")
    new = organization.key(organization.billing, "website 2", at=organization.two)
    assert statuses(organization, old) == statuses(organization, new) == [200, 200]
    accounts = organization.admin(organization.two).projects.service_accounts
    accounts.delete(old.account, project_id=organization.billing)
    time.sleep(CACHE_S)
    assert statuses(organization, old) == [401, 401]
    assert statuses(organization, new) == [200, 200]
    keys = organization.admin().projects.api_keys.list(project_id=organization.billing)
    assert old.id not in [each.id for each in keys]


def test_a_rotated_key_is_followed_by_a_new_one_at_both_processes_and_ends_after_its_grace(
    organization: Organization,
) -> None:
    old = organization.key(organization.billing, "rotated", scopes=["api.assistants.read"])
    assert statuses(organization, old) == [200, 200]
    first = rotated(organization, old, "3600")
    # Both are valid, so that whoever uses it has time to change.
    assert statuses(organization, old) == statuses(organization, first) == [200, 200]
    second = rotated(organization, first, "0")
    time.sleep(CACHE_S)
    assert statuses(organization, first) == [401, 401]
    assert statuses(organization, second) == statuses(organization, old) == [200, 200]
    for served in organization.processes:
        with pytest.raises(openai.PermissionDeniedError, match=r"api\.threads\.write"):
            organization.client(second, served).beta.threads.create()
    organization.admin().projects.service_accounts.delete(old.account, project_id=old.project)
    time.sleep(CACHE_S)
    assert statuses(organization, old) == statuses(organization, second) == [401, 401]


def test_a_deleted_key_is_refused_at_once_where_it_was_deleted_and_a_second_later_elsewhere(
    organization: Organization,
) -> None:
    key = organization.key(organization.billing, "lost on a train")
    assert statuses(organization, key) == [200, 200]
    admin = organization.admin(organization.two).projects.api_keys
    admin.delete(key.id, project_id=organization.billing)
    assert status(organization, key, organization.two) == 401
    time.sleep(CACHE_S)
    refused = organization.ask("GET", "/v1/assistants", key, organization.one)
    assert refused.status_code == 401
    assert refused.json()["error"]["code"] == "invalid_api_key"
    assert key.value not in refused.text
    with pytest.raises(openai.NotFoundError):
        admin.retrieve(key.id, project_id=organization.billing)


def test_a_key_ends_by_itself_when_its_time_is_over(organization: Organization) -> None:
    key = organization.key(organization.billing, "for the afternoon")
    assert statuses(organization, key) == [200, 200]
    api_keys = organization.admin(organization.one).projects.api_keys
    api_keys.update(
        key.id, project_id=key.project, extra_body={"expires_in_seconds": 1}, scopes=["api.all"]
    )
    eventually(lambda: statuses(organization, key) == [401, 401])


def test_an_archived_project_lets_nobody_in_at_either_process(organization: Organization) -> None:
    project = organization.project("Trial")
    key = organization.key(project, "trial")
    assert statuses(organization, key) == [200, 200]
    archived = organization.admin(organization.one).projects.archive(project)
    assert archived.status == "archived"
    time.sleep(CACHE_S)
    for served in organization.processes:
        refused = organization.ask("GET", "/v1/assistants", key, served)
        assert refused.status_code == 401
        assert refused.json()["error"]["code"] == "not_authorized_invalid_project"
        names: list[Any] = [each.name for each in organization.admin(served).projects.list()]
        assert "Trial" not in names


def forbidden(reader: OpenAI, thread: str, assistant: str) -> list[tuple[str, Ask]]:
    """What a reader of threads and assistants may not do, by the scope that it lacks."""
    threads, assistants = reader.beta.threads, reader.beta.assistants
    return [
        ("api.threads.write", lambda: threads.create()),
        ("api.threads.write", lambda: threads.delete(thread)),
        ("api.assistants.write", lambda: assistants.delete(assistant)),
        ("api.runs.write", lambda: threads.runs.create(thread, assistant_id=assistant)),
        ("api.files.read", lambda: reader.files.list()),
        ("api.models.read", lambda: reader.models.list()),
    ]


def rotated(organization: Organization, key: Key, grace_s: str) -> Key:
    """What the command line makes in the place of a key."""
    ended = organization.command("keys", "rotate", key.id, "--grace-s", grace_s)
    assert ended.returncode == 0, ended.stderr
    value = ended.stdout.strip()
    organization.secrets.append(value)
    assert value not in ended.stderr
    [id] = re.findall(r"Made (\S+)\.", ended.stderr)
    return Key(id, value, key.project, key.account)


def status(organization: Organization, key: Key, served: Served) -> int:
    return organization.ask("GET", "/v1/assistants", key, served).status_code


def statuses(organization: Organization, key: Key) -> list[int]:
    """What is answered to a key at one process and at the other."""
    return [status(organization, key, served) for served in organization.processes]
