"""A run as its records tell it: what a worker needs to go on where another one stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from famulus_runs.call_drafts import Forms
from famulus_runs.drafts import MessageDraft
from famulus_runs.journal import RunGone
from famulus_runs.kinds import KeptCall, step_extra, step_of
from famulus_runs.tools_draft import ToolsDraft
from famulus_runs.turns import Turn
from famulus_runs.usage import with_more
from famulus_schemas.errors import Problem
from famulus_schemas.messages import ImageFileContentBlock, Message, TextContentBlock
from famulus_schemas.ports import Threads
from famulus_schemas.records import Records
from famulus_schemas.runs import Run, RunUsage
from famulus_schemas.steps import MessageCreationStepDetails, RunStep
from famulus_schemas.tooling import Mark, Source

PAGE = 100


class Past(msgspec.Struct, kw_only=True):
    """What a run has behind it."""

    turns: list[Turn] = []
    spent: RunUsage = RunUsage()
    model_requests: int = 0
    """How many answers of its model that is."""
    message: MessageDraft | None = None
    """A message that was begun and must be written again, under its id."""
    tools: ToolsDraft | None = None
    """A round of calls that is not done."""
    marks: list[Mark] = []
    """By which the model can refer to what its calls gave."""
    sources: dict[str, list[Source]] = {}
    """The passages that its calls gave, by the function that was called."""
    content: list[ImageFileContentBlock] = []
    """With what the next message begins."""


class StoredStep(msgspec.Struct, frozen=True):
    """A step, and what is kept beside it."""

    step: RunStep
    calls: tuple[KeptCall, ...]


async def steps_of(records: Records, run: Run) -> list[StoredStep]:
    """All steps of a run, oldest first."""
    steps: list[StoredStep] = []
    after: str | None = None
    while True:
        page = await records.page(
            "step", run.thread_id, where={"run": run.id}, order="asc", after=after, limit=PAGE
        )
        steps += [StoredStep(step_of(record), step_extra(record).calls) for record in page.records]
        if not page.has_more:
            return steps
        after = page.records[-1].id


async def read_past(
    records: Records,
    threads: Threads,
    run: Run,
    new_id: Callable[[str], str],
    forms: Forms | None = None,
) -> Past:
    """What the records say. A step without its message, deleted by a client, is passed over.

    Raises RunGone where others have ended the run since it was read.
    """
    steps = await steps_of(records, run)
    past = Past(spent=spent_by(steps), model_requests=model_requests_of(steps))
    for stored in steps:
        step = stored.step
        if step.status not in ("in_progress", "completed"):
            raise RunGone(f"step {step.id} is {step.status}")
        if isinstance(step.step_details, MessageCreationStepDetails):
            await _take_message(past, threads, records.project, step)
        else:
            _take_tools(past, stored, new_id, forms)
    return past


async def _take_message(past: Past, threads: Threads, project: str, step: RunStep) -> None:
    content, past.content = past.content, []
    if step.status == "in_progress":
        past.message = await open_message(threads, project, step, past.marks, content)
        return
    with suppress(Problem):
        past.turns.append(Turn(_text(await _message(threads, project, step))))


async def open_message(
    threads: Threads,
    project: str,
    step: RunStep,
    marks: Sequence[Mark] = (),
    content: Sequence[ImageFileContentBlock] = (),
) -> MessageDraft:
    """The message that a worker was writing when it was lost."""
    try:
        message = await _message(threads, project, step)
    except Problem:
        # Its step is still to be ended, and listeners may be in the midst of it.
        message = _deleted(step)
    return MessageDraft(message, step, marks=marks, content=content, is_lost=True)


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


def open_tools(
    stored: StoredStep, new_id: Callable[[str], str], forms: Forms | None = None
) -> ToolsDraft:
    """The round of calls that a worker was at when it was lost."""
    draft = ToolsDraft(stored.step, new_id, forms=forms, kept=stored.calls)
    draft.is_resumed = True
    return draft


def _take_tools(
    past: Past, stored: StoredStep, new_id: Callable[[str], str], forms: Forms | None
) -> None:
    draft = open_tools(stored, new_id, forms)
    calls = draft.calls()
    if calls:
        # Calls that followed a text belong to the same answer as the text.
        turn = past.turns[-1] if past.turns and not past.turns[-1].calls else Turn()
        if not past.turns or past.turns[-1] is not turn:
            past.turns.append(turn)
        turn.calls, turn.outputs = calls, draft.outputs()
    if stored.step.status == "in_progress":
        past.tools = draft
        return
    past.marks += draft.marks()
    for name, sources in draft.sources().items():
        past.sources.setdefault(name, []).extend(sources)
    past.content += draft.content()


def _text(message: Message) -> str:
    return "".join(
        block.text.value for block in message.content if isinstance(block, TextContentBlock)
    )


def spent_by(steps: Sequence[StoredStep]) -> RunUsage:
    """What all steps of a run have used."""
    spent = RunUsage()
    for stored in steps:
        spent = with_more(spent, stored.step.usage)
    return spent


def model_requests_of(steps: Sequence[StoredStep]) -> int:
    """How often a run was answered by its model: each answer's usage is told by one step."""
    return sum(stored.step.usage is not None for stored in steps)
