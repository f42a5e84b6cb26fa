"""`famulus gc` and `famulus erase` in processes of their own, beside a server on PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from tests.e2e.everywhere import found_in_files, found_in_tables
from tests.e2e.serving import environment_of
from tests.e2e.stores import execute
from tests.e2e.test_two_processes import WORKS, started

from famulus.testing import Script, ScriptedBackend

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("store_variables", ["postgres"], indirect=True),
]

SAID, USER, NAMED = "zebrafinch", "user-42-bluethroat", "redpoll"
"""What a person says, what metadata calls them, and what they call a file: all theirs alone."""
THEIRS: Any = {"metadata": {"user_id": USER}}
OTHERS = "kingfisher"
THREADS = 200


class Beside:
    """A server, and commands on its store and in its folder."""

    def __init__(
        self, folder: Path, variables: Mapping[str, str], backend: ScriptedBackend, url: str
    ) -> None:
        self.folder = folder
        self.variables = variables
        self.backend = backend
        self.url = url
        self.client: AsyncOpenAI
        self.base_url = ""

    async def famulus(self, *arguments: str, **more: str) -> tuple[int, str]:
        """The exit status of a command, and what it printed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "famulus", *arguments),
            *("--data-dir", str(self.folder / "data")),
            cwd=self.folder,
            env=environment_of({**self.variables, **more}),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await process.communicate()
        return process.returncode or 0, (out or errors).decode()

    async def sql(self, statement: str) -> None:
        """Run a statement on a table of the schema, which it calls `{table}`."""
        schema = self.variables["FAMULUS_POSTGRES__SCHEMA"]
        await execute(self.variables["FAMULUS_POSTGRES__DSN"], statement.format(schema=schema))

    async def found(self, *words: str) -> list[str]:
        """Where any of the words is."""
        dsn, schema = (self.variables[f"FAMULUS_POSTGRES__{name}"] for name in ("DSN", "SCHEMA"))
        in_tables = await found_in_tables(dsn, schema, words)
        return [*in_tables, *found_in_files(self.folder, words)]


@asynccontextmanager
async def beside(folder: Path, store: Mapping[str, str]) -> AsyncIterator[Beside]:
    backend = ScriptedBackend()
    variables = {**WORKS, "FAMULUS_JOBS__POLL_S": "0.5", **store}
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(backend.serve())
        made = Beside(folder, variables, backend, url)
        served, made.client = await stack.enter_async_context(started(folder, url, variables))
        made.base_url = served.base_url
        yield made


async def is_there(threads: Any, id: str) -> bool:
    try:
        await threads.retrieve(id)
    except openai.NotFoundError:
        return False
    return True


async def test_what_is_posted_while_old_threads_are_swept_is_kept_or_refused(
    store_variables: Mapping[str, str], tmp_path: Path
) -> None:
    async with beside(tmp_path, store_variables) as server:
        threads = server.client.with_options(max_retries=0).beta.threads
        hello: Any = [{"role": "user", "content": "Hello."}]
        made = await asyncio.gather(*(threads.create(messages=hello) for _ in range(THREADS)))
        ids = [each.id for each in made]
        fresh = (await threads.create(messages=hello)).id
        old = ", ".join(f"'{id}'" for id in ids)
        await server.sql(
            "update {schema}.record set created_at = created_at - 864000 "
            f"where kind in ('thread', 'message') and (id in ({old}) or parent in ({old}))"
        )
        posted: dict[str, str] = {}

        async def post(id: str) -> None:
            try:
                message = await threads.messages.create(id, role="user", content="Still there?")
            except openai.NotFoundError:
                posted[id] = ""
            else:
                posted[id] = message.id

        async def post_to_all() -> None:
            """To one after the other from the end, while the sweep comes from the beginning."""
            while await is_there(threads, ids[0]):
                await asyncio.sleep(0)
            for id in reversed(ids[:-1]):
                await post(id)

        await post(ids[-1])
        posting = asyncio.create_task(post_to_all())
        ages = {"FAMULUS_RETENTION__THREADS_DAYS": "1"}
        code, printed = await server.famulus("gc", "--json", **ages)
        await posting
        assert code == 0, printed
        told = json.loads(printed)["kinds"]["threads"]
        kept = [id for id, message in posted.items() if message]
        assert told["deleted"] == THREADS - len(kept)
        assert told["failed"] == 0
        assert ids[-1] in kept
        assert ids[0] not in kept
        for id, message in posted.items():
            if message:
                assert (await threads.messages.retrieve(message, thread_id=id)).id == message
            assert await is_there(threads, id) == bool(message)
        assert await is_there(threads, fresh)


async def is_gone(threads: Any, thread: str, run: str) -> bool:
    runs = [each.id async for each in threads.runs.list(thread)]
    return run not in runs


async def file_of(client: AsyncOpenAI, name: str, text: str) -> str:
    file = await client.files.create(file=(f"{name}.txt", text.encode()), purpose="assistants")
    return file.id


def attached(file: str) -> Any:
    return [{"file_id": file, "tools": [{"type": "file_search"}]}]


async def over(client: AsyncOpenAI, thread: str, **more: Any) -> str:
    """A run that is over."""
    run = await client.beta.threads.runs.create_and_poll(
        thread_id=thread, poll_interval_ms=20, **more
    )
    assert run.status == "completed"
    return run.id


