"""`famulus erase` of what is being used at two servers: killed in the middle, twice at once, again.

Who uses it goes on all the time; who else is there must not notice.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from tests.e2e.everywhere import found_in_files, found_in_tables
from tests.e2e.serving import Served, environment_of
from tests.e2e.test_two_processes import WORKS, started

from famulus.testing import Script, ScriptedBackend
from famulus_schemas.inference import ChatRequest

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("store_variables", ["postgres"], indirect=True),
]

SAID, NAMED, OTHERS = "zebrafinch", "redpoll", "kingfisher"
TRIES = 60
PAUSES_S = (1.5, 2.0, 2.5, 3.0)
"""After which a command is killed that has begun: at once, and in the middle of what it does."""


def answer(request: ChatRequest) -> Script:
    """Whoever asks is told of what they said, slowly."""
    word = SAID if SAID in str(request.messages) else OTHERS
    return Script().says(f"{word} " * 40).pauses(0.01)


class House:
    """Two servers, a project that is erased, and one that is not."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder = folder
        self._variables = variables
        self.servers: list[Served] = []
        self.faults: list[str] = []
        """What went wrong for those who are not erased."""

    async def began(self, *arguments: str) -> asyncio.subprocess.Process:
        """A command that was begun."""
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "famulus", *arguments),
            *("--data-dir", str(self.folder / "one" / "data")),
            cwd=self.folder,
            env=environment_of(self._variables),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def famulus(self, *arguments: str) -> tuple[int, str]:
        """The exit status of a command, and what it printed."""
        process = await self.began(*arguments)
        out, errors = await process.communicate()
        return process.returncode or 0, (out or errors).decode()

    async def project(self, name: str) -> tuple[str, str]:
        """A project and its key."""
        code, made = await self.famulus("keys", "create-project", name)
        assert code == 0, made
        id = made.split()[0]
        code, token = await self.famulus("keys", "create", "--project", id, "--name", name)
        assert code == 0, token
        return id, token.strip()

    def clients(self, key: str) -> list[AsyncOpenAI]:
        """A client at each server."""
        return [
            AsyncOpenAI(base_url=each.base_url, api_key=key, max_retries=0) for each in self.servers
        ]

    async def found(self, *words: str) -> list[str]:
        """Where any of the words is."""
        dsn, schema = (self._variables[f"FAMULUS_POSTGRES__{name}"] for name in ("DSN", "SCHEMA"))
        return [
            *await found_in_tables(dsn, schema, words),
            *found_in_files(self.folder, words),
        ]


@asynccontextmanager
async def house(folder: Path, store: Mapping[str, str]) -> AsyncIterator[House]:
    variables = {
        **WORKS,
        **store,
        "FAMULUS_JOBS__POLL_S": "0.5",
        # Who is shut out asks on, from the address of all others.
        "FAMULUS_RATE_LIMITS__FAILED_LOGINS_PER_MINUTE": "0",
        "FAMULUS_KEYS__PEPPER": "the pepper of both of them",
        "FAMULUS_LOCAL_BLOBS__FOLDER": str(folder / "blobs"),
        "FAMULUS_RETENTION__SETTLE_S": "1",
        "FAMULUS_EXACT_VECTORS__CLEAR_UP_S": "1",
        "FAMULUS_HNSW__CLEAR_UP_S": "1",
    }
    made = House(folder, variables)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(ScriptedBackend(answer).serve())
        for name in ("one", "two"):
            served, _ = await stack.enter_async_context(started(folder / name, url, variables))
            made.servers.append(served)
        yield made


async def used(client: AsyncOpenAI, word: str) -> None:
    """One round of everything: a thread with a searched file, a run streamed, an upload open."""
    file = await client.files.create(
        file=(f"{word}.txt", f"{word} wrote this. ".encode() * 50), purpose="assistants"
    )
    attached: Any = [{"file_id": file.id, "tools": [{"type": "file_search"}]}]
    assistant = await client.beta.assistants.create(
        model="scripted", instructions=word, tools=[{"type": "file_search"}]
    )
    thread = await client.beta.threads.create(
        messages=[{"role": "user", "content": f"{word}?", "attachments": attached}],
        metadata={"word": word},
        extra_headers={"idempotency-key": f"{word}-{time.monotonic_ns()}"},
    )
    upload = await client.uploads.create(
        filename=f"{word}-2.txt", bytes=1000, mime_type="text/plain", purpose="assistants"
    )
    await client.uploads.parts.create(upload.id, data=word.encode())
    assert thread.tool_resources is not None
    assert thread.tool_resources.file_search is not None
    [store] = thread.tool_resources.file_search.vector_store_ids or []
    await client.vector_stores.search(store, query=word)
    async with client.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=assistant.id
    ) as stream:
        await stream.until_done()
    said = (await client.beta.threads.messages.list(thread.id)).data[0].content[0]
    assert said.type == "text"
    assert word in said.text.value


