"""One answer's tool calls being written and run, with the step that they belong to."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from msgspec.structs import replace

from famulus_runs.call_cuts import apart
from famulus_runs.call_drafts import CallDraft, Forms, draft_of_kept, draft_of_shown, new_draft
from famulus_runs.contents import without_contents
from famulus_runs.cuts import delta_of_calls
from famulus_runs.drafts import Batch, Kept, NewId, broken_step, new_step
from famulus_runs.kinds import KeptCall
from famulus_runs.usage import usage_of
from famulus_schemas.events import (
    AssistantStreamEvent,
    ThreadRunStepCompleted,
    ThreadRunStepCreated,
    ThreadRunStepDelta,
    ThreadRunStepInProgress,
)
from famulus_schemas.inference import TokenUsage, ToolCallDelta
from famulus_schemas.messages import ImageFileContentBlock
from famulus_schemas.runs import Run, RunError
from famulus_schemas.steps import FunctionToolCall, RunStep, ToolCallsStepDetails
from famulus_schemas.tooling import Mark, Source, ToolCall, ToolOutput


class ToolsDraft:
    """One answer's tool calls being written, and their step.

    Calls are told one after the other: each once those before it are whole, and once they are
    done, where what they give is told as well. So how much was told says what was told, and a
    listener can go on from anywhere. The step shows the calls that were told.
    """

    def __init__(
        self,
        step: RunStep,
        new_id: NewId,
        *,
        forms: Forms | None = None,
        kept: Sequence[KeptCall] = (),
    ) -> None:
        self._new_id = new_id
        self._forms = forms or Forms()
        self._calls: dict[int, CallDraft] = {}
        self.is_resumed = False
        """Whether a lost worker had begun it, and nothing was told of it since."""
        self._step = step
        for index, one in enumerate(kept):
            self._calls[index] = draft_of_kept(one, self._forms)
        if not kept and isinstance(step.step_details, ToolCallsStepDetails):
            for index, stored in enumerate(step.step_details.tool_calls):
                if isinstance(stored, FunctionToolCall):
                    self._calls[index] = draft_of_shown(stored)

    @classmethod
    def new(cls, run: Run, new_id: NewId, now: int, forms: Forms) -> ToolsDraft:
        """A round of calls that nobody has seen yet."""
        step = new_step(run, new_id, now, "tool_calls", ToolCallsStepDetails())
        return cls(step, new_id, forms=forms)

    def opened(self) -> Batch:
        """The step comes into being, without calls."""
        return [
            ThreadRunStepCreated(data=self._step),
            ThreadRunStepInProgress(data=self._step),
        ]

    # --- what the model writes ----------------------------------------------------------------

    def add(self, delta: ToolCallDelta, *, taken: Collection[str] = ()) -> Batch:
        """More of one call, whose id must not be one of those `taken`."""
        call = self._calls.get(delta.index)
        if call is None:
            call = new_draft(self._id_of(delta, taken), delta.name or "", self._forms)
            self._calls[delta.index] = call
        call.add(delta.arguments)
        return self._untold("whole")

    def _id_of(self, delta: ToolCallDelta, taken: Collection[str]) -> str:
        """The call's id. Some servers send none, or one that is another call's already."""
        here = (call.id for call in self._calls.values())
        if not delta.id or delta.id in taken or delta.id in here:
            return self._new_id("call_")
        return delta.id

    def rest(self) -> Batch:
        """What was held back of calls that came amid others."""
        return self._untold("done")

    def asked(self) -> Batch:
        """The model has written all of its calls; what was held back of them."""
        for call in self._calls.values():
            call.end()
        return self.rest()

    def _untold(self, first_to: Literal["whole", "done", "end"]) -> Batch:
        """What is to be told now, up to the first call that is to be that before those after it."""
        events: list[AssistantStreamEvent | Kept] = []
        for index, call in sorted(self._calls.items()):
            if (delta := call.untold(index)) is not None:
                parts = [delta_of_calls(self._step.id, [part]) for part in apart(delta)]
                events += [ThreadRunStepDelta(data=part) for part in parts]
            if first_to == "end":
                continue
            if call.tells_outputs and call.output is None:
                break
            if first_to == "whole" and not call.is_whole:
                break
        return events

    def calls(self) -> tuple[ToolCall, ...]:
        """The calls, in the order of their indexes."""
        return tuple(call.call() for _, call in sorted(self._calls.items()))

    def put_arguments(self, call_id: str, arguments: str) -> None:
        """Have a call's arguments as they were put right."""
        for call in self._of(call_id):
            call.put_arguments(arguments)

    def note_usage(self, usage: TokenUsage | None) -> None:
        """Note what the answer with these calls cost."""
        self._step = replace(self._step, usage=usage_of(usage))

    # --- what the calls give ------------------------------------------------------------------

    def outputs(self) -> dict[str, str]:
        """What calls gave so far, by their id."""
        return {call.id: call.output for call in self._calls.values() if call.output is not None}

    def put_progress(self, call_id: str, output: ToolOutput) -> None:
        """Note what a call gave so far."""
        for call in self._of(call_id):
            call.put_progress(output)

    def put_output(self, call_id: str, output: str) -> None:
        """Note what a call gave."""
        self.put_result(call_id, ToolOutput(text=output))

    def put_result(self, call_id: str, output: ToolOutput) -> None:
        """Note all that a call gave."""
        for call in self._of(call_id):
            call.put_result(output)

    def begin_again(self, call_id: str) -> None:
        """A call is to be run again."""
        for call in self._of(call_id):
            call.begin_again()

    def marks(self) -> list[Mark]:
        """By which the model can refer to what its calls gave."""
        return [mark for _, call in sorted(self._calls.items()) for mark in call.marks]

    def sources(self) -> dict[str, list[Source]]:
        """The passages that its calls gave, by the function that was called."""
        found: dict[str, list[Source]] = {}
        for _, call in sorted(self._calls.items()):
            if sources := call.sources():
                found.setdefault(call.name, []).extend(sources)
        return found

    def content(self) -> list[ImageFileContentBlock]:
        """With what the next message begins because of them."""
        return [part for _, call in sorted(self._calls.items()) for part in call.content]

    def _of(self, call_id: str) -> list[CallDraft]:
        """The call; none where the step was read at another moment than the run that names it."""
        return [call for call in self._calls.values() if call.id == call_id]

    # --- where a worker was lost --------------------------------------------------------------

    @property
    def is_lost(self) -> bool:
        """Whether nothing is stored of the calls that a lost worker had begun to tell."""
        return self.is_resumed and not self._calls

    @property
    def is_being_told(self) -> bool:
        """Whether a call that tells what it gives has not given all of it."""
        return any(call.tells_outputs and call.output is None for call in self._calls.values())

    @property
    def is_half_told(self) -> bool:
        """Whether a lost worker may have told more than is stored, of what its calls gave."""
        return self.is_resumed and self.is_being_told

    def reopened(self) -> Batch:
        """The answer with these calls was lost: the step begins again, under the same id.

        Nothing where that is not so, or was said already.
        """
        if not self.is_lost:
            return []
        self.is_resumed = False
        return [ThreadRunStepCreated(data=self._step)]

    def told_anew(self) -> Batch:
        """The step begins again, with all that is stored of its calls."""
        return [self._created_anew(), *self.rest()]

    def _created_anew(self) -> AssistantStreamEvent:
        self.is_resumed = False
        for call in self._calls.values():
            call.forget_told()
        return ThreadRunStepCreated(data=replace(self._step, step_details=ToolCallsStepDetails()))

    # --- as the step is -----------------------------------------------------------------------

    def kept(self) -> Batch:
        """Have the calls as they are now stored."""
        return [self.kept_now()]

    def kept_now(self) -> Kept:
        """The calls as they are now, to be stored."""
        return Kept(data=without_contents(self.written()), calls=self._kept_calls())

    def _kept_calls(self) -> tuple[KeptCall, ...]:
        if not any(call.is_kept for call in self._calls.values()):
            return ()
        return tuple(call.kept() for _, call in sorted(self._calls.items()))

    def _kept_beside(self) -> Batch:
        """What is to be stored with an event that tells the step."""
        return self.kept() if any(call.is_kept for call in self._calls.values()) else []

    def completed(self, now: int) -> Batch:
        """Every call has its output."""
        told = [*self.reopened(), *self._untold("end")]
        step = replace(self._shown(), status="completed", completed_at=now)
        return [*told, *self._kept_beside(), ThreadRunStepCompleted(data=step)]

    def broken_off(self, status: str, now: int, error: RunError | None) -> Batch:
        """The run ended before every call had its output."""
        for call in self._calls.values():
            call.end()
        told: list[AssistantStreamEvent | Kept] = []
        if self.is_resumed:
            # How much of what is stored listeners have heard is not known.
            told.append(self._created_anew())
        told += self._untold("end")
        return [*told, *self._kept_beside(), *broken_step(self._shown(), status, now, error)]

    def _shown(self) -> RunStep:
        """The step as events tell it."""
        step = self.written()
        return step if self._forms.with_contents else without_contents(step)

    def written(self) -> RunStep:
        """The step with its calls as they are now, in whole."""
        calls = [call.shown() for _, call in sorted(self._calls.items()) if call.is_told]
        return replace(self._step, step_details=ToolCallsStepDetails(tool_calls=calls))
