"""A run as its records tell it: what a worker needs to go on where another one stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from famulus_runs.drafts import MessageDraft, ToolsDraft
from famulus_runs.journal import RunGone
from famulus_runs.kinds import step_of
from famulus_runs.turns import Turn
from famulus_runs.usage import with_more
from famulus_schemas.errors import Problem
from famulus_schemas.messages import Message, TextContentBlock
from famulus_schemas.ports import Threads
from famulus_schemas.records import Records
from famulus_schemas.runs import Run, RunUsage
from famulus_schemas.steps import MessageCreationStepDetails, RunStep

PAGE = 100


class Past(msgspec.Struct, kw_only=True):
    """What a run has behind it."""

    turns: list[Turn] = []
    spent: RunUsage = RunUsage()
    message: MessageDraft | None = None
    """A message that was begun and must be written again, under its id."""
    tools: ToolsDraft | None = None
    """A round of calls that is not done."""


async def steps_of(records: Records, run: Run) -> list[RunStep]:
    """All steps of a run, oldest first."""
    steps: list[RunStep] = []
    after: str | None = None
    while True:
        page = await records.page(
            "step", run.thread_id, where={"run": run.id}, order="asc", after=after, limit=PAGE
        )
        steps += [step_of(record) for record in page.records]
        if not page.has_more:
            return steps
        after = page.records[-1].id


async def read_past(
    records: Records, threads: Threads, run: Run, new_id: Callable[[str], str]
) -> Past:
    """What the records say. A step without its message, deleted by a client, is passed over.

    Raises RunGone where others have ended the run since it was read.
    """
    steps = await steps_of(records, run)
    past = Past(spent=spent_by(steps))
    for step in steps:
        if step.status not in ("in_progress", "completed"):
            raise RunGone(f"step {step.id} is {step.status}")
        if isinstance(step.step_details, MessageCreationStepDetails):
            await _take_message(past, threads, records.project, step)
        else:
            _take_tools(past, step, new_id)
    return past


async def _take_message(past: Past, threads: Threads, project: str, step: RunStep) -> None:
    if step.status == "in_progress":
        past.message = await open_message(threads, project, step)
        return
    with suppress(Problem):
        past.turns.append(Turn(_text(await _message(threads, project, step))))


async def open_message(threads: Threads, project: str, step: RunStep) -> MessageDraft:
    """The message that a worker was writing when it was lost."""
    try:
        message = await _message(threads, project, step)
    except Problem:
        # Its step is still to be ended, and listeners may be in the midst of it.
        message = _deleted(step)
    return MessageDraft(message, step, is_lost=True)


async def _message(threads: Threads, project: str, step: RunStep) -> Message:
    assert isinstance(step.step_details, MessageCreationStepDetails)
    id = step.step_details.message_creation.message_id
    return await threads.get_message(project, step.thread_id, id)


def _deleted(step: RunStep) -> Message:
    """The message that a client has deleted while it was written, as it began."""
    assert isinstance(step.step_details, MessageCreationStepDetails)
    return Message(
        id=step.step_details.message_creation.message_id,
        created_at=step.created_at,
        thread_id=step.thread_id,
        status="in_progress",
        role="assistant",
        assistant_id=step.assistant_id,
        run_id=step.run_id,
    )


def open_tools(step: RunStep, new_id: Callable[[str], str]) -> ToolsDraft:
    """The round of calls that a worker was at when it was lost."""
    draft = ToolsDraft(step, new_id)
    draft.is_resumed = True
    return draft


def _take_tools(past: Past, step: RunStep, new_id: Callable[[str], str]) -> None:
    draft = open_tools(step, new_id)
    calls = draft.calls()
    if calls:
        # Calls that followed a text belong to the same answer as the text.
        turn = past.turns[-1] if past.turns and not past.turns[-1].calls else Turn()
        if not past.turns or past.turns[-1] is not turn:
            past.turns.append(turn)
        turn.calls, turn.outputs = calls, draft.outputs()
    if step.status == "in_progress":
        past.tools = draft


def _text(message: Message) -> str:
    return "".join(
        block.text.value for block in message.content if isinstance(block, TextContentBlock)
    )


def spent_by(steps: Sequence[RunStep]) -> RunUsage:
    """What all steps of a run have used."""
    spent = RunUsage()
    for step in steps:
        spent = with_more(spent, step.usage)
    return spent
