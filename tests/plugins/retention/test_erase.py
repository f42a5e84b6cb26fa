"""`famulus erase`: all of a project or a person is gone, from every file, and nothing else is."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.isolation.tenants import FUNCTION, Tenant
from tests.plugins.retention.erasing import (
    GONE,
    STAYS,
    belongings,
    filled,
    places,
    run,
    serving,
    tenant,
)

from famulus.testing import Script, ScriptedBackend, TestServer, tool
from famulus_schemas.identity import Principal

pytestmark = pytest.mark.anyio


async def test_nothing_of_an_erased_project_is_left_in_any_file(tmp_path: Path) -> None:
    async with serving(tmp_path) as (server, backend):
        gone = await tenant(server, backend, "one", GONE)
        stays = await tenant(server, backend, "other", STAYS)
        await filled(gone, waits=True)
        things = await stays.things(waits=False)
        await stays.made(f"/vector_stores/{things.ids['store']}/search", {"query": STAYS})
        kept = await things.all()
    assert any(place.startswith("blobs") for place in places(tmp_path, GONE))
    assert any(place.endswith(".sqlite3") for place in places(tmp_path, GONE))
    assert any(place.startswith("vectors") for place in places(tmp_path, GONE))
    had = places(tmp_path, STAYS)

    result = await run(tmp_path, "erase", "project", "one", "--yes")

    assert result.exit_code == 0, result.output
    assert "nothing of it was found in any table, blob or index" in result.stdout
    assert places(tmp_path, GONE) == []
    assert {place for place in had if "-wal" not in place} <= set(places(tmp_path, STAYS))
    async with serving(tmp_path) as (server, backend):
        gone.server = things.owner.server = server
        assert (await gone.ask("GET", "/v1/threads/x")).status_code == 401
        assert await things.all() == kept


async def test_the_report_counts_before_and_after_by_kind(tmp_path: Path) -> None:
    async with serving(tmp_path) as (server, backend):
        await filled(await tenant(server, backend, "one", GONE), waits=False)
    dry = await run(tmp_path, "erase", "project", "one", "--dry-run", "--json")
    before = json.loads(dry.stdout)
    assert (before["dry_run"], before["after"], before["erased"]) == (True, None, False)
    assert places(tmp_path, GONE) != []
    result = await run(tmp_path, "erase", "project", "one", "--yes", "--json")
    told = json.loads(result.stdout)
    assert told["before"] == before["before"]
    assert told["before"]["thread"] == 1
    assert told["before"]["traces of deleted records"] >= 1
    assert told["before"]["index files"] == 1
    assert told["before"]["key"] == 1
    assert told["before"]["blobs"] >= 4
    assert (told["after"], told["erased"]) == ({}, True)


async def test_it_asks_before_it_erases(tmp_path: Path) -> None:
    async with serving(tmp_path) as (server, backend):
        await filled(await tenant(server, backend, "one", GONE), waits=False)
    refused = await run(tmp_path, "erase", "project", "one", answer="n\n")
    assert refused.exit_code == 1
    assert "Erase all of project one for good?" in refused.stderr
    assert places(tmp_path, GONE) != []
    agreed = await run(tmp_path, "erase", "project", "one", answer="y\n")
    assert agreed.exit_code == 0
    assert places(tmp_path, GONE) == []


async def test_a_project_that_is_not_there_is_no_success(tmp_path: Path) -> None:
    result = await run(tmp_path, "erase", "project", "no-such", "--yes")
    assert result.exit_code == 1
    assert "there is no project 'no-such'" in result.stderr
    system = await run(tmp_path, "erase", "project", "system", "--yes")
    assert "the server's own project cannot be erased" in system.stderr


async def test_an_erased_project_of_the_administration_stays_shut_without_its_name(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as (server, backend):
        service = server.plugin("keys").service
        project = await service.create_project(f"Project {GONE}", by=Principal(id="tester"))
        await filled(await tenant(server, backend, project.id, GONE), waits=False)
    result = await run(tmp_path, "erase", "project", project.id, "--yes")
    assert result.exit_code == 0, result.output
    async with serving(tmp_path) as (server, _):
        left = await server.plugin("keys").service.project(project.id)
        assert (left.name, left.archived_at is not None) == ("(erased)", True)
    # What it was called is told by the audit log alone, until that is asked for, too.
    assert places(tmp_path, GONE) == ["famulus.sqlite3"]
    result = await run(tmp_path, "erase", "project", project.id, "--with-audit", "--yes")
    assert result.exit_code == 0, result.output
    assert places(tmp_path, GONE) == []
    exported = await run(tmp_path, "audit", "export")
    events = [json.loads(line) for line in exported.stdout.splitlines()]
    assert {(each["type"], each["project"]["id"]) for each in events if "project" in each} == {
        ("project.deleted", project.id)
    }


# --- a person ------------------------------------------------------------------------------------


async def test_all_of_a_person_is_erased_with_the_files_that_only_they_had(tmp_path: Path) -> None:
    async with serving(tmp_path) as (server, backend):
        owner = await tenant(server, backend, "default", GONE)
        theirs = await belongings(owner, "42")
        owner.mark = STAYS
        others = await belongings(owner, "43")
    result = await run(tmp_path, "erase", "user", "user_id=42", "--yes", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert {each["id"] for each in told["erased"]} == set(theirs.values())
    assert told["left"] == []
    assert places(tmp_path, GONE) == []
    async with serving(tmp_path) as (server, _):
        owner.server = server
        for path in (
            f"/v1/threads/{others['thread']}/messages",
            f"/v1/files/{others['file']}/content",
            f"/v1/vector_stores/{others['store']}",
        ):
            assert (await owner.ask("GET", path)).status_code == 200


@pytest.mark.parametrize("text", ["and more " * 40, 'said "so"', '"', "\\"])
async def test_whatever_a_message_says_the_pictures_after_it_are_erased(
    tmp_path: Path, text: str
) -> None:
    async with serving(tmp_path) as (server, backend):
        owner = await tenant(server, backend, "default", GONE)
        files = {"file": ("picture.png", GONE.encode())}
        picture = await owner.made("/files", data={"purpose": "vision"}, files=files)
        content = [
            {"type": "text", "text": text},
            {"type": "image_file", "image_file": {"file_id": picture["id"]}},
        ]
        messages = [{"role": "user", "content": content}]
        wanted = {"messages": messages, "metadata": {"user_id": "42"}}
        thread = await owner.made("/threads", wanted)
    result = await run(tmp_path, "erase", "user", "user_id=42", "--yes", "--json")
    assert result.exit_code == 0, result.output
    erased = {each["id"] for each in json.loads(result.stdout)["erased"]}
    assert erased == {thread["id"], picture["id"]}
    assert places(tmp_path, GONE) == []


async def test_what_others_name_too_is_left_to_them(tmp_path: Path) -> None:
    async with serving(tmp_path) as (server, backend):
        owner = await tenant(server, backend, "default", GONE)
        theirs = await belongings(owner, "42")
        attachment = {"file_id": theirs["file"], "tools": [{"type": "file_search"}]}
        message = {"role": "user", "content": "Look.", "attachments": [attachment]}
        other = await owner.made("/threads", {"messages": [message]})
    dry = await run(tmp_path, "erase", "user", "user_id=42", "--dry-run")
    assert theirs["thread"] in dry.stdout
    assert "Nothing was erased" in dry.stdout
    result = await run(tmp_path, "erase", "user", "user_id=42", "--yes", "--json")
    assert result.exit_code == 0, result.output
    erased = {each["id"] for each in json.loads(result.stdout)["erased"]}
    assert erased == {theirs["thread"], theirs["store"]}
    async with serving(tmp_path) as (server, _):
        owner.server = server
        assert (await owner.ask("GET", f"/v1/files/{theirs['file']}")).status_code == 200
        assert (await owner.ask("GET", f"/v1/threads/{other['id']}")).status_code == 200


async def shared(owner: Tenant, backend: ScriptedBackend) -> dict[str, str]:
    """A thread of others, with a run before and one after all that a person did there."""
    script = Script(repeats_last=True)
    asked = {"model": "scripted", "instructions": STAYS}
    assistant = (await owner.made("/assistants", asked))["id"]
    opening = {"messages": [{"role": "user", "content": STAYS}], "metadata": {"user_id": "43"}}
    ids = {"assistant": assistant, "thread": (await owner.made("/threads", opening))["id"]}
    path = f"/threads/{ids['thread']}"

    async def ran(name: str, **more: Any) -> None:
        made = await owner.made(f"{path}/runs", {"assistant_id": assistant, **more})
        ids[name] = made["id"]
        await owner.settled(f"{path}/runs/{made['id']}", "completed")

    backend.play(script.says(STAYS))
    await ran("before", metadata={"user_id": "43"})
    theirs = {"metadata": {"user_id": "42"}}
    message = {"role": "user", "content": GONE, **theirs}
    ids["message"] = (await owner.made(f"{path}/messages", message))["id"]
    backend.play(script.says(GONE))
    with_it = [{"role": "user", "content": GONE}]
    await ran("run", instructions=GONE, additional_messages=with_it, **theirs)
    backend.play(script.says(STAYS))
    await ran("after", metadata={"user_id": "43"})
    return ids


async def prompts(owner: Tenant, run: str) -> list[Any]:
    """What the model was shown at each step of a run, where that is kept."""
    steps = (await owner.ask("GET", f"/v1{run}/steps")).json()["data"]
    shown = "include[]=famulus.prompt"
    asked = [await owner.ask("GET", f"/v1{run}/steps/{step['id']}?{shown}") for step in steps]
    return [each.json()["famulus"]["prompt"] for each in asked]


async def test_what_a_person_did_on_a_thread_of_others_is_erased_and_the_rest_stays(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as (server, backend):
        owner = await tenant(server, backend, "default", GONE)
        ids = await shared(owner, backend)
        assert await server.plugin("usage").settle()
        figures = await billed(server)
        path = f"/threads/{ids['thread']}"
        assert GONE in str(await prompts(owner, f"{path}/runs/{ids['after']}"))
    assert places(tmp_path, GONE) != []

    result = await run(tmp_path, "erase", "user", "user_id=42", "--yes", "--json")

    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert {each["id"] for each in told["erased"]} == {ids["message"], ids["run"]}
    assert told["left"] == []
    assert places(tmp_path, GONE) == []
    async with serving(tmp_path) as (server, _):
        owner.server = server
        assert (await owner.ask("GET", f"/v1{path}/runs/{ids['run']}")).status_code == 404
        messages = (await owner.ask("GET", f"/v1{path}/messages")).json()["data"]
        assert [each["content"][0]["text"]["value"] for each in messages] == [STAYS] * 3
        for name in ("before", "after"):
            assert await prompts(owner, f"{path}/runs/{ids[name]}") == [None]
        records = server.plugin("usage").records
        entries = await records.scan("usage_entry", limit=100)
        assert {json.loads(each.body)["run"] for each in entries} == {ids["before"], ids["after"]}
        # What was billed names no run, and stays.
        assert await billed(server) == figures
        for kind in ("run", "step", "run_event", "message"):
            found = await records.scan(kind, limit=1000)
            assert found
            assert not [each.id for each in found if ids["run"] in (each.body.decode() + each.id)]


async def test_prompts_of_threads_on_which_a_person_did_nothing_stay(tmp_path: Path) -> None:
    async with serving(tmp_path) as (server, backend):
        owner = await tenant(server, backend, "default", STAYS)
        things = await owner.things(waits=False)
        await belongings(owner, "42")
    result = await run(tmp_path, "erase", "user", "user_id=42", "--yes")
    assert result.exit_code == 0, result.output
    async with serving(tmp_path) as (server, _):
        owner.server = server
        path = f"/threads/{things.ids['thread']}/runs/{things.ids['run']}"
        assert STAYS in str(await prompts(owner, path))


async def test_a_thread_that_was_made_with_a_persons_run_loses_what_came_with_it(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as (server, backend):
        owner = await tenant(server, backend, "default", GONE)
        assistant = await owner.made("/assistants", {"model": "scripted"})
        backend.play(Script(repeats_last=True).says(GONE))
        words = [{"role": "user", "content": GONE}]
        wanted = {"thread": {"messages": words}, "metadata": {"user_id": "42"}}
        made = await owner.made("/threads/runs", {"assistant_id": assistant["id"], **wanted})
        path = f"/threads/{made['thread_id']}"
        await owner.settled(f"{path}/runs/{made['id']}", "completed")
    result = await run(tmp_path, "erase", "user", "user_id=42", "--yes")
    assert result.exit_code == 0, result.output
    assert places(tmp_path, GONE) == []
    async with serving(tmp_path) as (server, _):
        owner.server = server
        assert (await owner.ask("GET", f"/v1{path}")).status_code == 200
        assert (await owner.ask("GET", f"/v1{path}/messages")).json()["data"] == []


@pytest.mark.parametrize("waits", [True, False], ids=["waits for its client", "is at work"])
async def test_a_run_that_is_not_over_is_ended_and_its_thread_is_free(
    tmp_path: Path, waits: bool
) -> None:
    async with serving(tmp_path) as (server, backend):
        owner = await tenant(server, backend, "default", GONE)
        asked = {"model": "scripted", "tools": [FUNCTION]}
        assistant = (await owner.made("/assistants", asked))["id"]
        thread = (await owner.made("/threads", {}))["id"]
        path = f"/threads/{thread}/runs"
        call = tool("look", {"at": GONE}, id="call_1")
        backend.play(
            Script().calls(call)
            if waits
            else Script().says(GONE).waits_for(asyncio.Event(), after=0)
        )
        wanted = {"assistant_id": assistant, "metadata": {"user_id": "42"}, "instructions": GONE}
        made = (await owner.made(path, wanted))["id"]
        await owner.settled(f"{path}/{made}", "requires_action" if waits else "in_progress")
    result = await run(tmp_path, "erase", "user", "user_id=42", "--yes")
    assert result.exit_code == 0, result.output
    assert places(tmp_path, GONE) == []
    async with serving(tmp_path) as (server, backend):
        owner.server = server
        backend.play(Script(repeats_last=True).says(STAYS))
        next_run = (await owner.made(path, {"assistant_id": assistant}))["id"]
        await owner.settled(f"{path}/{next_run}", "completed")
        listed = (await owner.ask("GET", f"/v1{path}")).json()["data"]
        assert [each["id"] for each in listed] == [next_run]


async def test_a_file_that_a_person_posted_to_a_thread_of_others_leaves_its_store(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as (server, backend):
        owner = await tenant(server, backend, "default", STAYS)
        others = await belongings(owner, "43")
        files = {"file": (f"{GONE}.txt", GONE.encode())}
        file = await owner.made("/files", data={"purpose": "assistants"}, files=files)
        attachment = {"file_id": file["id"], "tools": [{"type": "file_search"}]}
        message = {"role": "user", "content": GONE, "attachments": [attachment]}
        theirs = {**message, "metadata": {"user_id": "42"}}
        posted = await owner.made(f"/threads/{others['thread']}/messages", theirs)
        store = f"/vector_stores/{others['store']}"
        await owner.settled(f"{store}/files/{file['id']}", "completed")
        await owner.made(f"{store}/search", {"query": GONE})
    result = await run(tmp_path, "erase", "user", "user_id=42", "--yes", "--json")
    assert result.exit_code == 0, result.output
    erased = {each["id"] for each in json.loads(result.stdout)["erased"]}
    assert erased == {posted["id"], file["id"]}
    async with serving(tmp_path) as (server, _):
        owner.server = server
        found = await owner.made(f"{store}/search", {"query": STAYS})
        assert [each["file_id"] for each in found["data"]] == [others["file"]]
    assert places(tmp_path, GONE) == []


async def test_what_names_what_was_erased_is_told_with_the_id_by_which_it_goes(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as (server, backend):
        owner = await tenant(server, backend, "default", GONE)
        theirs = await belongings(owner, "42")
        attachment = {"file_id": theirs["file"], "tools": [{"type": "file_search"}]}
        message = {"role": "user", "content": "Look.", "attachments": [attachment]}
        other = await owner.made("/threads", {})
        posted = await owner.made(f"/threads/{other['id']}/messages", message)
    file = ("--id", theirs["file"])
    result = await run(tmp_path, "erase", "user", "user_id=42", *file, "--yes")
    assert result.exit_code == 1
    assert "LEFT, and for you to decide" in result.stdout
    id = posted["id"]
    assert f"messages  {id}  names what was erased; goes with --id {id}\n" in result.stdout
    result = await run(tmp_path, "erase", "user", "user_id=42", *file, "--id", id, "--yes")
    assert result.exit_code == 0, result.output
    assert "nothing of it was found" in result.stdout


async def test_a_person_must_be_named(tmp_path: Path) -> None:
    nobody = await run(tmp_path, "erase", "user")
    assert "say whose data" in nobody.stderr
    unclear = await run(tmp_path, "erase", "user", "42")
    assert "'42' is not of the form KEY=VALUE" in unclear.stderr


@pytest.mark.parametrize(("asked", "is_left"), [((), True), (("--with-usage",), False)])
async def test_what_was_billed_stays_unless_it_is_asked_for(
    tmp_path: Path, asked: tuple[str, ...], is_left: bool
) -> None:
    async with serving(tmp_path) as (server, backend):
        await filled(await tenant(server, backend, "one", GONE), waits=False)
        await filled(await tenant(server, backend, "other", STAYS), waits=False)
        assert await server.plugin("usage").settle()
        before = await billed(server)
    assert set(before) == {"one", "other"}
    result = await run(tmp_path, "erase", "project", "one", "--yes", *asked)
    assert result.exit_code == 0, result.output
    async with serving(tmp_path) as (server, _):
        after = await billed(server)
        entries = await server.plugin("usage").records.scan("usage_entry", limit=1000)
    assert after == (before if is_left else {"other": before["other"]})
    assert "one" not in {entry.project for entry in entries}


async def billed(server: TestServer) -> dict[str, list[bytes]]:
    """The figures of each project by day."""
    found: dict[str, list[bytes]] = {}
    for record in await server.plugin("usage").records.scan("usage_day", limit=1000):
        found.setdefault(record.project, []).append(record.body)
    return found
