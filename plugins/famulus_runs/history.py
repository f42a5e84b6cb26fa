"""What was said on a thread before a run, in whole turns.

A turn is what users said and what was answered to it, with the calls that a run made on the way
and what they gave. What was broken off stays in it, because the user has seen it.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from itertools import groupby

import msgspec

from famulus_runs.attached import AttachedFiles
from famulus_runs.kinds import decode_step, step_extra
from famulus_runs.resume import StoredStep
from famulus_runs.settings import RunSettings
from famulus_runs.showing import shown_calls, shown_message
from famulus_runs.token_counts import TokenCounts
from famulus_runs.tools_draft import ToolsDraft
from famulus_schemas.inference import PromptMessage
from famulus_schemas.messages import Message
from famulus_schemas.ports import Threads
from famulus_schemas.records import Records
from famulus_schemas.runs import Run
from famulus_schemas.steps import (
    MessageCreationStepDetails,
    RunStep,
    ToolCallsStepDetails,
)

COUNTED_AT_ONCE = 32
"""Messages whose tokens are asked for together."""


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown together or not at all."""

    messages: tuple[PromptMessage, ...]
    tokens: int


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What was said on the thread, oldest first."""

    turns: Sequence[Piece] = ()
    """Those that are over."""
    newest: Sequence[Piece] = ()
    """The last turn, which the run goes on with: what users said, each message by itself, the last
    one together with what was answered to it already."""
    attached_for: frozenset[str] = frozenset()
    """The types of tools that files are attached to these messages for."""


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    message: Message
    shown: PromptMessage
    tokens: int


Shown = tuple[Message, PromptMessage, str]
"""A message, how it is shown, and by which id its tokens are counted once."""
Show = Callable[[Message], Awaitable[Shown | None]]
_NAMED = "+files"


class ThreadHistory:
    """Reads what a run's prompt may hold of its thread."""

    def __init__(
        self,
        *,
        records: Records,
        threads: Threads,
        counts: TokenCounts,
        settings: RunSettings,
        attached: AttachedFiles,
    ) -> None:
        self._attached = attached
        self._records = records
        self._threads = threads
        self._counts = counts
        self._settings = settings

    async def read(self, run: Run, room: int, *, names_files: bool = False) -> Said:
        """The newest turns: as many messages as the run takes, and little more than fits.

        With `names_files` the files that messages have for code are named in them.
        """
        strategy = run.truncation_strategy
        last = strategy.last_messages if strategy else None
        limit = self._settings.prompt_messages_max
        show = self._with_files if names_files else _plain
        told = await self._told(run, room, min(last or limit + 1, limit + 1), show)
        is_cut = len(told) > limit
        steps = await self._steps(run, told)
        said = await self._in_turns(run.model, told, steps)
        if not is_cut:
            return said
        # The oldest turn may lack what it began with.
        if said.turns:
            return msgspec.structs.replace(said, turns=said.turns[1:])
        return msgspec.structs.replace(said, newest=said.newest[1:] or said.newest)

    async def _with_files(self, message: Message) -> Shown | None:
        notes = await self._attached.notes(message)
        shown = shown_message(message, notes)
        return None if shown is None else (message, shown, f"{message.id}{_NAMED if notes else ''}")

    async def _told(self, run: Run, room: int, count_max: int, show: Show) -> list[_Told]:
        """The newest messages, oldest first, to the first that does not fit any more."""
        told: list[_Told] = []
        # This run's own messages are told by its turns.
        history = self._threads.history(self._records.project, run.thread_id, run_id=run.id)
        async with aclosing(_batches(history, count_max, show)) as batches:
            async for batch in batches:
                items = [(id, [shown]) for _, shown, id in batch]
                counts = await self._counts.of_lasting(run.model, self._records.project, items)
                for (message, shown, _), tokens in zip(batch, counts, strict=True):
                    told.append(_Told(message=message, shown=shown, tokens=tokens))
                    room -= tokens
                    if room < 0:
                        break
                if room < 0:
                    break
        told.reverse()
        return told

    async def _steps(self, run: Run, told: Sequence[_Told]) -> Mapping[str, Sequence[StoredStep]]:
        """The thread's newest steps, by their run, oldest first: one page of them."""
        limit = self._settings.prompt_steps_max
        runs = {one.message.run_id for one in told if one.message.run_id}
        if not runs or not limit:
            return {}
        page = await self._records.page("step", run.thread_id, limit=limit)
        steps: dict[str, list[StoredStep]] = {}
        for record in reversed(page.records):
            step = decode_step(record.body)
            if step.run_id in runs:
                stored = StoredStep(step, step_extra(record).calls)
                steps.setdefault(step.run_id, []).append(stored)
        return steps

    async def _in_turns(
        self, model: str, told: Sequence[_Told], steps: Mapping[str, Sequence[StoredStep]]
    ) -> Said:
        turns = list(_turns(told))
        before, last = _split(turns.pop() if turns else [])
        calls = {step.id: shown for run in steps.values() for step, shown in _rounds(run)}
        counts = await self._counts.of_lasting(model, self._records.project, list(calls.items()))
        tokens = dict(zip(calls, counts, strict=True))
        left = dict(steps)
        return Said(
            turns=[_answered(turn, left, calls, tokens) for turn in turns],
            newest=[_answered(turn, left, calls, tokens) for turn in [*before, last] if turn],
            attached_for=frozenset(_attached_for(told)),
        )


