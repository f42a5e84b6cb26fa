"""Functions that the client runs, by the official client."""

from __future__ import annotations

import json
from typing import Any

from openai import AssistantEventHandler, AsyncOpenAI, OpenAI
from tests.e2e.models import DEGREES, GET_WEATHER, WEATHER, WEATHER_TWICE, Model
from tests.e2e.texts import newest


def asked(client: OpenAI, model: Model, content: str) -> Any:
    """A run that waits for the outputs of functions."""
    assistant = client.beta.assistants.create(model=model.id, temperature=0, tools=[GET_WEATHER])
    run = client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": content}]}
    )
    assert run.status == "requires_action"
    return run


def calls_of(run: Any) -> list[tuple[str, Any]]:
    calls = run.required_action.submit_tool_outputs.tool_calls
    return [(call.function.name, json.loads(call.function.arguments)) for call in calls]


def outputs_for(run: Any) -> Any:
    calls = run.required_action.submit_tool_outputs.tool_calls
    return [{"tool_call_id": call.id, "output": DEGREES} for call in calls]


def test_a_function_is_asked_for_and_its_output_is_used(client: OpenAI, model: Model) -> None:
    run = asked(client, model, WEATHER)
    assert calls_of(run) == [("get_weather", {"city": "Reykjavik"})]
    ended = client.beta.threads.runs.submit_tool_outputs_and_poll(
        run_id=run.id, thread_id=run.thread_id, tool_outputs=outputs_for(run)
    )
    assert ended.status == "completed"
    assert model.is_right(DEGREES, newest(client, run.thread_id))
    steps = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id, order="asc")
    called, answered = steps.data
    assert (called.type, answered.type) == ("tool_calls", "message_creation")
    details: Any = called.step_details
    (call,) = details.tool_calls
    assert (call.function.name, call.function.output) == ("get_weather", DEGREES)


def test_outputs_are_submitted_into_a_stream(client: OpenAI, model: Model) -> None:
    run = asked(client, model, WEATHER)
    with client.beta.threads.runs.submit_tool_outputs_stream(
        run_id=run.id, thread_id=run.thread_id, tool_outputs=outputs_for(run)
    ) as stream:
        text = "".join(stream.text_deltas)
        ended = stream.get_final_run()
    assert model.is_right(DEGREES, text)
    assert ended.status == "completed"


def test_two_functions_are_asked_for_at_once(client: OpenAI, model: Model) -> None:
    run = asked(client, model, WEATHER_TWICE)
    assert calls_of(run) == [
        ("get_weather", {"city": "Kyoto"}),
        ("get_weather", {"city": "Split"}),
    ]
    ended = client.beta.threads.runs.submit_tool_outputs_and_poll(
        run_id=run.id, thread_id=run.thread_id, tool_outputs=outputs_for(run)
    )
    assert ended.status == "completed"


def test_a_handler_answers_a_function_in_mid_stream(client: OpenAI, model: Model) -> None:
    class Answers(AssistantEventHandler):
        """Submits the outputs as soon as they are wanted, as OpenAI's own examples do."""

        text = ""
        called: str | None = None

        def on_event(self, event: Any) -> None:
            if event.event == "thread.run.requires_action":
                with client.beta.threads.runs.submit_tool_outputs_stream(
                    thread_id=event.data.thread_id,
                    run_id=event.data.id,
                    tool_outputs=outputs_for(event.data),
                ) as stream:
                    self.text = "".join(stream.text_deltas)

        def on_tool_call_done(self, tool_call: Any) -> None:
            self.called = tool_call.function.arguments

    assistant = client.beta.assistants.create(model=model.id, temperature=0, tools=[GET_WEATHER])
    thread = client.beta.threads.create(messages=[{"role": "user", "content": WEATHER}])
    answers = Answers()
    with client.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=assistant.id, event_handler=answers
    ) as stream:
        stream.until_done()
    assert json.loads(answers.called or "") == {"city": "Reykjavik"}
    assert model.is_right(DEGREES, answers.text)


def test_a_run_that_waits_for_outputs_is_cancelled(client: OpenAI, model: Model) -> None:
    run = asked(client, model, WEATHER)
    cancelled = client.beta.threads.runs.cancel(run.id, thread_id=run.thread_id)
    assert cancelled.status == "cancelled"
    # The thread is free again.
    client.beta.threads.messages.create(run.thread_id, role="user", content="Never mind.")


async def test_the_async_client_submits_outputs_and_polls(
    async_client: AsyncOpenAI, model: Model
) -> None:
    assistant = await async_client.beta.assistants.create(
        model=model.id, temperature=0, tools=[GET_WEATHER]
    )
    run = await async_client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": WEATHER}]}
    )
    assert calls_of(run) == [("get_weather", {"city": "Reykjavik"})]
    ended = await async_client.beta.threads.runs.submit_tool_outputs_and_poll(
        run_id=run.id, thread_id=run.thread_id, tool_outputs=outputs_for(run)
    )
    assert ended.status == "completed"


async def test_the_async_client_submits_outputs_into_a_stream(
    async_client: AsyncOpenAI, model: Model
) -> None:
    assistant = await async_client.beta.assistants.create(
        model=model.id, temperature=0, tools=[GET_WEATHER]
    )
    run = await async_client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": WEATHER}]}
    )
    async with async_client.beta.threads.runs.submit_tool_outputs_stream(
        run_id=run.id, thread_id=run.thread_id, tool_outputs=outputs_for(run)
    ) as stream:
        text = "".join([piece async for piece in stream.text_deltas])
        ended = await stream.get_final_run()
    assert model.is_right(DEGREES, text)
    assert (ended.id, ended.status) == (run.id, "completed")
