"""Files in, a question, and an answer that cites: on real stores and the built-in model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from openai import AsyncOpenAI
from openai.types.beta.threads import Text

from famulus.config import load_config
from famulus.kernel import Kernel
from famulus.testing import live_server
from famulus.testing.kit import quiet_log

FILES = {
    "holidays.md": b"# Holidays\n\nEvery employee has 28 days of paid holiday a year. "
    b"Unused days lapse on 31 March of the next year.",
    "travel.txt": b"Trips are booked by Priya Raman. The daily allowance is 42 euros in Zurich.",
    "office.md": b"# Office\n\nThe office opens at 7:30. Dogs are welcome on Fridays.",
}


@asynccontextmanager
async def served(tmp_path: Path) -> AsyncIterator[AsyncOpenAI]:
    """All of our plugins, as `famulus serve` starts them."""
    quiet = {"openai_compatible": {"discover": False}, "keys": {"api_key": "sk-test"}}
    config = load_config(
        None,
        environment={},
        flags={"server": {"data_dir": str(tmp_path / "data"), "drain_s": 2}, **quiet},
    )
    async with (
        live_server(Kernel(config, log=quiet_log())) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-test", max_retries=0) as client,
    ):
        yield client


async def told(client: AsyncOpenAI, thread: str, assistant: str, question: str) -> Text:
    """The answer to a question."""
    await client.beta.threads.messages.create(thread, role="user", content=question)
    run = await client.beta.threads.runs.create_and_poll(
        thread_id=thread, assistant_id=assistant, poll_interval_ms=20
    )
    assert run.status == "completed", run.last_error
    newest = (await client.beta.threads.messages.list(thread, limit=1)).data[0]
    return newest.content[0].text  # type: ignore[union-attr]


async def test_files_in_a_question_and_an_answer_that_cites_the_right_sentence(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as client:
        store = await client.vector_stores.create(name="Handbook")
        ids = {}
        for name, content in FILES.items():
            file = await client.files.create(file=(name, content), purpose="assistants")
            ids[name] = file.id
        # Not polled: the search itself waits until they are read.
        await client.vector_stores.file_batches.create(store.id, file_ids=list(ids.values()))
        assistant = await client.beta.assistants.create(
            model="famulus-builtin",
            tools=[{"type": "file_search"}],
            tool_resources={"file_search": {"vector_store_ids": [store.id]}},
        )
        thread = await client.beta.threads.create()
        for question, name, sentence in (
            ("How many days of holiday does an employee have?", "holidays.md", "has 28 days"),
            ("What is the daily allowance in Zurich?", "travel.txt", "42 euros in Zurich."),
            ("On which day are dogs welcome?", "office.md", "Dogs are welcome on Fridays."),
        ):
            text = await told(client, thread.id, assistant.id, question)
            assert sentence in text.value
            (cited,) = text.annotations
            assert cited.file_citation.file_id == ids[name]  # type: ignore[union-attr]
            assert text.value[cited.start_index : cited.end_index] == cited.text
            assert cited.text in text.value[text.value.index(sentence) :]


@pytest.mark.parametrize("asked", [True, False])
async def test_passages_can_be_read_in_the_step(asked: bool, tmp_path: Path) -> None:
    async with served(tmp_path) as client:
        file = await client.files.create(
            file=("office.md", FILES["office.md"]), purpose="assistants"
        )
        store = await client.vector_stores.create(file_ids=[file.id])
        assistant = await client.beta.assistants.create(
            model="famulus-builtin",
            tools=[{"type": "file_search"}],
            tool_resources={"file_search": {"vector_store_ids": [store.id]}},
        )
        thread = await client.beta.threads.create()
        await told(client, thread.id, assistant.id, "When does the office open?")
        (run,) = (await client.beta.threads.runs.list(thread.id)).data
        steps = await client.beta.threads.runs.steps.list(
            run.id,
            thread_id=thread.id,
            order="asc",
            include=["step_details.tool_calls[*].file_search.results[*].content"] if asked else [],
        )
        call = steps.data[0].step_details.tool_calls[0]  # type: ignore[union-attr]
        (result,) = call.file_search.results  # type: ignore[union-attr]
        assert result.file_id == file.id
        assert bool(result.content) is asked
        assert not asked or "7:30" in result.content[0].text


async def test_a_file_that_a_message_attaches_is_searched(tmp_path: Path) -> None:
    async with served(tmp_path) as client:
        file = await client.files.create(
            file=("office.md", FILES["office.md"]), purpose="assistants"
        )
        assistant = await client.beta.assistants.create(
            model="famulus-builtin", tools=[{"type": "file_search"}]
        )
        thread = await client.beta.threads.create(
            messages=[
                {
                    "role": "user",
                    "content": "Here it is.",
                    "attachments": [{"file_id": file.id, "tools": [{"type": "file_search"}]}],
                }
            ]
        )
        text = await told(client, thread.id, assistant.id, "When does the office open?")
        assert "The office opens at 7:30." in text.value
        (cited,) = text.annotations
        assert cited.file_citation.file_id == file.id  # type: ignore[union-attr]


async def test_a_store_that_is_made_along_with_the_assistant_is_searched(tmp_path: Path) -> None:
    async with served(tmp_path) as client:
        file = await client.files.create(
            file=("travel.txt", FILES["travel.txt"]), purpose="assistants"
        )
        assistant = await client.beta.assistants.create(
            model="famulus-builtin",
            tools=[{"type": "file_search"}],
            tool_resources={"file_search": {"vector_stores": [{"file_ids": [file.id]}]}},
        )
        thread = await client.beta.threads.create()
        text = await told(client, thread.id, assistant.id, "Who books trips?")
        assert "Trips are booked by Priya Raman." in text.value
        (cited,) = text.annotations
        assert cited.file_citation.file_id == file.id  # type: ignore[union-attr]
