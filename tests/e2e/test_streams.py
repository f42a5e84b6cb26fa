"""Runs that are streamed, by the official client's event handlers."""

from __future__ import annotations

from typing import Any

from openai import AssistantEventHandler, AsyncAssistantEventHandler, AsyncOpenAI, OpenAI
from tests.e2e.models import ECHO, Model
from tests.e2e.texts import text_of

TOLD = [
    "run_step_created",
    "text_created",
    "text_done",
    "message_done",
    "run_step_done",
    "end",
]


class Heard(AssistantEventHandler):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.events: list[Any] = []
        self.text = ""

    def on_event(self, event: Any) -> None:
        self.events.append(event)

    def on_run_step_created(self, run_step: Any) -> None:
        self.told.append("run_step_created")

    def on_text_created(self, text: Any) -> None:
        self.told.append("text_created")

    def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.text += delta.value or ""
        assert snapshot.value == self.text

    def on_text_done(self, text: Any) -> None:
        assert text.value == self.text
        self.told.append("text_done")

    def on_message_done(self, message: Any) -> None:
        self.told.append("message_done")

    def on_run_step_done(self, run_step: Any) -> None:
        self.told.append("run_step_done")

    def on_end(self) -> None:
        self.told.append("end")


class HeardAsync(AsyncAssistantEventHandler):
    """Passes what it is told on to the other."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = Heard()

    async def on_event(self, event: Any) -> None:
        self.heard.on_event(event)

    async def on_run_step_created(self, run_step: Any) -> None:
        self.heard.on_run_step_created(run_step)

    async def on_text_created(self, text: Any) -> None:
        self.heard.on_text_created(text)

    async def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.heard.on_text_delta(delta, snapshot)

    async def on_text_done(self, text: Any) -> None:
        self.heard.on_text_done(text)

    async def on_message_done(self, message: Any) -> None:
        self.heard.on_message_done(message)

    async def on_run_step_done(self, run_step: Any) -> None:
        self.heard.on_run_step_done(run_step)

    async def on_end(self) -> None:
        self.heard.on_end()


def test_a_stream_tells_the_handler_everything_in_order(client: OpenAI, model: Model) -> None:
    assistant = client.beta.assistants.create(model=model.id, temperature=0)
    thread = client.beta.threads.create(messages=[{"role": "user", "content": ECHO}])
    heard = Heard()
    with client.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=assistant.id, event_handler=heard
    ) as stream:
        stream.until_done()
        run = stream.get_final_run()
        (step,) = stream.get_final_run_steps()
        (message,) = stream.get_final_messages()
    assert heard.told == TOLD
    assert model.is_right(ECHO, heard.text)
    assert [event.event for event in heard.events][:3] == [
        "thread.run.created",
        "thread.run.queued",
        "thread.run.in_progress",
    ]
    assert step.step_details.type == "message_creation"
    assert message.id == step.step_details.message_creation.message_id
    assert heard.events[-1].event == "thread.run.completed"
    assert run == heard.events[-1].data


def test_what_a_stream_ends_with_is_what_is_stored(client: OpenAI, model: Model) -> None:
    assistant = client.beta.assistants.create(model=model.id)
    thread = client.beta.threads.create(messages=[{"role": "user", "content": ECHO}])
    ends = {
        event.event: event.data
        for event in client.beta.threads.runs.create(
            thread_id=thread.id, assistant_id=assistant.id, stream=True
        )
    }
    run = client.beta.threads.runs.list(thread.id).data[0]
    assert ends["thread.run.completed"] == run
    (step,) = client.beta.threads.runs.steps.list(run.id, thread_id=thread.id)
    assert ends["thread.run.step.completed"] == step
    (message,) = client.beta.threads.messages.list(thread.id, run_id=run.id)
    assert ends["thread.message.completed"] == message


async def test_a_stream_tells_the_async_handler_everything_in_order(
    async_client: AsyncOpenAI, model: Model
) -> None:
    assistant = await async_client.beta.assistants.create(model=model.id, temperature=0)
    thread = await async_client.beta.threads.create(messages=[{"role": "user", "content": ECHO}])
    handler = HeardAsync()
    async with async_client.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=assistant.id, event_handler=handler
    ) as stream:
        await stream.until_done()
        run = await stream.get_final_run()
    assert handler.heard.told == TOLD
    assert model.is_right(ECHO, handler.heard.text)
    assert run.status == "completed"


def test_a_stream_is_told_to_its_end_however_long_the_answer(client: OpenAI, model: Model) -> None:
    assistant = client.beta.assistants.create(model=model.id, temperature=0)
    thread = client.beta.threads.create(messages=[{"role": "user", "content": model.lengthy}])
    with client.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=assistant.id, extra_body=model.lengthy_arguments
    ) as stream:
        text = "".join(stream.text_deltas)
        run = stream.get_final_run()
    # A model that writes until its context is full has not completed its answer.
    assert run.status in ("completed", "incomplete")
    message = client.beta.threads.messages.list(thread.id, run_id=run.id).data[0]
    assert text == text_of(message)
    assert len(text.split()) > 90


def test_a_thread_is_created_and_run_in_one_stream(client: OpenAI, model: Model) -> None:
    assistant = client.beta.assistants.create(model=model.id, temperature=0)
    with client.beta.threads.create_and_run_stream(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": ECHO}]}
    ) as stream:
        text = "".join(stream.text_deltas)
        run = stream.get_final_run()
    assert model.is_right(ECHO, text)
    assert run.status == "completed"


def test_events_are_iterated_without_a_handler(client: OpenAI, model: Model) -> None:
    assistant = client.beta.assistants.create(model=model.id, temperature=0)
    thread = client.beta.threads.create(messages=[{"role": "user", "content": ECHO}])
    events = list(
        client.beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id, stream=True)
    )
    text = "".join(
        part.text.value or ""
        for event in events
        if event.event == "thread.message.delta"
        for part in event.data.delta.content or ()
        if part.type == "text" and part.text
    )
    assert model.is_right(ECHO, text)
    assert events[-1].event == "thread.run.completed"
