"""Runs that are waited for, by the official client."""

from __future__ import annotations

import time

from openai import AsyncOpenAI, OpenAI
from openai.types.beta.threads import Run
from tests.e2e.models import CAPITAL, CONTEXT, ECHO, GREETING, NAME, NAME_AGAIN, Model
from tests.e2e.texts import newest, text_of

WAIT_S = 120.0


def test_create_and_poll_gives_the_right_answer(client: OpenAI, model: Model) -> None:
    assistant = client.beta.assistants.create(model=model.id, temperature=0)
    thread = client.beta.threads.create(messages=[{"role": "user", "content": ECHO}])
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
    assert run.status == "completed"
    assert model.is_right(ECHO, newest(client, thread.id))
    assert run.usage is not None
    assert min(run.usage.prompt_tokens, run.usage.completion_tokens) > 0
    assert run.usage.total_tokens == run.usage.prompt_tokens + run.usage.completion_tokens


def test_create_and_run_poll_gives_the_right_answer(client: OpenAI, model: Model) -> None:
    assistant = client.beta.assistants.create(model=model.id, temperature=0)
    run = client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": GREETING}]}
    )
    assert run.status == "completed"
    assert model.is_right(GREETING, newest(client, run.thread_id))


def test_instructions_reach_the_model(client: OpenAI, model: Model) -> None:
    assistant = client.beta.assistants.create(model=model.id, temperature=0, instructions=CONTEXT)
    run = client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": CAPITAL}]}
    )
    assert model.is_right(CAPITAL, newest(client, run.thread_id))


def test_a_run_may_have_instructions_and_messages_of_its_own(client: OpenAI, model: Model) -> None:
    assistant = client.beta.assistants.create(model=model.id, instructions="You know nothing.")
    thread = client.beta.threads.create()
    run = client.beta.threads.runs.create_and_poll(
        thread_id=thread.id,
        assistant_id=assistant.id,
        instructions=CONTEXT,
        additional_messages=[{"role": "user", "content": CAPITAL}],
        temperature=0,
    )
    assert run.instructions == CONTEXT
    assert model.is_right(CAPITAL, newest(client, thread.id))


def test_a_thread_remembers_what_was_said_in_it(client: OpenAI, model: Model) -> None:
    assistant = client.beta.assistants.create(model=model.id, temperature=0)
    thread = client.beta.threads.create()
    for said in (NAME, NAME_AGAIN):
        client.beta.threads.messages.create(thread.id, role="user", content=said)
        run = client.beta.threads.runs.create_and_poll(
            thread_id=thread.id, assistant_id=assistant.id
        )
        assert run.status == "completed"
        assert model.is_right(said, newest(client, thread.id))


def test_the_steps_of_a_run_are_listed_and_retrieved(client: OpenAI, model: Model) -> None:
    assistant = client.beta.assistants.create(model=model.id)
    run = client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": ECHO}]}
    )
    (step,) = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id)
    assert (step.type, step.status) == ("message_creation", "completed")
    message = client.beta.threads.messages.list(run.thread_id, run_id=run.id).data[0]
    assert step.step_details.type == "message_creation"
    assert step.step_details.message_creation.message_id == message.id
    again = client.beta.threads.runs.steps.retrieve(step.id, run_id=run.id, thread_id=run.thread_id)
    assert again == step


def test_runs_are_listed_page_by_page_and_modified(client: OpenAI, model: Model) -> None:
    assistant = client.beta.assistants.create(model=model.id)
    thread = client.beta.threads.create(messages=[{"role": "user", "content": ECHO}])
    made = [
        client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id).id
        for _ in range(3)
    ]
    assert [run.id for run in client.beta.threads.runs.list(thread.id, limit=1)] == made[::-1]
    changed = client.beta.threads.runs.update(
        made[0], thread_id=thread.id, metadata={"kept": "yes"}
    )
    assert changed.metadata == {"kept": "yes"}
    assert client.beta.threads.runs.retrieve(made[0], thread_id=thread.id) == changed


def test_a_run_that_is_at_work_is_cancelled(client: OpenAI, model: Model) -> None:
    assistant = client.beta.assistants.create(model=model.id, temperature=0)
    thread = client.beta.threads.create(messages=[{"role": "user", "content": model.endless}])
    run = client.beta.threads.runs.create(
        thread_id=thread.id, assistant_id=assistant.id, extra_body=model.endless_arguments
    )
    give_up = time.monotonic() + WAIT_S
    while not client.beta.threads.messages.list(thread.id, run_id=run.id).data:
        assert time.monotonic() < give_up
    asked = client.beta.threads.runs.cancel(run.id, thread_id=thread.id)
    assert asked.status in ("cancelling", "cancelled")
    assert _ended(client, run).status == "cancelled"
    (message,) = client.beta.threads.messages.list(thread.id, run_id=run.id)
    assert message.status == "incomplete"
    assert message.incomplete_details is not None
    assert message.incomplete_details.reason == "run_cancelled"


def _ended(client: OpenAI, run: Run) -> Run:
    return client.beta.threads.runs.poll(run.id, thread_id=run.thread_id)


async def test_the_async_client_runs_a_thread_and_polls(
    async_client: AsyncOpenAI, model: Model
) -> None:
    assistant = await async_client.beta.assistants.create(model=model.id, temperature=0)
    thread = await async_client.beta.threads.create(messages=[{"role": "user", "content": ECHO}])
    run = await async_client.beta.threads.runs.create_and_poll(
        thread_id=thread.id, assistant_id=assistant.id
    )
    assert run.status == "completed"
    messages = await async_client.beta.threads.messages.list(thread.id, run_id=run.id)
    (message,) = messages.data
    assert model.is_right(ECHO, text_of(message))


async def test_the_async_client_creates_and_polls(async_client: AsyncOpenAI, model: Model) -> None:
    assistant = await async_client.beta.assistants.create(model=model.id, temperature=0)
    run = await async_client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": ECHO}]}
    )
    assert run.status == "completed"
    messages = [each async for each in async_client.beta.threads.messages.list(run.thread_id)]
    assert model.is_right(ECHO, text_of(messages[0]))
    steps = async_client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id)
    assert [step.status async for step in steps] == ["completed"]
