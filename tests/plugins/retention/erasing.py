"""A server with something of everything in it, and `famulus erase` on what it has left."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from click.testing import CliRunner, Result
from tests.isolation.tenants import PLUGINS, SETTINGS, Tenant

from famulus.cli import command_line
from famulus.testing import ScriptedBackend, TestServer, kernel_with

GONE, STAYS = "zebrafinch", "kingfisher"
"""Words that nothing else has, in everything that the two projects have."""


async def run(
    data_dir: Path,
    *arguments: str,
    answer: str | None = None,
    variables: Mapping[str, str] | None = None,
) -> Result:
    """The command, on what a server has left in the folder."""
    command = [*arguments, "--data-dir", str(data_dir)]

    def famulus() -> Result:
        return CliRunner().invoke(command_line(), command, input=answer, env=variables)

    return await anyio.to_thread.run_sync(famulus)


@asynccontextmanager
async def serving(
    data_dir: Path, *also: str, **more: Any
) -> AsyncIterator[tuple[TestServer, ScriptedBackend]]:
    """A server with everything, further plugins and their settings."""
    backend = ScriptedBackend()
    settings = {**SETTINGS, **more}
    async with kernel_with(
        *PLUGINS, *also, data_dir=data_dir, settings=settings, backend=backend
    ) as server:
        yield server, backend


async def tenant(server: TestServer, backend: ScriptedBackend, project: str, mark: str) -> Tenant:
    """A project of that server, all of whose texts have the mark."""
    # A key is its project's, and none of a person in it.
    name = "" if project == "default" else f"{mark} key"
    _, token = await server.plugin("keys").create(project=project, name=name)
    made = Tenant(server, backend, project, token)
    made.mark = mark
    return made


async def filled(tenant: Tenant, *, waits: bool) -> dict[str, str]:
    """One of everything, also what a deletion leaves, and what a search makes."""
    things = await tenant.things(waits=waits)
    await tenant.made(f"/vector_stores/{things.ids['store']}/search", {"query": tenant.mark})
    once = {"idempotency-key": "once"}
    words = {"metadata": {"said": tenant.mark}}
    response = await tenant.server.post("/v1/threads", words, headers={**tenant.headers, **once})
    path = f"/v1/threads/{response.json()['id']}"
    assert (await tenant.ask("DELETE", path)).status_code == 200
    return dict(things.ids)


def places(data_dir: Path, word: str) -> list[str]:
    """The files below the folder in which a word is."""
    return [
        str(path.relative_to(data_dir))
        for path in sorted(data_dir.rglob("*"))
        if path.is_file() and word.encode() in path.read_bytes()
    ]


async def belongings(owner: Tenant, user: str) -> dict[str, str]:
    """A thread of a user with a file that is attached to be searched, and a run on it."""
    files = {"file": (f"{owner.mark}.txt", owner.mark.encode())}
    file = await owner.made("/files", data={"purpose": "assistants"}, files=files)
    attachment = {"file_id": file["id"], "tools": [{"type": "file_search"}]}
    message = {"role": "user", "content": owner.mark, "attachments": [attachment]}
    response = await owner.server.post(
        "/v1/threads",
        {"messages": [message], "metadata": {"user_id": user}},
        headers={**owner.headers, "idempotency-key": f"thread of {user}"},
    )
    thread = response.json()
    [store] = thread["tool_resources"]["file_search"]["vector_store_ids"]
    await owner.settled(f"/vector_stores/{store}/files/{file['id']}", "completed")
    await owner.made(f"/vector_stores/{store}/search", {"query": owner.mark})
    return {"thread": thread["id"], "file": file["id"], "store": store}
