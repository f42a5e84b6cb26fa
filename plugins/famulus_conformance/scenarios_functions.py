"""Functions that the client runs, by the Python client."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import openai

from famulus_conformance.scenarios_model import (
    CITIES,
    CITY,
    DEGREES,
    GET_WEATHER,
    WEATHER,
    WEATHER_TWICE,
)
from famulus_conformance.scenarios_stage import (
    Play,
    Stage,
    calls_of,
    holds,
    outputs_for,
    refused,
    same,
)


def _are_asked(stage: Stage, run: Any, *due: Any) -> None:
    calls = calls_of(run)
    same([call.function.name for call in calls], ["get_weather"] * len(due), "the calls")
    for call, arguments in zip(calls, due, strict=True):
        stage.are_arguments(json.loads(call.function.arguments), arguments)


def _submitted(stage: Stage, run: Any) -> Any:
    return stage.client.beta.threads.runs.submit_tool_outputs_and_poll(
        run_id=run.id, thread_id=run.thread_id, tool_outputs=outputs_for(run, DEGREES)
    )


def _used(stage: Stage) -> None:
    steps = stage.client.beta.threads.runs.steps
    run = stage.waiting(WEATHER)
    _are_asked(stage, run, CITY)
    same(_submitted(stage, run).status, "completed", "the run's status")
    stage.is_right(DEGREES, stage.newest(run.thread_id))
    listed = list(steps.list(run.id, thread_id=run.thread_id, order="asc", limit=1))
    due = [("tool_calls", "completed"), ("message_creation", "completed")]
    same([(step.type, step.status) for step in listed], due, "the steps")
    (call,) = listed[0].step_details.tool_calls
    told = (call.function.name, call.function.output)
    same(told, ("get_weather", DEGREES), "the call in its step")
    for step in listed:
        again = steps.retrieve(step.id, run_id=run.id, thread_id=run.thread_id)
        same(again, step, "the step, retrieved")


def _into_a_stream(stage: Stage) -> None:
    run = stage.waiting(WEATHER)
    with stage.client.beta.threads.runs.submit_tool_outputs_stream(
        run_id=run.id, thread_id=run.thread_id, tool_outputs=outputs_for(run, DEGREES)
    ) as stream:
        text = "".join(stream.text_deltas)
        ended = stream.get_final_run()
    stage.is_right(DEGREES, text)
    same((ended.id, ended.status), (run.id, "completed"), "the run")


def _two_at_once(stage: Stage) -> None:
    run = stage.waiting(WEATHER_TWICE)
    _are_asked(stage, run, *CITIES)
    same(_submitted(stage, run).status, "completed", "the run's status")


def _from_within(stage: Stage) -> None:
    runs = stage.client.beta.threads.runs
    said: list[str] = []
    whole: list[str] = []

    def note(name: str, *told: Any) -> None:
        if name == "tool_call_done":
            whole.append(told[0].function.arguments)
        if name != "event" or told[0].event != "thread.run.requires_action":
            return
        run = told[0].data
        with runs.submit_tool_outputs_stream(
            thread_id=run.thread_id, run_id=run.id, tool_outputs=outputs_for(run, DEGREES)
        ) as stream:
            said.extend(stream.text_deltas)

    with runs.stream(
        thread_id=stage.thread(WEATHER),
        assistant_id=stage.assistant(tools=[GET_WEATHER]),
        event_handler=stage.handler(note),
    ) as stream:
        stream.until_done()
    same(len(whole), 1, "how often the call was told to be whole")
    stage.are_arguments(json.loads(whole[0]), CITY)
    stage.is_right(DEGREES, "".join(said))


def _cancelled(stage: Stage) -> None:
    threads = stage.client.beta.threads
    run = stage.waiting(WEATHER)
    asked = threads.runs.cancel(run.id, thread_id=run.thread_id)
    holds(asked.status in ("cancelling", "cancelled"), f"its status is {asked.status}")
    ended = threads.runs.poll(run.id, thread_id=run.thread_id)
    same(ended.status, "cancelled", "the run's status")
    # The thread is free again.
    threads.messages.create(run.thread_id, role="user", content="Never mind.")


def _twice(stage: Stage) -> None:
    run = stage.waiting(WEATHER)
    _submitted(stage, run)
    outputs = outputs_for(run, DEGREES)
    refused(
        openai.BadRequestError,
        lambda: stage.client.beta.threads.runs.submit_tool_outputs(
            run.id, thread_id=run.thread_id, tool_outputs=outputs
        ),
    )


PLAYS: Mapping[str, Play] = {
    "a function is asked for and its output is used": _used,
    "outputs are submitted into a stream": _into_a_stream,
    "two functions are asked for at once": _two_at_once,
    "outputs are submitted from within a stream": _from_within,
    "a run that waits for outputs is cancelled": _cancelled,
    "outputs for a run that waits for none are a BadRequestError": _twice,
}
