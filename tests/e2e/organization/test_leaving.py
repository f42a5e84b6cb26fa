"""A project leaves: the operator erases all that it had, beside both processes, and no other's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import anyio
import asyncpg
from openai import OpenAI
from tests.e2e.organization.organization import Organization, eventually
from tests.e2e.scripted_model import ENDLESS

LEAVES, STAYS = "zebracanary", "kingfishercanary"
"""In all that the one and the other have: texts, names, metadata, contents of files. One word each,
as an index has them."""

SETTINGS = {
    "FAMULUS_RETENTION__SETTLE_S": "1.5",
    "FAMULUS_EXACT_VECTORS__CLEAR_UP_S": "0.5",
}


@dataclass
class Belongings:
    """What a project has."""

    file: str
    store: str
    assistant: str
    thread: str
    running: str
    """A thread on which a run goes on until it is ended."""


def test_an_erased_project_is_gone_at_both_processes_and_the_others_are_whole(
    organization: Organization,
) -> None:
    project = organization.project("Leaving")
    key = organization.key(project, "leaving")
    here, there = (organization.client(key, at) for at in organization.processes)
    had = filled(here, there, LEAVES)
    others = [organization.client(organization.biller, at) for at in organization.processes]
    stays = filled(others[0], others[1], STAYS)
    before = told_by(others[1], stays)
    assert {"database", "blobs", "vectors"} <= places(organization, LEAVES)
    at_work = figure_of_both(organization, "famulus_jobs_at_work", kind="run")
    assert at_work == 2

    counted = organization.command("erase", "project", project, "--dry-run")
    assert counted.returncode == 0, counted.stderr
    assert here.beta.threads.retrieve(had.thread).id == had.thread
    erased = organization.command("erase", "project", project, "--yes")
    assert erased.returncode == 0, erased.stdout + erased.stderr
    for printed in (counted, erased):
        assert "canary" not in printed.stdout + printed.stderr

    for at in organization.processes:
        assert organization.ask("GET", "/v1/assistants", key, at).status_code == 401
    eventually(lambda: figure_of_both(organization, "famulus_jobs_at_work", kind="run") == 1)
    # Each process clears its own index files up, a moment later.
    eventually(lambda: not places(organization, LEAVES))
    assert {"database", "blobs", "vectors"} <= places(organization, STAYS)
    for other in others:
        assert told_by(other, stays) == before
    found = others[1].vector_stores.search(stays.store, query=STAYS)
    assert STAYS in found.data[0].content[0].text
    again = organization.command("erase", "project", project, "--dry-run", "--json")
    assert again.returncode == 0, again.stderr


def filled(here: OpenAI, there: OpenAI, mark: str) -> Belongings:
    """Something of every kind, made at both processes."""
    named: dict[str, Any] = {"metadata": {"mark": mark}}
    file = here.files.create(
        file=(f"{mark}.txt", f"The {mark} sings.".encode()), purpose="user_data"
    )
    upload = here.uploads.create(
        bytes=len(mark), filename=f"{mark}.txt", mime_type="text/plain", purpose="assistants"
    )
    there.uploads.parts.create(upload.id, data=mark.encode())
    store = there.vector_stores.create(name=mark, **named)
    there.vector_stores.files.create_and_poll(
        file.id, vector_store_id=store.id, attributes={"mark": mark}
    )
    for client in (here, there):
        assert client.vector_stores.search(store.id, query=mark).data
    container = here.containers.create(name=mark)
    there.containers.files.create(container.id, file=(f"{mark}.txt", mark.encode()))
    assistant = there.beta.assistants.create(
        model="scripted", name=mark, instructions=mark, **named
    )
    run = here.beta.threads.create_and_run_poll(
        assistant_id=assistant.id,
        thread={"messages": [{"role": "user", "content": f"Say {mark}"}], **named},
        extra_headers={"idempotency-key": mark},
        **named,
    )
    assert run.status == "completed"
    gone = there.beta.threads.create(messages=[{"role": "user", "content": mark}])
    here.beta.threads.delete(gone.id)
    running = there.beta.threads.create(messages=[{"role": "user", "content": mark}])
    there.beta.threads.messages.create(running.id, role="user", content=ENDLESS)
    begun = there.beta.threads.runs.create(running.id, assistant_id=assistant.id)
    eventually(
        lambda: (
            here.beta.threads.runs.retrieve(begun.id, thread_id=running.id).status == "in_progress"
        )
    )
    return Belongings(file.id, store.id, assistant.id, run.thread_id, running.id)


def told_by(client: OpenAI, had: Belongings) -> list[Any]:
    """What is read of them."""
    return [
        client.files.content(had.file).content,
        client.beta.assistants.retrieve(had.assistant),
        client.beta.threads.retrieve(had.thread),
        client.beta.threads.messages.list(had.thread).data,
        client.vector_stores.files.list(had.store).data,
    ]


def figure_of_both(organization: Organization, name: str, **labels: str) -> float:
    return sum(organization.figure(at, name, **labels) for at in organization.processes)


# --- everywhere ----------------------------------------------------------------------------------


def places(organization: Organization, word: str) -> set[str]:
    """Where a word is: the database, the blobs, indexes, or any other file of a process."""
    found = set()
    folder = organization.folder()
    for path in folder.rglob("*"):
        try:
            is_in = path.is_file() and (word.encode() in path.read_bytes() or word in path.name)
        except FileNotFoundError:
            continue
        if is_in:
            parts = path.relative_to(folder).parts
            found |= {"vectors"} if "vectors" in parts else {parts[0]}
    variables = organization.command.variables
    rows = anyio.run(
        _rows_with, variables["FAMULUS_POSTGRES__DSN"], variables["FAMULUS_POSTGRES__SCHEMA"], word
    )
    return found | ({"database"} if rows else set())


async def _rows_with(dsn: str, schema: str, word: str) -> list[str]:
    """The tables of a schema that have a word in any row, as text or as bytes."""
    connection = await asyncpg.connect(dsn, timeout=10)
    tables = await connection.fetch("select tablename from pg_tables where schemaname = $1", schema)
    found = []
    for (table,) in tables:
        # Bytes are written in hexadecimal where a row is made a text.
        count = await connection.fetchval(
            f'select count(*) from "{schema}"."{table}" as t '
            "where position($1 in t::text) > 0 or position($2 in t::text) > 0",
            word,
            word.encode().hex(),
        )
        found += [table] * bool(count)
    await connection.close()
    assert tables
    return found
