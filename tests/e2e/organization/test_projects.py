"""What one project has is not there for another, whichever process either of them asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai import OpenAI
from tests.e2e.organization.organization import Organization
from tests.e2e.scripted_model import SLOWLY

WORDS = "Say the canary sings in support."


@pytest.fixture(scope="module")
def conversation(organization: Organization) -> dict[str, str]:
    """A conversation of the project support, begun at one process and answered at the other."""
    here = organization.client(organization.writer, organization.one)
    there = organization.client(organization.writer, organization.two)
    file = here.files.create(file=("canary.txt", b"the canary's file"), purpose="assistants")
    assistant = here.beta.assistants.create(
        model="scripted", name="canary", instructions="canary", metadata={"m": "canary"}
    )
    thread = there.beta.threads.create(messages=[{"role": "user", "content": WORDS}])
    run = there.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
    assert run.status == "completed"
    return {"file": file.id, "assistant": assistant.id, "thread": thread.id, "run": run.id}


def test_a_project_sees_its_conversation_at_both_processes(
    organization: Organization, conversation: dict[str, str]
) -> None:
    for served in organization.processes:
        client = organization.client(organization.writer, served)
        newest, first = client.beta.threads.messages.list(conversation["thread"]).data
        assert texts(newest) == ["the canary sings in support."]
        assert texts(first) == [WORDS]
        assert client.files.content(conversation["file"]).content == b"the canary's file"


def test_another_project_finds_none_of_it_at_either_process(
    organization: Organization, conversation: dict[str, str]
) -> None:
    for served in organization.processes:
        client = organization.client(organization.biller, served)
        for ask in reaching(client, conversation):
            with pytest.raises(openai.NotFoundError):
                ask()
        assert client.beta.assistants.list().data == []
        assert client.files.list().data == []


def test_a_project_cannot_have_its_run_done_by_the_assistant_of_another(
    organization: Organization, conversation: dict[str, str]
) -> None:
    client = organization.client(organization.biller, organization.two)
    own = client.beta.threads.create(messages=[{"role": "user", "content": "canary"}])
    with pytest.raises(openai.NotFoundError):
        client.beta.threads.runs.create(own.id, assistant_id=conversation["assistant"])


def test_a_run_of_one_project_is_not_cancelled_by_another(organization: Organization) -> None:
    writer = organization.client(organization.writer, organization.one)
    assistant = writer.beta.assistants.create(model="scripted")
    thread = writer.beta.threads.create(messages=[{"role": "user", "content": SLOWLY}])
    run = writer.beta.threads.runs.create(thread.id, assistant_id=assistant.id)
    for served in organization.processes:
        with pytest.raises(openai.NotFoundError):
            organization.client(organization.biller, served).beta.threads.runs.cancel(
                run.id, thread_id=thread.id
            )
    there = organization.client(organization.writer, organization.two)
    ended = there.beta.threads.runs.poll(run.id, thread_id=thread.id)
    assert ended.status == "completed"
    assert ended.usage is not None
    assert ended.usage.completion_tokens > 0


def reaching(client: OpenAI, ids: dict[str, str]) -> list[Callable[[], Any]]:
    """All that somebody may try with the ids of a conversation."""
    assistants, threads, files = client.beta.assistants, client.beta.threads, client.files
    thread, run, file, assistant = ids["thread"], ids["run"], ids["file"], ids["assistant"]
    return [
        lambda: assistants.retrieve(assistant),
        lambda: assistants.delete(assistant),
        lambda: threads.retrieve(thread),
        lambda: threads.messages.list(thread),
        lambda: threads.messages.create(thread, role="user", content="canary"),
        lambda: threads.runs.retrieve(run, thread_id=thread),
        lambda: threads.runs.create(thread, assistant_id=assistant),
        lambda: files.retrieve(file),
        lambda: files.content(file),
    ]


def texts(message: Any) -> list[str]:
    return [part.text.value for part in message.content]
