"""Assistants through the official client, over a real socket."""

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
    kernel = make_kernel("sqlite", "assistants", data_dir=tmp_path)
    async with (
        live_server(kernel) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client,
    ):
        yield client


async def test_an_assistant_lives_from_create_to_delete(client: AsyncOpenAI) -> None:
    assistants = client.beta.assistants
    assistant = await assistants.create(
        model="gpt-4o",
        name="Math Tutor",
        instructions="You are a tutor.",
        reasoning_effort="low",
        tools=[{"type": "code_interpreter"}, {"type": "function", "function": {"name": "f"}}],
    )
    assert assistant.object == "assistant"
    assert [tool.type for tool in assistant.tools] == ["code_interpreter", "function"]
    assert assistant.tool_resources is not None
    assert assistant.tool_resources.code_interpreter is not None
    assert assistant.tool_resources.file_search is None
    assert await assistants.retrieve(assistant.id) == assistant
    updated = await assistants.update(assistant.id, name="Tutor", temperature=0.5)
    assert (updated.name, updated.temperature) == ("Tutor", 0.5)
    assert updated.instructions == "You are a tutor."
    deleted = await assistants.delete(assistant.id)
    assert (deleted.object, deleted.deleted) == ("assistant.deleted", True)
    with pytest.raises(openai.NotFoundError) as gone:
        await assistants.retrieve(assistant.id)
    assert gone.value.body == {
        "message": f"No assistant found with id '{assistant.id}'.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


async def test_the_client_pages_through_all_assistants(client: AsyncOpenAI) -> None:
    for n in range(7):
        await client.beta.assistants.create(model="m", name=str(n))
    pages = client.beta.assistants.list(limit=3, order="asc")
    assert [assistant.name async for assistant in pages] == [str(n) for n in range(7)]


async def test_a_refusal_is_the_clients_own_error(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.beta.assistants.create(model="m", name="x" * 257)
    assert (refused.value.param, refused.value.code) == ("name", "string_above_max_length")
    with pytest.raises(openai.BadRequestError) as refused:
        await client.beta.assistants.list(before="asst_9")
    assert refused.value.param == "before"
