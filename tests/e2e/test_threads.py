"""Threads and messages, by the official client."""

from __future__ import annotations

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from tests.e2e.texts import text_of


def test_a_thread_holds_the_messages_that_it_was_made_with(client: OpenAI) -> None:
    thread = client.beta.threads.create(
        messages=[
            {"role": "user", "content": "One"},
            {"role": "assistant", "content": "Two"},
            {"role": "user", "content": [{"type": "text", "text": "Three"}]},
        ],
        metadata={"a": "b"},
    )
    assert client.beta.threads.retrieve(thread.id) == thread
    messages = client.beta.threads.messages.list(thread.id, order="asc").data
    assert [(each.role, text_of(each)) for each in messages] == [
        ("user", "One"),
        ("assistant", "Two"),
        ("user", "Three"),
    ]
    assert {each.thread_id for each in messages} == {thread.id}


def test_a_message_is_made_modified_retrieved_and_deleted(client: OpenAI) -> None:
    thread = client.beta.threads.create()
    made = client.beta.threads.messages.create(thread.id, role="user", content="Hi")
    assert (text_of(made), made.role, made.status) == ("Hi", "user", "completed")
    changed = client.beta.threads.messages.update(
        made.id, thread_id=thread.id, metadata={"seen": "yes"}
    )
    assert changed == made.model_copy(update={"metadata": {"seen": "yes"}})
    assert client.beta.threads.messages.retrieve(made.id, thread_id=thread.id) == changed
    assert client.beta.threads.messages.delete(made.id, thread_id=thread.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.beta.threads.messages.retrieve(made.id, thread_id=thread.id)


def test_messages_are_listed_page_by_page_newest_first(client: OpenAI) -> None:
    thread = client.beta.threads.create()
    made = [
        client.beta.threads.messages.create(thread.id, role="user", content=str(number)).id
        for number in range(7)
    ]
    first_page = client.beta.threads.messages.list(thread.id, limit=2)
    assert first_page.has_more
    assert [each.id for each in first_page] == made[::-1]
    assert [each.id for each in client.beta.threads.messages.list(thread.id, order="asc")] == made


def test_a_thread_is_modified_and_deleted(client: OpenAI) -> None:
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "Hi"}])
    changed = client.beta.threads.update(thread.id, metadata={"k": "v"})
    assert changed.metadata == {"k": "v"}
    assert client.beta.threads.retrieve(thread.id) == changed
    gone = client.beta.threads.delete(thread.id)
    assert (gone.id, gone.deleted) == (thread.id, True)
    with pytest.raises(openai.NotFoundError):
        client.beta.threads.messages.list(thread.id)


async def test_the_async_client_pages_through_messages(async_client: AsyncOpenAI) -> None:
    thread = await async_client.beta.threads.create(
        messages=[{"role": "user", "content": str(number)} for number in range(5)]
    )
    pages = async_client.beta.threads.messages.list(thread.id, limit=2, order="asc")
    assert [text_of(each) async for each in pages] == ["0", "1", "2", "3", "4"]