async def _plain(message: Message) -> Shown | None:
    shown = shown_message(message)
    return None if shown is None else (message, shown, message.id)


async def _batches(
    newest_first: AsyncIterator[Message], count_max: int, show: Show
) -> AsyncGenerator[list[Shown], None]:
    """So many messages that have something to show, a few at a time."""
    batch: list[Shown] = []
    async for message in newest_first:
        shown = await show(message)
        if shown is None:
            continue
        batch.append(shown)
        count_max -= 1
        if len(batch) >= COUNTED_AT_ONCE or count_max <= 0:
            yield batch
            batch = []
        if count_max <= 0:
            return
    if batch:
        yield batch


def _attached_for(told: Sequence[_Told]) -> Iterator[str]:
    for one in told:
        for attachment in one.message.attachments or ():
            yield from (str(tool.__struct_config__.tag) for tool in attachment.tools)


def _turns(told: Sequence[_Told]) -> Iterator[list[_Told]]:
    """A turn begins where a user speaks after an answer."""
    turn: list[_Told] = []
    for one in told:
        if turn and one.shown.role == "user" and turn[-1].shown.role != "user":
            yield turn
            turn = []
        turn.append(one)
    if turn:
        yield turn


def _split(turn: list[_Told]) -> tuple[list[list[_Told]], list[_Told]]:
    """What users said first in a turn, each by itself, and the rest of it."""
    first = 0
    while first + 1 < len(turn) and turn[first + 1].shown.role == "user":
        first += 1
    return [[one] for one in turn[:first]], turn[first:]


def _answered(
    turn: Sequence[_Told],
    steps: dict[str, Sequence[StoredStep]],
    calls: Mapping[str, Sequence[PromptMessage]],
    tokens: Mapping[str, int],
) -> Piece:
    """A turn with the calls of the runs that answered, whose steps are then told."""
    messages: list[PromptMessage] = []
    size = sum(one.tokens for one in turn)
    for run_id, group in groupby(turn, key=lambda one: one.message.run_id):
        of_run = steps.pop(run_id or "", ())
        messages += _with_calls(list(group), of_run, calls)
        size += sum(tokens.get(stored.step.id, 0) for stored in of_run)
    return Piece(messages=tuple(messages), tokens=size)


def _with_calls(
    said: Sequence[_Told],
    steps: Sequence[StoredStep],
    calls: Mapping[str, Sequence[PromptMessage]],
) -> list[PromptMessage]:
    """What one run said, and in between what it called."""
    left = {one.message.id: one.shown for one in said}
    messages: list[PromptMessage] = []
    for step in (stored.step for stored in steps):
        if isinstance(step.step_details, MessageCreationStepDetails):
            shown = left.pop(step.step_details.message_creation.message_id, None)
            messages += [shown] if shown is not None else []
        elif step.id in calls:
            answer, *results = calls[step.id]
            if messages and messages[-1].role == "assistant" and not messages[-1].tool_calls:
                # Calls that followed a text belong to the same answer as the text.
                answer = msgspec.structs.replace(answer, content=messages.pop().content)
            messages += [answer, *results]
    # Those whose steps were too far back to be read are the oldest.
    return [*left.values(), *messages]


def _rounds(steps: Sequence[StoredStep]) -> Iterator[tuple[RunStep, Sequence[PromptMessage]]]:
    """Rounds of calls of which every call has its result, as they are shown."""
    for stored in steps:
        step = stored.step
        if step.status != "completed" or not isinstance(step.step_details, ToolCallsStepDetails):
            continue
        draft = ToolsDraft(step, str, kept=stored.calls)
        outputs = draft.outputs()
        calls = [call for call in draft.calls() if call.id in outputs]
        if calls:
            yield step, shown_calls(None, calls, outputs)