async def searched(client: AsyncOpenAI, thread: str, query: str) -> list[str]:
    """The files that a search of a thread's store finds, once all that it has is read."""
    resources = (await client.beta.threads.retrieve(thread)).tool_resources
    assert resources is not None
    assert resources.file_search is not None
    [store] = resources.file_search.vector_store_ids or []
    while (await client.vector_stores.retrieve(store)).status != "completed":
        await asyncio.sleep(0.05)
    found = await client.vector_stores.search(store, query=query)
    return [each.file_id for each in found.data]


async def test_nothing_of_a_person_is_found_in_any_table_or_file_beside_a_server(
    store_variables: Mapping[str, str], tmp_path: Path
) -> None:
    async with beside(tmp_path, store_variables) as server:
        client, say = server.client, server.backend.play
        threads = client.beta.threads
        hello: Any = {"role": "user", "content": f"{OTHERS} here."}
        said: Any = {"role": "user", "content": f"I am {SAID}."}
        say(Script(repeats_last=True).says(f"Hello {SAID}."))
        assistant = (await client.beta.assistants.create(model="scripted")).id
        # All that is on a thread of their own.
        own_file = await file_of(client, NAMED, f"{SAID} wrote this.")
        own = await threads.create(
            messages=[{**said, "attachments": attached(own_file)}],
            extra_headers={"idempotency-key": "once"},
            **THEIRS,
        )
        assert await searched(client, own.id, SAID) == [own_file]
        await over(client, own.id, assistant_id=assistant, instructions=SAID)
        # What they did on a thread of others.
        others_file = await file_of(client, OTHERS, f"{OTHERS} wrote this.")
        with_file = {**hello, "attachments": attached(others_file)}
        shared = (await threads.create(messages=[with_file])).id
        their_file = await file_of(client, f"{NAMED}-2", f"{SAID} wrote this, too.")
        await threads.messages.create(
            shared, role="user", content=SAID, attachments=attached(their_file), **THEIRS
        )
        assert set(await searched(client, shared, SAID)) == {their_file, others_file}
        gone = await over(
            client, shared, assistant_id=assistant, additional_messages=[said], **THEIRS
        )
        # Somebody else's run has read all of that, and is at work while it is erased.
        go_on = asyncio.Event()
        say(Script().says(f"{OTHERS} again.").waits_for(go_on, after=1))
        at_work = await threads.runs.create(shared, assistant_id=assistant)
        await server.backend.arrived(1, within_s=60)
        assert len(await server.found(SAID, USER, NAMED)) > 10

        erasing = asyncio.create_task(
            server.famulus("erase", "user", f"user_id={USER}", "--yes", "--json")
        )
        while await is_there(threads, own.id) or not await is_gone(threads, shared, gone):
            await asyncio.sleep(0.05)
        # It cannot be done while a run may still write down what it has read.
        assert not erasing.done()
        go_on.set()
        code, printed = await erasing

        assert code == 0, printed
        told = json.loads(printed)
        assert told["left"] == []
        assert {own.id, own_file, their_file, gone} <= {each["id"] for each in told["erased"]}
        assert await server.found(SAID, USER, NAMED) == []
        # The others have all of theirs, at the same server.
        ended = await threads.runs.retrieve(at_work.id, thread_id=shared)
        assert ended.status == "completed"
        texts = [
            each.content[0].text.value
            async for each in threads.messages.list(shared)
            if each.content[0].type == "text"
        ]
        assert texts == [f"{OTHERS} again.", f"{OTHERS} here."]
        assert await searched(client, shared, SAID) == [others_file]


async def test_nothing_of_a_project_is_found_in_any_table_or_file_beside_a_server(
    store_variables: Mapping[str, str], tmp_path: Path
) -> None:
    async with beside(tmp_path, store_variables) as server:
        code, made = await server.famulus("keys", "create-project", NAMED)
        assert code == 0, made
        project = made.split()[0]
        options = ("--project", project, "--name", NAMED)
        code, token = await server.famulus("keys", "create", *options)
        assert code == 0, token
        key = token.strip()
        server.backend.play(Script(repeats_last=True).says(SAID))
        async with AsyncOpenAI(base_url=server.base_url, api_key=key, max_retries=0) as client:
            assistant = await client.beta.assistants.create(model="scripted", instructions=SAID)
            file = await file_of(client, NAMED, SAID)
            said: Any = {"role": "user", "content": SAID, "attachments": attached(file)}
            thread = await client.beta.threads.create(messages=[said])
            assert await searched(client, thread.id, SAID) == [file]
            await over(client, thread.id, assistant_id=assistant.id)
            server.backend.play(Script().says(SAID).waits_for(asyncio.Event(), after=0))
            await client.beta.threads.runs.create(thread.id, assistant_id=assistant.id)
            await server.backend.arrived(1, within_s=60)
            kept = await server.client.beta.threads.create()
            assert len(await server.found(SAID, NAMED)) > 10

            asked = ("--with-audit", "--with-usage", "--yes", "--json")
            code, printed = await server.famulus("erase", "project", project, *asked)

            assert code == 0, printed
            assert json.loads(printed)["after"] == {}
            assert await server.found(SAID, NAMED, file, thread.id) == []
            with pytest.raises(openai.AuthenticationError):
                await client.beta.threads.retrieve(thread.id)
            assert (await server.client.beta.threads.retrieve(kept.id)).id == kept.id
