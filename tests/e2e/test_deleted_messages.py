"""A message that a client deletes: nothing in the store repeats it once its runs are over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI
from tests.e2e.everywhere import found_in_rows, found_in_tables
from tests.e2e.test_two_processes import WORKS, started

from famulus.testing import Script, ScriptedBackend

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("store_variables", ["sqlite", "postgres"], indirect=True),
]

SAID, ANSWERED, STAYS = "zebrafinch", "bluethroat", "kingfisher"
TRIES, PAUSE_S = 600, 0.05


class House:
    """A server, its model, and its store to look into."""

    def __init__(self, folder: Path, variables: Mapping[str, str], client: AsyncOpenAI) -> None:
        self._folder = folder
        self._variables = variables
        self.client = client
        self.threads = client.beta.threads
        self.backend: ScriptedBackend

    async def found(self, *words: str) -> list[str]:
        """Where in the store any of the words is."""
        if "FAMULUS_POSTGRES__DSN" in self._variables:
            dsn, schema = (
                self._variables[f"FAMULUS_POSTGRES__{name}"] for name in ("DSN", "SCHEMA")
            )
            return await found_in_tables(dsn, schema, words)
        [file] = (self._folder / "data").rglob("famulus.sqlite3")
        return found_in_rows(file, words)

    async def forgotten(self, *words: str) -> None:
        """Wait until none of the words is found."""
        for _ in range(TRIES):
            if not (found := await self.found(*words)):
                return
            await asyncio.sleep(PAUSE_S)
        raise AssertionError(f"still found: {found}")

    async def said(self, thread: str) -> list[str]:
        """The texts of a thread's messages, the oldest first."""
        return [
            block.text.value
            async for message in self.threads.messages.list(thread, order="asc")
            for block in message.content
            if block.type == "text"
        ]

    async def answered(self, thread: str, assistant: str, text: str) -> Any:
        """The run that answers so, once it is over."""
        self.backend.play(Script().says(text))
        run = await self.threads.runs.create_and_poll(
            thread_id=thread, assistant_id=assistant, poll_interval_ms=20
        )
        assert run.status == "completed"
        return run

    async def prompts(self, thread: str, run: str) -> list[Any]:
        """What the model was shown for a run's steps, as far as that is kept."""
        path = f"/threads/{thread}/runs/{run}/steps"
        steps = (await self.client.get(path, cast_to=dict[str, Any]))["data"]
        found = []
        for step in steps:
            one = f"{path}/{step['id']}?include[]=famulus.prompt"
            found.append((await self.client.get(one, cast_to=dict[str, Any]))["famulus"]["prompt"])
        return found


@asynccontextmanager
async def house(folder: Path, store: Mapping[str, str]) -> AsyncIterator[House]:
    backend = ScriptedBackend()
    fast = {"FAMULUS_JOBS__POLL_S": "0.1", "FAMULUS_JOBS__RETRY_S": "0.1"}
    variables = {**WORKS, **fast, **store}
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(backend.serve())
        _, client = await stack.enter_async_context(started(folder, url, variables))
        made = House(folder, variables, client)
        made.backend = backend
        yield made


async def test_a_deleted_message_is_in_no_prompt_and_no_log_of_runs(
    store_variables: Mapping[str, str], tmp_path: Path
) -> None:
    async with house(tmp_path, store_variables) as server:
        threads = server.threads
        assistant = (await server.client.beta.assistants.create(model="scripted")).id
        thread = (await threads.create()).id
        asked = await threads.messages.create(thread, role="user", content=f"I am {SAID}.")
        first = await server.answered(thread, assistant, f"Hello {ANSWERED}.")
        await threads.messages.create(thread, role="user", content=f"{STAYS}?")
        second = await server.answered(thread, assistant, f"{STAYS}!")
        assert any(await server.prompts(thread, second.id))
        # It is where it should be, and what follows could fail.
        assert len(await server.found(SAID)) > 1
        assert len(await server.found(ANSWERED)) > 2

        await threads.messages.delete(asked.id, thread_id=thread)
        await server.forgotten(SAID)
        [answer] = [
            each.id async for each in threads.messages.list(thread) if each.run_id == first.id
        ]
        await threads.messages.delete(answer, thread_id=thread)
        await server.forgotten(ANSWERED)

        assert await server.said(thread) == [f"{STAYS}?", f"{STAYS}!"]
        assert await server.prompts(thread, second.id) == [None]
        # The thread goes on, and its runs can be told again.
        third = await server.answered(thread, assistant, f"{STAYS} again.")
        assert await server.prompts(thread, third.id) != [None]
        for run, text in ((first, ""), (second, f"{STAYS}!")):
            path = f"/threads/{thread}/runs/{run.id}/events"
            response = await server.client.get(path, cast_to=str)
            assert "event: thread.run.completed" in response
            assert "event: done" in response
            assert text in response
            assert ANSWERED not in response


async def test_a_run_that_has_read_a_deleted_message_forgets_it_when_it_is_over(
    store_variables: Mapping[str, str], tmp_path: Path
) -> None:
    async with house(tmp_path, store_variables) as server:
        threads = server.threads
        assistant = (await server.client.beta.assistants.create(model="scripted")).id
        thread = (await threads.create()).id
        asked = await threads.messages.create(thread, role="user", content=f"I am {SAID}.")
        before = await server.answered(thread, assistant, "Hello.")
        go_on = asyncio.Event()
        server.backend.play(Script().says(f"{ANSWERED} {STAYS}.").waits_for(go_on, after=1))
        run = await threads.runs.create(thread, assistant_id=assistant)
        await server.backend.arrived(1, within_s=60)
        while not (
            written := [each async for each in threads.messages.list(thread, run_id=run.id)]
        ):
            await asyncio.sleep(PAUSE_S)
        await threads.messages.delete(asked.id, thread_id=thread)
        # Also what the run itself is writing.
        await threads.messages.delete(written[0].id, thread_id=thread)
        # What was over already does not wait for it.
        while any(await server.prompts(thread, before.id)):
            await asyncio.sleep(PAUSE_S)
        go_on.set()
        while (await threads.runs.retrieve(run.id, thread_id=thread)).status != "completed":
            await asyncio.sleep(PAUSE_S)
        await server.forgotten(SAID, ANSWERED, STAYS)
        assert await server.said(thread) == ["Hello."]
