"""Assistants, by the official client."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from tests.e2e.models import GET_WEATHER, Model


def test_an_assistant_is_what_was_asked_for(client: OpenAI, model: Model) -> None:
    made: Any = client.beta.assistants.create(
        model=model.id,
        name="Guide",
        description="Knows the way.",
        instructions="Be brief.",
        tools=[GET_WEATHER],
        metadata={"team": "north"},
        temperature=0.5,
        top_p=0.9,
        response_format="auto",
    )
    assert made.object == "assistant"
    assert (made.name, made.description) == ("Guide", "Knows the way.")
    assert (made.instructions, made.model) == ("Be brief.", model.id)
    assert made.tools[0].function.name == "get_weather"
    assert made.metadata == {"team": "north"}
    assert (made.temperature, made.top_p, made.response_format) == (0.5, 0.9, "auto")
    assert client.beta.assistants.retrieve(made.id) == made


def test_a_modified_assistant_keeps_what_was_not_named(client: OpenAI, model: Model) -> None:
    made = client.beta.assistants.create(model=model.id, name="Old", instructions="Stay.")
    changed = client.beta.assistants.update(made.id, name="New", metadata={"a": "b"})
    assert (changed.id, changed.created_at) == (made.id, made.created_at)
    assert (changed.name, changed.instructions) == ("New", "Stay.")
    assert client.beta.assistants.retrieve(made.id) == changed


def test_a_deleted_assistant_is_gone(client: OpenAI, model: Model) -> None:
    made = client.beta.assistants.create(model=model.id)
    gone = client.beta.assistants.delete(made.id)
    assert (gone.id, gone.deleted, gone.object) == (made.id, True, "assistant.deleted")
    with pytest.raises(openai.NotFoundError):
        client.beta.assistants.retrieve(made.id)
    assert made.id not in [each.id for each in client.beta.assistants.list()]


def test_all_assistants_are_listed_page_by_page(client: OpenAI, model: Model) -> None:
    made = [client.beta.assistants.create(model=model.id).id for _ in range(5)]
    listed = [each.id for each in client.beta.assistants.list(limit=2)]
    assert len(listed) == len(set(listed))
    assert [id for id in listed if id in made] == made[::-1]


def test_a_list_goes_on_after_and_before_an_assistant(client: OpenAI, model: Model) -> None:
    first, second, third = (client.beta.assistants.create(model=model.id).id for _ in range(3))
    after = client.beta.assistants.list(order="asc", after=first, limit=2)
    assert [each.id for each in after.data] == [second, third]
    before = client.beta.assistants.list(order="asc", before=third, limit=2)
    assert [each.id for each in before.data] == [first, second]


async def test_the_async_client_pages_through_assistants(
    async_client: AsyncOpenAI, model: Model
) -> None:
    made = [(await async_client.beta.assistants.create(model=model.id)).id for _ in range(3)]
    listed = [each.id async for each in async_client.beta.assistants.list(limit=1, order="asc")]
    assert [id for id in listed if id in made] == made
