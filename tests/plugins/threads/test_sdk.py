"""Threads and messages through the official client, over a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
from openai import AsyncOpenAI

from famulus.testing import live_server, make_kernel

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[AsyncOpenAI]:
    kernel = make_kernel("sqlite", "threads", data_dir=tmp_path)
    async with (
        live_server(kernel) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client,
    ):
        yield client


async def test_a_thread_lives_from_create_to_delete(client: AsyncOpenAI) -> None:
    threads = client.beta.threads
    thread = await threads.create(
        messages=[{"role": "user", "content": "hi"}],
        tool_resources={"code_interpreter": {"file_ids": ["file-1"]}},
        metadata={"a": "b"},
    )
    assert thread.object == "thread"
    assert thread.tool_resources is not None
    assert thread.tool_resources.code_interpreter is not None
    assert thread.tool_resources.code_interpreter.file_ids == ["file-1"]
    assert await threads.retrieve(thread.id) == thread
    updated = await threads.update(thread.id, metadata={"c": "d"})
    assert updated.metadata == {"c": "d"}
    deleted = await threads.delete(thread.id)
    assert (deleted.id, deleted.object, deleted.deleted) == (thread.id, "thread.deleted", True)
    with pytest.raises(openai.NotFoundError) as gone:
        await threads.retrieve(thread.id)
    assert gone.value.body == {
        "message": f"No thread found with id '{thread.id}'.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
    assert gone.value.request_id


async def test_a_message_lives_from_create_to_delete(client: AsyncOpenAI) -> None:
    thread = await client.beta.threads.create()
    messages = client.beta.threads.messages
    message = await messages.create(
        thread.id,
        role="user",
        content=[
            {"type": "text", "text": "what is this?"},
            {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
        ],
        attachments=[{"file_id": "file-1", "tools": [{"type": "file_search"}]}],
    )
    text = message.content[0]
    assert text.type == "text"
    assert (text.text.value, text.text.annotations) == ("what is this?", [])
    assert message.status == "completed"
    assert await messages.retrieve(message.id, thread_id=thread.id) == message
    updated = await messages.update(message.id, thread_id=thread.id, metadata={"a": "b"})
    assert updated.metadata == {"a": "b"}
    deleted = await messages.delete(message.id, thread_id=thread.id)
    assert (deleted.object, deleted.deleted) == ("thread.message.deleted", True)
    with pytest.raises(openai.NotFoundError):
        await messages.retrieve(message.id, thread_id=thread.id)


async def test_the_client_pages_through_all_messages(client: AsyncOpenAI) -> None:
    thread = await client.beta.threads.create(
        messages=[{"role": "user", "content": str(n)} for n in range(25)]
    )
    seen = [
        message.content[0].text.value  # type: ignore[union-attr]
        async for message in client.beta.threads.messages.list(thread.id, limit=10, order="asc")
    ]
    assert seen == [str(n) for n in range(25)]


async def test_a_refusal_is_the_clients_own_error(client: AsyncOpenAI) -> None:
    thread = await client.beta.threads.create()
    with pytest.raises(openai.BadRequestError) as refused:
        await client.beta.threads.messages.create(
            thread.id,
            role="user",
            content="x" * 256_001,
        )
    assert (refused.value.param, refused.value.code) == ("content", "string_above_max_length")
    with pytest.raises(openai.BadRequestError) as refused:
        await client.beta.threads.messages.list(thread.id, after="msg_9")
    assert refused.value.param == "after"
