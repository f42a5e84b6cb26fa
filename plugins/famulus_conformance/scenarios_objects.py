"""Assistants, threads and messages, by the Python client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import openai

from famulus_conformance.scenarios_model import GET_WEATHER
from famulus_conformance.scenarios_stage import (
    Play,
    Stage,
    holds,
    refused,
    same,
    text_of,
    users,
)


def _assistant(stage: Stage) -> None:
    assistants = stage.client.beta.assistants
    given = {
        "name": "Guide",
        "description": "Knows the way.",
        "instructions": "Be brief.",
        "metadata": {"team": "north"},
        "temperature": 0.5,
        "top_p": 0.9,
        "response_format": "auto",
    }
    made = assistants.create(model=stage.model.id, tools=[GET_WEATHER], **given)
    same((made.object, made.model), ("assistant", stage.model.id), "the assistant")
    same({name: getattr(made, name) for name in given}, given, "what it was given")
    same([tool.function.name for tool in made.tools], ["get_weather"], "its tools")
    same(assistants.retrieve(made.id), made, "retrieved")
    changed = assistants.update(made.id, name="New", metadata={"a": "b"})
    same(changed, made.model_copy(update={"name": "New", "metadata": {"a": "b"}}), "updated")
    same(assistants.retrieve(made.id), changed, "retrieved after the update")
    gone = assistants.delete(made.id)
    told = (gone.id, gone.deleted, gone.object)
    same(told, (made.id, True, "assistant.deleted"), "deleted")
    refused(openai.NotFoundError, lambda: assistants.retrieve(made.id))
    holds(made.id not in [each.id for each in assistants.list()], "a deleted one is listed")


def _assistants_listed(stage: Stage) -> None:
    assistants = stage.client.beta.assistants
    made = [stage.assistant() for _ in range(5)]
    listed = [each.id for each in assistants.list(limit=2)]
    same(len(listed), len(set(listed)), "how many were listed")
    same([id for id in listed if id in made], made[::-1], "those just made")
    ascending = [each.id for each in assistants.list(limit=2, order="asc")]
    same([id for id in ascending if id in made], made, "those just made, oldest first")


def _after_and_before(stage: Stage) -> None:
    assistants = stage.client.beta.assistants
    first, second, third, fourth = (stage.assistant() for _ in range(4))
    after = assistants.list(order="asc", after=first, limit=2)
    same([each.id for each in after.data], [second, third], "after the first")
    before = assistants.list(order="asc", before=third, limit=2)
    same([each.id for each in before.data], [first, second], "before the third")
    newest = assistants.list(after=fourth, limit=2)
    same([each.id for each in newest.data], [third, second], "after the fourth, newest first")


def _thread(stage: Stage) -> None:
    threads = stage.client.beta.threads
    made = threads.create(messages=users("Hi"), metadata={"a": "b"})
    same((made.object, made.metadata), ("thread", {"a": "b"}), "the thread")
    same(threads.retrieve(made.id), made, "retrieved")
    changed = threads.update(made.id, metadata={"c": "d"})
    same(changed, made.model_copy(update={"metadata": {"c": "d"}}), "updated")
    same(threads.retrieve(made.id), changed, "retrieved after the update")
    gone = threads.delete(made.id)
    same((gone.id, gone.deleted, gone.object), (made.id, True, "thread.deleted"), "deleted")
    refused(openai.NotFoundError, lambda: threads.retrieve(made.id))
    refused(openai.NotFoundError, lambda: threads.messages.list(made.id).data)


def _empty_thread(stage: Stage) -> None:
    threads = stage.client.beta.threads
    thread = threads.create()
    same(threads.messages.list(thread.id).data, [], "its messages")


def _thread_with_messages(stage: Stage) -> None:
    threads = stage.client.beta.threads
    parts = [{"type": "text", "text": "Three"}]
    said: Any = [
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "Two"},
        {"role": "user", "content": parts},
    ]
    thread = threads.create(messages=said, metadata={"a": "b"})
    same(threads.retrieve(thread.id), thread, "retrieved")
    messages = threads.messages.list(thread.id, order="asc").data
    due = [("user", "One"), ("assistant", "Two"), ("user", "Three")]
    same([(each.role, text_of(each)) for each in messages], due, "its messages")
    same({each.thread_id for each in messages}, {thread.id}, "their thread")


def _message(stage: Stage) -> None:
    messages = stage.client.beta.threads.messages
    thread_id = stage.thread()
    made = messages.create(thread_id, role="user", content=[{"type": "text", "text": "Hi"}])
    told = (made.object, text_of(made), made.role, made.status)
    same(told, ("thread.message", "Hi", "user", "completed"), "the message")
    same(messages.retrieve(made.id, thread_id=thread_id), made, "retrieved")
    changed = messages.update(made.id, thread_id=thread_id, metadata={"seen": "yes"})
    same(changed, made.model_copy(update={"metadata": {"seen": "yes"}}), "updated")
    same(messages.retrieve(made.id, thread_id=thread_id), changed, "retrieved after the update")
    gone = messages.delete(made.id, thread_id=thread_id)
    same((gone.deleted, gone.object), (True, "thread.message.deleted"), "deleted")
    refused(openai.NotFoundError, lambda: messages.retrieve(made.id, thread_id=thread_id))


def _messages_listed(stage: Stage) -> None:
    messages = stage.client.beta.threads.messages
    thread_id = stage.thread()
    made = [messages.create(thread_id, role="user", content=str(n)).id for n in range(7)]
    first = messages.list(thread_id, limit=2)
    holds(first.has_more, "the first page has no more")
    same([each.id for each in first], made[::-1], "newest first, from the first page on")
    sizes = [len(page.data) for page in messages.list(thread_id, limit=2).iter_pages()]
    same(sizes, [2, 2, 2, 1], "the pages")
    ascending = messages.list(thread_id, limit=3, order="asc")
    same([text_of(each) for each in ascending], [str(n) for n in range(7)], "oldest first")


PLAYS: Mapping[str, Play] = {
    "an assistant is created, retrieved, updated and deleted": _assistant,
    "assistants are listed over several pages": _assistants_listed,
    "a list goes on after and before an object": _after_and_before,
    "a thread is created, retrieved, updated and deleted": _thread,
    "a thread is created from no arguments": _empty_thread,
    "a thread holds the messages that it was made with": _thread_with_messages,
    "a message is created, retrieved, updated and deleted": _message,
    "messages are listed over several pages": _messages_listed,
}
