"""Runs that are waited for, by the Python client."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import openai

from famulus_conformance.scenarios_model import (
    CAPITAL,
    CONTEXT,
    ECHO,
    GREETING,
    NAME,
    NAME_AGAIN,
)
from famulus_conformance.scenarios_stage import Play, Stage, holds, refused, same, users

WAIT_S = 120.0
"""For an answer to begin."""
LOOK_S = 0.02


def _create_and_poll(stage: Stage) -> None:
    threads = stage.client.beta.threads
    thread_id = stage.thread(ECHO)
    run = threads.runs.create_and_poll(thread_id=thread_id, assistant_id=stage.assistant())
    same(run.status, "completed", "the run's status")
    stage.is_right(ECHO, stage.newest(thread_id))
    counts = (run.usage.prompt_tokens, run.usage.completion_tokens)
    holds(min(counts) > 0, f"its usage is {counts}")
    same(run.usage.total_tokens, sum(counts), "its tokens in total")


def _create_and_run_poll(stage: Stage) -> None:
    threads = stage.client.beta.threads
    run = threads.create_and_run_poll(
        assistant_id=stage.assistant(), thread={"messages": users(GREETING)}
    )
    same(run.status, "completed", "the run's status")
    stage.is_right(GREETING, stage.newest(run.thread_id))
    steps = threads.runs.steps.list(run.id, thread_id=run.thread_id)
    same([step.status for step in steps], ["completed"], "its steps")


def _instructions(stage: Stage) -> None:
    run = stage.client.beta.threads.create_and_run_poll(
        assistant_id=stage.assistant(instructions=CONTEXT), thread={"messages": users(CAPITAL)}
    )
    stage.is_right(CAPITAL, stage.newest(run.thread_id))


def _of_its_own(stage: Stage) -> None:
    thread_id = stage.thread()
    run = stage.client.beta.threads.runs.create_and_poll(
        thread_id=thread_id,
        assistant_id=stage.assistant(instructions="You know nothing."),
        instructions=CONTEXT,
        additional_messages=users(CAPITAL),
    )
    same(run.instructions, CONTEXT, "the run's instructions")
    stage.is_right(CAPITAL, stage.newest(thread_id))


def _remembers(stage: Stage) -> None:
    threads = stage.client.beta.threads
    assistant_id, thread_id = stage.assistant(), stage.thread()
    for said in (NAME, NAME_AGAIN):
        threads.messages.create(thread_id, role="user", content=said)
        run = threads.runs.create_and_poll(thread_id=thread_id, assistant_id=assistant_id)
        same(run.status, "completed", "the run's status")
        stage.is_right(said, stage.newest(thread_id))


def _steps(stage: Stage) -> None:
    threads = stage.client.beta.threads
    run = threads.create_and_run_poll(
        assistant_id=stage.assistant(), thread={"messages": users(ECHO)}
    )
    (step,) = threads.runs.steps.list(run.id, thread_id=run.thread_id)
    same((step.type, step.status), ("message_creation", "completed"), "the step")
    message = threads.messages.list(run.thread_id, run_id=run.id).data[0]
    same(step.step_details.message_creation.message_id, message.id, "its message")
    again = threads.runs.steps.retrieve(step.id, run_id=run.id, thread_id=run.thread_id)
    same(again, step, "retrieved")


def _runs_listed(stage: Stage) -> None:
    runs = stage.client.beta.threads.runs
    assistant_id, thread_id = stage.assistant(), stage.thread(ECHO)
    made = [
        runs.create_and_poll(thread_id=thread_id, assistant_id=assistant_id).id for _ in range(3)
    ]
    same([run.id for run in runs.list(thread_id, limit=1)], made[::-1], "those listed")
    changed = runs.update(made[0], thread_id=thread_id, metadata={"kept": "yes"})
    same(changed.metadata, {"kept": "yes"}, "its metadata")
    same(runs.retrieve(made[0], thread_id=thread_id), changed, "retrieved after the update")


def _at_work(stage: Stage) -> Any:
    """A run that has begun an answer without end."""
    threads = stage.client.beta.threads
    thread_id = stage.thread(stage.model.endless or "")
    run = threads.runs.create(
        thread_id=thread_id,
        assistant_id=stage.assistant(),
        extra_body=stage.model.endless_arguments,
    )
    give_up = time.monotonic() + WAIT_S
    while not threads.messages.list(thread_id, run_id=run.id).data:
        holds(time.monotonic() < give_up, "the run does not begin to answer")
        time.sleep(LOOK_S)
    return run


def _cancelled(stage: Stage) -> None:
    threads = stage.client.beta.threads
    run = _at_work(stage)
    asked = threads.runs.cancel(run.id, thread_id=run.thread_id)
    holds(asked.status in ("cancelling", "cancelled"), f"its status is {asked.status}")
    ended = threads.runs.poll(run.id, thread_id=run.thread_id)
    same(ended.status, "cancelled", "its status at the end")
    (message,) = threads.messages.list(run.thread_id, run_id=run.id)
    same(message.status, "incomplete", "its message's status")
    same(message.incomplete_details.reason, "run_cancelled", "why that is incomplete")


def _busy(stage: Stage) -> None:
    threads = stage.client.beta.threads
    run = _at_work(stage)
    thread_id = run.thread_id
    asked = (
        lambda: threads.runs.create(thread_id, assistant_id=run.assistant_id),
        lambda: threads.messages.create(thread_id, role="user", content="And?"),
    )
    for ask in asked:
        error = refused(openai.BadRequestError, ask)
        holds(run.id in error.message, f"it does not name the run: {error.message}")
    threads.runs.cancel(run.id, thread_id=thread_id)
    threads.runs.poll(run.id, thread_id=thread_id)
    threads.messages.create(thread_id, role="user", content="And?")


PLAYS: Mapping[str, Play] = {
    "create_and_poll gives the right answer": _create_and_poll,
    "create_and_run_poll gives the right answer": _create_and_run_poll,
    "instructions reach the model": _instructions,
    "a run may have instructions and messages of its own": _of_its_own,
    "a thread remembers what was said in it": _remembers,
    "the steps of a run are listed and retrieved": _steps,
    "runs are listed over several pages and updated": _runs_listed,
    "a run that is at work is cancelled": _cancelled,
    "a thread whose run is at work takes no other run and no message": _busy,
}
