"""What is embedded for vector stores is its project's, too, and held to its budget."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from tests.plugins.usage.house import House, opened

from famulus.testing import Script, tool

pytestmark = pytest.mark.anyio

STORES = ("local_blobs", "files", "extraction", "builtin", "embeddings", "exact_vectors")
MODEL = "famulus-lexical-1"
TEXT = b"The quick brown fox jumps over the lazy dog. " * 200


async def filled(house: House, client: openai.AsyncOpenAI) -> tuple[str, Any]:
    """A store, and how the one file in it ended."""
    file = await client.files.create(file=("fox.txt", TEXT), purpose="assistants")
    store = await client.vector_stores.create()
    ended = await client.vector_stores.files.create_and_poll(
        file.id, vector_store_id=store.id, poll_interval_ms=20
    )
    return store.id, ended


async def second_key(house: House, project: str) -> tuple[str, openai.AsyncOpenAI]:
    """The id of another key of a project, and a client with that."""
    made = await house.projects.service_accounts.create(project_id=project, name="other")
    assert made.api_key is not None
    return made.api_key.id, house.client.with_options(api_key=made.api_key.value)


async def embedded(house: House) -> list[Any]:
    await house.settle()
    [bucket] = (
        await house.usage.embeddings(
            start_time=int(house.clock()), group_by=["project_id", "api_key_id", "model"]
        )
    ).data
    return list(bucket.results)


async def test_files_and_searches_are_counted_for_their_project_and_key() -> None:
    async with opened(None, *STORES, "vector_stores") as house:
        project, key, client = await house.key()
        store, ended = await filled(house, client)
        assert ended.status == "completed"
        [of_file] = await embedded(house)
        assert (of_file.project_id, of_file.api_key_id, of_file.model) == (project, key, MODEL)
        assert of_file.input_tokens > len(TEXT.split())
        # Another key of the project searches.
        other, searching = await second_key(house, project)
        await searching.vector_stores.search(store, query="a fox that jumps")
        rows = {row.api_key_id: row for row in await embedded(house)}
        assert rows.keys() == {key, other}
        assert (rows[other].input_tokens, rows[other].num_model_requests) == (4, 1)
        [bucket] = (
            await house.usage.file_search_calls(
                start_time=int(house.clock()), group_by=["api_key_id"]
            )
        ).data
        assert [(row.api_key_id, row.num_requests) for row in bucket.results] == [(other, 1)]


async def of_new_store(client: openai.AsyncOpenAI, file: str) -> None:
    await client.vector_stores.create(file_ids=[file])


async def of_batch(client: openai.AsyncOpenAI, file: str) -> None:
    store = await client.vector_stores.create()
    await client.vector_stores.file_batches.create(store.id, file_ids=[file])


async def of_assistant(client: openai.AsyncOpenAI, file: str) -> None:
    resources: Any = {"file_search": {"vector_stores": [{"file_ids": [file]}]}}
    await client.beta.assistants.create(model="scripted", tool_resources=resources)


async def of_thread(client: openai.AsyncOpenAI, file: str) -> None:
    resources: Any = {"file_search": {"vector_stores": [{"file_ids": [file]}]}}
    await client.beta.threads.create(tool_resources=resources)


async def of_first_message(client: openai.AsyncOpenAI, file: str) -> None:
    await client.beta.threads.create(messages=[attaching(file)])


async def of_message(client: openai.AsyncOpenAI, file: str) -> None:
    thread = await client.beta.threads.create()
    await client.beta.threads.messages.create(thread.id, **attaching(file))


async def of_message_of_run(client: openai.AsyncOpenAI, file: str) -> None:
    assistant = await client.beta.assistants.create(model="scripted")
    thread = await client.beta.threads.create()
    await client.beta.threads.runs.create(
        thread.id, assistant_id=assistant.id, additional_messages=[attaching(file)]
    )


async def of_thread_of_run(client: openai.AsyncOpenAI, file: str) -> None:
    assistant = await client.beta.assistants.create(model="scripted")
    await client.beta.threads.create_and_run(
        assistant_id=assistant.id, thread={"messages": [attaching(file)]}
    )


def attaching(file: str) -> Any:
    searched = [{"file_id": file, "tools": [{"type": "file_search"}]}]
    return {"role": "user", "content": "Read this.", "attachments": searched}


@pytest.mark.parametrize(
    "attach",
    [
        *(of_new_store, of_batch, of_assistant, of_thread, of_first_message, of_message),
        *(of_message_of_run, of_thread_of_run),
    ],
)
async def test_however_a_file_comes_into_a_store_its_key_is_who_attached_it(attach: Any) -> None:
    async with opened(None, *STORES, "vector_stores") as house:
        project, key, client = await house.key()
        uploader, uploading = await second_key(house, project)
        file = await uploading.files.create(file=("fox.txt", TEXT), purpose="assistants")
        await attach(client, file.id)
        async with asyncio.timeout(30):
            while not (rows := await embedded(house)):
                await asyncio.sleep(0.02)
        assert [(row.project_id, row.api_key_id) for row in rows] == [(project, key)]
        assert uploader != key


async def test_what_a_run_searches_for_is_of_the_key_that_created_it() -> None:
    script = Script().calls(tool("file_search", {"queries": ["a fox that jumps"]})).says("Yes.")
    async with opened(script, *STORES, "vector_stores", "file_search") as house:
        project, key, client = await house.key()
        store, _ = await filled(house, client)
        runner, running = await second_key(house, project)
        resources: Any = {"file_search": {"vector_store_ids": [store]}}
        run = await house.ran(running, tools=[{"type": "file_search"}], tool_resources=resources)
        assert run.status == "completed"
        rows = {row.api_key_id: row for row in await embedded(house)}
        assert rows.keys() == {key, runner}
        assert (rows[runner].input_tokens, rows[runner].num_model_requests) == (4, 1)


async def test_a_key_over_its_budget_has_no_file_read_and_others_of_its_project_have() -> None:
    usage = {"prices": {MODEL: {"input": 1_000_000}}, "budgets": {"key": 1.0}}
    async with opened(None, *STORES, "vector_stores", usage=usage) as house:
        project, _, client = await house.key()
        _, first = await filled(house, client)
        _, second = await filled(house, client)
        _, other = await second_key(house, project)
        _, third = await filled(house, other)
        assert [each.status for each in (first, second, third)] == [
            "completed",
            "failed",
            "completed",
        ]
        assert "of its budget of 1 USD" in second.last_error.message


async def test_a_project_over_its_budget_has_nothing_more_embedded() -> None:
    usage = {"prices": {MODEL: {"input": 1_000_000}}, "budgets": {"project": 1.0}}
    async with opened(None, *STORES, "vector_stores", usage=usage) as house:
        store, first = await filled(house, house.client)
        _, second = await filled(house, house.client)
        assert (first.status, second.status) == ("completed", "failed")
        assert "of its budget of 1 USD" in second.last_error.message
        with pytest.raises(openai.RateLimitError, match="budget"):
            await house.client.vector_stores.search(store, query="fox")
        [row] = await house.spent(group_by=["line_item"])
        assert row.line_item == MODEL
