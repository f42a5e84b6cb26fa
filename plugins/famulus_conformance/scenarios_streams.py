"""Runs that are streamed, by the Python client and its event handlers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import openai

from famulus_conformance.scenarios_model import CITY, ECHO, GET_WEATHER, WEATHER
from famulus_conformance.scenarios_stage import (
    Play,
    Stage,
    calls_of,
    holds,
    refused,
    same,
    text_of,
    users,
)

LENGTHY_WORDS = 90
BEGINNING = ["thread.run.created", "thread.run.queued", "thread.run.in_progress"]
ENDINGS = ("thread.run.completed", "thread.run.step.completed", "thread.message.completed")
TOLD = [
    "run_step_created",
    "message_created",
    "text_created",
    "text_done",
    "message_done",
    "run_step_done",
    "end",
]
TOLD_OF_CALL = ["run_step_created", "tool_call_created", "tool_call_delta", "tool_call_done", "end"]


class Heard:
    """Notes what a handler is told, and holds the deltas to their snapshots."""

    def __init__(self) -> None:
        self.told: list[str] = []
        """Names, without the deltas of texts, whose number may vary."""
        self.events: list[Any] = []
        self.text = ""
        self.arguments = ""
        self.call: Any = None

    def note(self, name: str, *arguments: Any) -> None:
        """What `on_<name>` was called with."""
        if name == "event":
            self.events.append(arguments[0])
        elif name == "text_delta":
            self._text_delta(*arguments)
        elif name in (*TOLD, *TOLD_OF_CALL):
            if not self.told or self.told[-1] != name:
                self.told.append(name)
            of_call = getattr(self, f"_{name}", None)
            if of_call is not None:
                of_call(*arguments)

    def _text_delta(self, delta: Any, snapshot: Any) -> None:
        self.text += delta.value or ""
        same(snapshot.value, self.text, "the text so far")

    def _text_done(self, text: Any) -> None:
        same(text.value, self.text, "the text at its end")

    def _tool_call_created(self, call: Any) -> None:
        same(call.function.name, "get_weather", "the function's name as the call begins")

    def _tool_call_delta(self, delta: Any, snapshot: Any) -> None:
        self.arguments += delta.function.arguments
        same(snapshot.function.arguments, self.arguments, "the arguments so far")

    def _tool_call_done(self, call: Any) -> None:
        self.call = call


def _in_order(stage: Stage) -> None:
    heard = Heard()
    with stage.client.beta.threads.runs.stream(
        thread_id=stage.thread(ECHO),
        assistant_id=stage.assistant(),
        event_handler=stage.handler(heard.note),
    ) as stream:
        stream.until_done()
        run = stream.get_final_run()
        (step,) = stream.get_final_run_steps()
        (message,) = stream.get_final_messages()
    same(heard.told, TOLD, "what the handler was told")
    stage.is_right(ECHO, heard.text)
    same([event.event for event in heard.events][:3], BEGINNING, "the first events")
    same(heard.events[-1].event, "thread.run.completed", "the last event")
    same(run, heard.events[-1].data, "the final run")
    same(run.status, "completed", "its status")
    same(step.step_details.type, "message_creation", "the step")
    same(step.step_details.message_creation.message_id, message.id, "its message")
    same(text_of(message), heard.text, "the message's text")


def _as_stored(stage: Stage) -> None:
    threads = stage.client.beta.threads
    thread_id = stage.thread(ECHO)
    events = threads.runs.create(thread_id=thread_id, assistant_id=stage.assistant(), stream=True)
    ends = {event.event: event.data for event in events}
    run_ended, step_ended, message_ended = (ends[name] for name in ENDINGS)
    run = threads.runs.list(thread_id).data[0]
    same(run_ended, run, "the run")
    same(threads.runs.retrieve(run.id, thread_id=thread_id), run, "the run, retrieved")
    (step,) = threads.runs.steps.list(run.id, thread_id=thread_id)
    same(step_ended, step, "the step")
    (message,) = threads.messages.list(thread_id, run_id=run.id)
    same(message_ended, message, "the message")
    again = threads.messages.retrieve(message.id, thread_id=thread_id)
    same(again, message, "the message, retrieved")


def _to_its_end(stage: Stage) -> None:
    threads = stage.client.beta.threads
    thread_id = stage.thread(stage.model.lengthy or "")
    with threads.runs.stream(
        thread_id=thread_id,
        assistant_id=stage.assistant(),
        extra_body=stage.model.lengthy_arguments,
    ) as stream:
        text = "".join(stream.text_deltas)
        run = stream.get_final_run()
    # A model that writes until its context is full has not completed its answer.
    holds(run.status in ("completed", "incomplete"), f"its status is {run.status}")
    message = threads.messages.list(thread_id, run_id=run.id).data[0]
    same(text, text_of(message), "the text")
    holds(len(text.split()) > LENGTHY_WORDS, f"the answer has only {len(text.split())} words")


def _thread_and_run(stage: Stage) -> None:
    with stage.client.beta.threads.create_and_run_stream(
        assistant_id=stage.assistant(), thread={"messages": users(ECHO)}
    ) as stream:
        text = "".join(stream.text_deltas)
        run = stream.get_final_run()
    stage.is_right(ECHO, text)
    same(run.status, "completed", "the run's status")


def _iterated(stage: Stage) -> None:
    events = list(
        stage.client.beta.threads.runs.create(
            thread_id=stage.thread(ECHO), assistant_id=stage.assistant(), stream=True
        )
    )
    text = "".join(
        part.text.value or ""
        for event in events
        if event.event == "thread.message.delta"
        for part in event.data.delta.content or ()
        if part.type == "text" and part.text
    )
    stage.is_right(ECHO, text)
    same(events[-1].event, "thread.run.completed", "the last event")


def _call_told(stage: Stage) -> None:
    heard = Heard()
    with stage.client.beta.threads.runs.stream(
        thread_id=stage.thread(WEATHER),
        assistant_id=stage.assistant(tools=[GET_WEATHER]),
        event_handler=stage.handler(heard.note),
    ) as stream:
        stream.until_done()
        run = stream.get_final_run()
    same(run.status, "requires_action", "the run's status")
    same(heard.told, TOLD_OF_CALL, "what the handler was told")
    stage.are_arguments(json.loads(heard.arguments), CITY)
    (call,) = calls_of(run)
    same(heard.call.id, call.id, "the call's id")
    same(heard.call.function.arguments, call.function.arguments, "its arguments")


def _cannot_begin(stage: Stage) -> None:
    thread_id = stage.thread()

    def streamed() -> None:
        with stage.client.beta.threads.runs.stream(
            thread_id=thread_id, assistant_id="asst_none"
        ) as stream:
            stream.until_done()

    refused(openai.NotFoundError, streamed)


PLAYS: Mapping[str, Play] = {
    "a stream tells its handlers everything in order": _in_order,
    "what a stream ends with is what is stored": _as_stored,
    "a stream is told to its end, however long the answer": _to_its_end,
    "a thread is created and run in one stream": _thread_and_run,
    "the events of a stream are iterated without a helper": _iterated,
    "a stream tells its handlers of a function call": _call_told,
    "a stream that cannot begin is a NotFoundError": _cannot_begin,
}