@asynccontextmanager
async def going_on(*works: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """While this is open, each is done again and again."""

    async def again(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            await work()

    tasks = [asyncio.create_task(again(work)) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_a_project_is_erased_while_all_of_it_is_used(
    store_variables: Mapping[str, str], tmp_path: Path
) -> None:
    async with house(tmp_path, store_variables) as server:
        project, key = await server.project(NAMED)
        _, others_key = await server.project(OTHERS)
        theirs, others = server.clients(key), server.clients(others_key)
        shut: set[int] = set()

        def using(at: int) -> Callable[[], Coroutine[Any, Any, None]]:
            async def use() -> None:
                try:
                    await used(theirs[at], SAID)
                except openai.AuthenticationError:
                    shut.add(at)
                    await asyncio.sleep(0.05)
                except (openai.OpenAIError, AssertionError):
                    # What it had is gone under its hands.
                    await asyncio.sleep(0.01)

            return use

        def others_using(at: int) -> Callable[[], Coroutine[Any, Any, None]]:
            async def use() -> None:
                try:
                    await used(others[at], OTHERS)
                except (openai.OpenAIError, AssertionError) as error:
                    server.faults.append(repr(error))
                    await asyncio.sleep(0.05)

            return use

        async with AsyncExitStack() as stack:
            for client in (*theirs, *others):
                await stack.enter_async_context(client)
            async with going_on(using(0), using(1), others_using(0), others_using(1)):
                while len(await server.found(SAID)) < 50:
                    await asyncio.sleep(0.2)
                asked = ("erase", "project", project, "--with-audit", "--with-usage", "--yes")
                killed = await server.began(*asked)
                while len(shut) < 2:
                    assert killed.returncode is None, await killed.communicate()
                    await asyncio.sleep(0.01)
                killed.kill()
                await killed.communicate()
                for pause_s in PAUSES_S:
                    again = await server.began(*asked)
                    await asyncio.sleep(pause_s)
                    with suppress(ProcessLookupError):
                        again.kill()
                    await again.communicate()
                both = await asyncio.gather(*(server.famulus(*asked, "--json") for _ in range(2)))
            codes = [code for code, _ in both]
            told = [json.loads(printed) for _, printed in both if printed.startswith("{")]
            assert 0 in codes, both
            assert any(each["after"] == {} for each in told)
            for client in theirs:
                with pytest.raises(openai.AuthenticationError):
                    await client.beta.assistants.list()
            found = await server.found(SAID, NAMED)
            # Indexes in the folder of another machine are cleared up by whoever serves there.
            assert [each for each in found if not each.startswith("two/data/vectors/")] == []
            for _ in range(TRIES):
                if not (found := await server.found(SAID, NAMED)):
                    break
                await asyncio.sleep(1)
            assert found == []
            assert server.faults == []
            for client in others:
                await used(client, OTHERS)


async def test_a_person_is_erased_while_all_of_it_is_used(
    store_variables: Mapping[str, str], tmp_path: Path
) -> None:
    async with house(tmp_path, store_variables) as server:
        project, key = await server.project(OTHERS)
        here = server.clients(key)

        def others_using(at: int) -> Callable[[], Coroutine[Any, Any, None]]:
            async def use() -> None:
                try:
                    await used(here[at], OTHERS)
                except (openai.OpenAIError, AssertionError) as error:
                    server.faults.append(repr(error))
                    await asyncio.sleep(0.05)

            return use

        async with AsyncExitStack() as stack:
            for client in here:
                await stack.enter_async_context(client)
            await asyncio.gather(*(used(here[at % 2], SAID) for at in range(6)))
            asked = ["erase", "user", f"word={SAID}", "--project", project, "--yes"]
            for id in await without_metadata(server, here[0]):
                asked += ["--id", id]
            reading = asyncio.create_task(streamed(here[1], await thread_of(here[0], SAID)))
            async with going_on(others_using(0), others_using(1)):
                for pause_s in PAUSES_S:
                    killed = await server.began(*asked)
                    await asyncio.sleep(pause_s)
                    with suppress(ProcessLookupError):
                        killed.kill()
                    await killed.communicate()
                await asyncio.gather(*(server.famulus(*asked) for _ in range(2)))
            await asyncio.wait([reading])
            code, printed = await server.famulus(*asked)
            assert code == 0, printed
            assert await server.found(SAID) == []
            assert server.faults == []
            for client in here:
                await used(client, OTHERS)


async def without_metadata(server: House, client: AsyncOpenAI) -> list[str]:
    """The uploads and assistants of the person, which go by their ids alone."""
    uploads = {
        where.partition(" of upload ")[2].partition(":")[0]
        for where in await server.found(SAID)
        if " of upload " in where
    }
    assistants = [each async for each in client.beta.assistants.list()]
    return [*uploads, *(each.id for each in assistants if each.instructions == SAID)]


async def thread_of(client: AsyncOpenAI, word: str) -> tuple[str, str]:
    """A thread on which that is said, and an assistant."""
    assistant = await client.beta.assistants.create(model="scripted")
    thread = await client.beta.threads.create(
        messages=[{"role": "user", "content": f"{word}?"}], metadata={"word": word}
    )
    return thread.id, assistant.id


async def streamed(client: AsyncOpenAI, of: tuple[str, str]) -> None:
    """A run that is read to its end, or until it is erased."""
    with suppress(openai.OpenAIError, AssertionError):
        async with client.beta.threads.runs.stream(thread_id=of[0], assistant_id=of[1]) as stream:
            await stream.until_done()
