"""The run loop: ask the model, gather its answer, run its tool calls, ask again.

The engine yields stream events in batches that belong together, and touches neither storage nor
HTTP: with a scripted model, a fixed clock and counted ids it is deterministic to the byte. It
holds the state of its run, so that whoever drives it can end the run at any moment with the
events that this takes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Literal, Protocol

from msgspec.structs import replace

from famulus.failpoints import failpoint
from famulus_runs.answer import Answer, Prompt
from famulus_runs.call_check import check_calls
from famulus_runs.call_drafts import Forms
from famulus_runs.calling import LOST, Caller, LeaseHeld
from famulus_runs.citers import cite_of
from famulus_runs.citing import Cite
from famulus_runs.drafts import Batch, Kept, MessageDraft
from famulus_runs.repair import is_json
from famulus_runs.resume import Past
from famulus_runs.settings import RunSettings
from famulus_runs.tab import Tab
from famulus_runs.textual_calls import with_textual_calls
from famulus_runs.toolbox import Offer, Toolbox
from famulus_runs.tools_draft import ToolsDraft
from famulus_runs.turns import Turn
from famulus_runs.usage import is_estimate, usage_of, with_more
from famulus_schemas.errors import Problem
from famulus_schemas.events import (
    AssistantStreamEvent,
    ThreadRunCancelled,
    ThreadRunCancelling,
    ThreadRunCompleted,
    ThreadRunExpired,
    ThreadRunFailed,
    ThreadRunIncomplete,
    ThreadRunInProgress,
    ThreadRunRequiresAction,
)
from famulus_schemas.formats import ResponseFormatText
from famulus_schemas.identity import Principal
from famulus_schemas.inference import (
    CANNOT_SEE,
    BackendFault,
    ChatChunk,
    ChatRequest,
    FinishReason,
    TokenUsage,
    ToolCallDelta,
)
from famulus_schemas.messages import Message, MessageIncompleteReason
from famulus_schemas.runs import (
    FunctionCall,
    RequiredAction,
    RequiredActionFunctionToolCall,
    RequiredActionSubmitToolOutputs,
    Run,
    RunError,
    RunErrorCode,
    RunIncompleteDetails,
    RunIncompleteReason,
    RunUsage,
)
from famulus_schemas.tooling import (
    RunResources,
    ToolCall,
    ToolScope,
    ToolUnusable,
    no_resources,
)

if TYPE_CHECKING:
    from famulus.log import Log
    from famulus_schemas.limits import Reserved
    from famulus_schemas.notices import Notice

_IGNORE = '[plugins.runs] unserved_tools = "ignore".'

EndStatus = Literal["failed", "cancelled", "expired"]

CONTEXT_EXCEEDED = "context_length_exceeded"
"""OpenAI's code for a prompt that the model's context cannot hold."""

CUT_OFF = "The model's answer was cut off within a tool call, by its limit of tokens."
NO_TOKENS = "The run's max_completion_tokens were used up before this was done."
NO_ROOM = "What the run may still read could not hold its prompt when this was to go on."


class AttachedInVain(Exception):
    """The thread has files for tools that nobody runs; says what to do."""

    def __init__(self, types: Sequence[str]) -> None:
        names = ", ".join(types)
        super().__init__(
            f"Messages of the thread have files attached for the tool {names}, and no plugin of "
            "this server runs it. Send what matters as text, without attachments, or have them "
            f"ignored: {_IGNORE}"
        )


class PromptRefused(Exception):
    """The thread holds what the model cannot or may not be shown; says what to do."""


class PromptTooLong(Exception):
    """Not even the newest message fits into what the run may still read."""


class Prompter(Protocol):
    """Makes the next request of a run; see `prompt.py`."""

    async def request(
        self,
        run: Run,
        toolbox: Toolbox,
        turns: Sequence[Turn],
        spent: RunUsage,
        *,
        refused: Prompt | None = None,
    ) -> Prompt:
        """What to ask the model now; less than was `refused` as too long.

        Raises PromptTooLong, PromptRefused or AttachedInVain.
        """
        ...


class Model(Protocol):
    """The part of INFERENCE that the engine asks."""

    def chat(self, request: ChatRequest) -> AsyncIterator[Sequence[ChatChunk]]:
        """As Inference.chat."""
        ...


CountUsage = Callable[[ChatRequest, str], Awaitable[TokenUsage]]


class Engine:
    """One run at work."""

    def __init__(
        self,
        run: Run,
        *,
        model: Model,
        prompter: Prompter,
        toolbox: Toolbox,
        project: str,
        principal: str = "",
        key: str = "",
        reserved: Reserved | None = None,
        trace: str = "",
        limits: RunSettings,
        now: Callable[[], int],
        new_id: Callable[[str], str],
        count_usage: CountUsage,
        tell: Callable[[Notice], None],
        log: Log,
        past: Past | None = None,
        resources: Callable[[], Awaitable[RunResources]] = no_resources,
        forms: Forms | None = None,
        tab: Tab | None = None,
        lease_held: LeaseHeld,
    ) -> None:
        past = past or Past()
        self._tab = tab
        self.run = run
        self.principal = principal
        """Who created the run."""
        self._by = Principal(id=principal, project=project, scopes=(), key_id=key or None)
        self.reserved = reserved
        """What was reserved for it then."""
        self.model_requests = past.model_requests
        """How often the model was asked, as far as its answers are reckoned."""
        self.trace = trace
        """The span that did, as `traceparent` names it."""
        self.turns = past.turns
        self._model = model
        self._prompter = prompter
        self._toolbox = toolbox
        self._project = project
        self._limits = limits
        self._now = now
        self._new_id = new_id
        self._count_usage = count_usage
        self._log = log
        self._spent = past.spent
        self._message = past.message
        self._tools = past.tools
        self._marks = past.marks
        """By which the model can refer to what the run's calls gave."""
        self._sources = past.sources
        self._cite: Cite | None = None
        """What cites those passages where the model does not."""
        self._content = past.content
        """With what the next message begins."""
        self._resources = resources
        self._forms = forms or Forms(of=toolbox.form_of)
        self._caller = Caller(
            toolbox,
            run_id=run.id,
            limits=limits,
            log=log,
            scope_of=self._scope_of,
            tell=tell,
            lease_held=lease_held,
        )
        self.asked: ChatRequest | None = None
        """What the model was shown last."""
        self._answer: Answer | None = None
        """What is being received, as long as its cost is not reckoned."""
        self._finish: FinishReason | None = None
        self._call_ids: set[str] = set()
        """Of the run's earlier turns."""
        self._only_call: int | None = None
        """The index of the one call of an answer that may make only one."""
        self._dropped: set[int] = set()
        self._is_calling = False
        """Whether the calls of the last answer are stored, and being run."""

    # --- the loop -----------------------------------------------------------------------------

    async def work(self) -> AsyncGenerator[Batch, None]:
        """Run to a terminal status, or to `requires_action`. Never raises for the model's faults.

        Cancelling it leaves the run as it was; `end` then gives the events of the end.
        """
        if self.run.status == "queued":
            self.run = replace(self.run, status="in_progress", started_at=self._now())
            yield [ThreadRunInProgress(data=self.run)]
            failpoint("run_in_progress")
        if unserved := self._toolbox.unserved:
            if self._limits.unserved_tools == "fail":
                # An answer without the tool would look like one that had used it.
                error = RunError(code="server_error", message=_unserved(unserved))
                yield self.end("failed", error=error)
                return
            self._log.info("tools_ignored", run=self.run.id, tools=unserved)
        try:
            await self._toolbox.equip(self._scope_of, within_s=self._limits.tool_s)
            await self._make_citer()
            async for batch in self._go_on():
                yield batch
            while self.run.status == "in_progress" and len(self.turns) < self._limits.turns_max:
                async for batch in self._turn():
                    yield batch
            if self.run.status != "in_progress":
                return
        except BackendFault as fault:
            yield self.end("failed", error=_run_error(fault, self.run.model))
            return
        except Problem as problem:
            # Worded for a client already, such as a model that nobody serves.
            error = RunError(code="server_error", message=problem.body.message)
            yield self.end("failed", error=error)
            return
        except PromptTooLong:
            yield self._cut_off(NO_ROOM, "max_prompt_tokens")
            return
        except PromptRefused as error:
            yield self.end("failed", error=RunError(code="invalid_prompt", message=str(error)))
            return
        except (AttachedInVain, ToolUnusable) as error:
            yield self.end("failed", error=RunError(code="server_error", message=str(error)))
            return
        text = f"The run asked the model {self._limits.turns_max} times without an end."
        yield self.end("failed", error=RunError(code="server_error", message=text))

    async def _go_on(self) -> AsyncGenerator[Batch, None]:
        """Take up what a lost worker had open; nothing for a run that begins."""
        if self._message is not None:
            self._message.cite_by(self._cite, is_data=_wants_data(self.run))
            yield self._message.reopened()
            failpoint("resume_message_reopened")
        if self._tools is None:
            return
        if self._tools.is_lost:
            # It begins again with its first call: the answer may say something before that.
            return
        if told := self._take_up_calls():
            yield told
            failpoint("resume_calls_told_anew")
        async for batch in self._finish_calls(self.turns[-1]):
            yield batch

    def _take_up_calls(self) -> Batch:
        """What becomes of calls that were running when their worker was lost."""
        assert self._tools is not None
        is_half_told, have = self._tools.is_half_told, self._tools.outputs()
        for call in self._tools.calls():
            if call.id in have or self._caller.is_clients(call):
                continue
            if self._caller.may_repeat(call):
                self._tools.begin_again(call.id)
            else:
                self._tools.put_output(call.id, LOST.format(name=call.name))
        return [*self._tools.told_anew(), *self._tools.kept()] if is_half_told else []

    async def _turn(self) -> AsyncGenerator[Batch, None]:
        if self._is_spent():
            yield self._cut_off(NO_TOKENS, "max_completion_tokens")
            return
        if self._tab is not None and (refusal := await self._tab.refusal()):
            yield self.end("failed", error=refusal)
            return
        self._finish = None
        self._only_call, self._dropped = None, set()
        self._is_calling = False
        self._call_ids = {call.id for turn in self.turns for call in turn.calls}
        turn = Turn()
        async for batch in self._ask(turn):
            yield batch
        failpoint("model_answered")
        usage = await self._reckon()
        self.turns.append(turn)
        if self._tools is not None and self._tools.calls():
            if self._message is not None:
                # Some models go on talking after their calls.
                yield self._message.completed(self._now(), usage=None)
                self._message = None
            async for batch in self._call_tools(turn, usage):
                yield batch
            return
        if self._tools is not None:
            # A lost answer had begun to call tools, and this one in its place does not.
            completed, self._tools = self._tools.completed(self._now()), None
            yield completed
        yield self._finished(turn, usage)

    # --- the model's answer -------------------------------------------------------------------

    async def _ask(self, turn: Turn) -> AsyncGenerator[Batch, None]:
        """The model's answer; a prompt that it takes for too long is cut once more."""
        refused: Prompt | None = None
        while True:
            prompt = await self._prompter.request(
                self.run, self._toolbox, self.turns, self._spent, refused=refused
            )
            kept = prompt.without_images()
            answer = self._answer = Answer(kept)
            try:
                async for batch in self._receive(prompt.request, answer, turn):
                    yield batch
            except BackendFault as fault:
                if fault.code != CONTEXT_EXCEEDED or answer.has_begun:
                    raise
                self._answer = None
                if refused is not None:
                    raise PromptTooLong from fault
                refused = kept
            else:
                return

    async def _receive(
        self, request: ChatRequest, answer: Answer, turn: Turn
    ) -> AsyncGenerator[Batch, None]:
        self.asked = answer.prompt.request
        failpoint("model_before_asked")
        chunks_of = self._chunks(request)
        try:
            async for chunks in chunks_of:
                if batch := self._take(chunks, turn, answer):
                    yield batch
        finally:
            # Closing it is what aborts the answer on the model's server.
            close = getattr(chunks_of, "aclose", None)
            if close is not None:
                await close()

    async def _reckon(self) -> TokenUsage:
        """What the answer cost that has come to its end."""
        answer = self._answer
        assert answer is not None
        self._finish = answer.finish
        usage = answer.usage or await self._count_usage(answer.prompt.request, answer.received)
        self._answer = None
        self._charge(usage)
        return usage

    def _charge(self, usage: TokenUsage) -> None:
        self.model_requests += 1
        self._spent = with_more(self._spent, usage_of(usage))
        if self._tab is not None:
            self._tab.charge(usage)

    def _reckon_broken_off(self, status: EndStatus) -> TokenUsage | None:
        """What an answer cost that ends with its run; None where there is none, or it cost nothing.

        A server that failed before it said anything may have read nothing. One that was left is
        taken to have read what it was sent.
        """
        answer, self._answer = self._answer, None
        if answer is None or (status == "failed" and not answer.has_begun):
            return None
        usage = answer.cost()
        self._charge(usage)
        return usage

    def _is_spent(self) -> bool:
        """Whether the run may not write any more."""
        limit = self.run.max_completion_tokens
        return limit is not None and self._spent.completion_tokens >= limit

    def _is_overrun(self) -> bool:
        """Whether the model is known to have written more than the run may."""
        limit = self.run.max_completion_tokens
        is_known = not is_estimate(self._spent)
        return limit is not None and is_known and self._spent.completion_tokens > limit

    def _chunks(self, request: ChatRequest) -> AsyncIterator[Sequence[ChatChunk]]:
        """The model's chunks, with calls that it writes as text made calls."""
        answer = self._model.chat(request)
        if not request.tools:
            return answer
        return with_textual_calls(
            answer,
            names=[tool.function.name for tool in request.tools],
            lookahead_chars=self._limits.textual_call_lookahead_chars,
            call_chars_max=self._limits.textual_call_chars_max,
        )

    def _take(self, chunks: Sequence[ChatChunk], turn: Turn, answer: Answer) -> Batch:
        """Events for what arrived together; neighbouring text becomes one delta."""
        events: list[AssistantStreamEvent | Kept] = []
        text = refusal = ""
        for chunk in chunks:
            answer.take(chunk)
            text += chunk.content
            refusal += chunk.refusal
            if chunk.tool_calls:
                events += self._write(turn, text, refusal)
                text = refusal = ""
                events += self._take_calls(chunk)
        events += self._write(turn, text, refusal)
        return events

    def _write(self, turn: Turn, text: str, refusal: str) -> Batch:
        if not text and not refusal:
            return ()
        events: list[AssistantStreamEvent | Kept] = []
        if self._message is None:
            if self._tools is not None and self._tools.is_lost:
                # A lost answer had begun to call tools, and this one begins otherwise.
                events += self._tools.completed(self._now())
                self._tools = None
            elif self._tools is not None:
                events += self._tools.rest()
            self._message = self._new_message()
            events += self._message.opened()
        if text:
            turn.add(text)
            events += self._message.add_text(text)
        if refusal:
            events += self._message.add_refusal(refusal)
        return events

    def _new_message(self) -> MessageDraft:
        content, self._content = self._content, []
        return MessageDraft.new(
            self.run,
            self._new_id,
            self._now(),
            marks=self._marks,
            content=content,
            cite=self._cite,
            is_data=_wants_data(self.run),
        )

    def _take_calls(self, chunk: ChatChunk) -> Batch:
        events: list[AssistantStreamEvent | Kept] = []
        if self._message is not None:
            events += self._message.completed(self._now(), usage=None)
            self._message = None
        if self._tools is None:
            self._tools = ToolsDraft.new(self.run, self._new_id, self._now(), self._forms)
            events += self._tools.opened()
        elif self._tools.is_lost:
            events += self._tools.reopened()
            failpoint("resume_calls_reopened")
        for delta in self._allowed(chunk.tool_calls):
            events += self._tools.add(delta, taken=self._call_ids)
        return events

    def _allowed(self, deltas: Sequence[ToolCallDelta]) -> Sequence[ToolCallDelta]:
        """All of them; only those of the first call, where calls are to come one by one."""
        if self.run.parallel_tool_calls:
            return deltas
        if self._only_call is None:
            self._only_call = deltas[0].index
        self._dropped |= {delta.index for delta in deltas} - {self._only_call}
        return [delta for delta in deltas if delta.index == self._only_call]

    def _finished(self, turn: Turn, usage: TokenUsage) -> Batch:
        """The end of an answer without tool calls, which is the end of the run."""
        events: list[AssistantStreamEvent | Kept] = []
        if self._message is None:
            # An empty answer is an answer: the run has a message to show for it.
            self._message = self._new_message()
            events += self._message.opened()
        if self._finish == "length":
            events += self._close_message("max_tokens", usage)
            return [*events, *self._incomplete("max_completion_tokens")]
        if self._finish == "content_filter":
            events += self._close_message("content_filter", usage)
            return [*events, *self._incomplete(None)]
        events += self._message.completed(self._now(), usage=usage)
        self._message = None
        if self._is_overrun():
            return [*events, *self._incomplete("max_completion_tokens")]
        self.run = self._ended("completed", completed_at=self._now())
        return [*events, ThreadRunCompleted(data=self.run)]

    def _close_message(self, reason: MessageIncompleteReason, usage: TokenUsage | None) -> Batch:
        assert self._message is not None
        events = self._message.incomplete(reason, self._now(), usage=usage)
        self._message = None
        return events

    # --- tools --------------------------------------------------------------------------------

    async def _call_tools(self, turn: Turn, usage: TokenUsage | None) -> AsyncIterator[Batch]:
        assert self._tools is not None
        if held_back := self._tools.asked():
            yield held_back
        turn.calls = self._tools.calls()
        if len(turn.calls) > self._limits.tool_calls_per_turn_max:
            text = f"The model made {len(turn.calls)} tool calls in one answer."
            yield self.end("failed", error=RunError(code="server_error", message=text))
            return
        self._tools.note_usage(usage)
        if self._finish == "length" and not all(is_json(call.arguments) for call in turn.calls):
            yield self._cut_off(CUT_OFF, "max_completion_tokens")
            return
        if self._is_spent():
            # Nobody could read what the calls give.
            yield self._cut_off(NO_TOKENS, "max_completion_tokens")
            return
        if self._dropped:
            self._log.warning("parallel_calls_dropped", run=self.run.id, calls=len(self._dropped))
        if error := self._check_calls(turn):
            yield self.end("failed", error=error)
            return
        failpoint("calls_before_stored")
        # Stored before anything is run, so that a call is never made twice under two ids.
        yield [*self._tools.rest(), *self._tools.kept()]
        failpoint("calls_stored")
        async for batch in self._finish_calls(turn):
            yield batch

    def _cut_off(self, reason: str, limit: RunIncompleteReason) -> Batch:
        """The run is at a limit, with what it had open: calls are then no calls."""
        events: list[AssistantStreamEvent | Kept] = []
        if self._message is not None:
            events += self._close_message("max_tokens", None)
        if self._tools is not None:
            error = RunError(code="server_error", message=reason)
            events += self._tools.broken_off("failed", self._now(), error)
            self._tools = None
        return [*events, *self._incomplete(limit)]

    def _check_calls(self, turn: Turn) -> RunError | None:
        """Put arguments right, or object to them; what fails the run where that was no help."""
        assert self._tools is not None
        before = self.turns[-2] if len(self.turns) > 1 else None
        limit = self._limits.arguments_chars_max
        check = check_calls(turn.calls, self._toolbox, before, chars_max=limit)
        for call_id, arguments in check.arguments.items():
            self._tools.put_arguments(call_id, arguments)
        for call_id, objection in check.objections.items():
            self._tools.put_output(call_id, objection)
        turn.calls = self._tools.calls()
        return RunError(code="server_error", message=check.failure) if check.failure else None

    async def _finish_calls(self, turn: Turn) -> AsyncIterator[Batch]:
        """Run what has no output yet, and close the round or ask the client for the rest."""
        assert self._tools is not None
        async for batch in self._run_calls(turn):
            yield batch
        turn.outputs = self._tools.outputs()
        if waiting := [call for call in turn.calls if call.id not in turn.outputs]:
            failpoint("client_before_asked")
            yield [*self._tools.rest(), *self._tools.kept(), self._asks_client(waiting)]
            failpoint("client_asked")
            return
        self._marks = [*self._marks, *self._tools.marks()][-self._limits.marks_max :]
        self._content = [*self._content, *self._tools.content()]
        for name, sources in self._tools.sources().items():
            self._sources.setdefault(name, []).extend(sources)
        # Forgotten first: whoever cancels the run at this moment finds nothing left to end.
        completed, self._tools = self._tools.completed(self._now()), None
        yield completed
        failpoint("calls_completed")
        await self._make_citer()

    async def _make_citer(self) -> None:
        if self._sources:
            limit = self._limits.sources_max
            self._cite = await cite_of(self._toolbox, self._sources, limit=limit, log=self._log)

    async def _run_calls(self, turn: Turn) -> AsyncIterator[Batch]:
        """Run at once what the server runs; each output is stored as soon as it is there."""
        assert self._tools is not None
        have = self._tools.outputs()
        calls = [
            call for call in turn.calls if call.id not in have and not self._caller.is_clients(call)
        ]
        running = {call.id for call in calls}
        self._is_calling = True
        async with aclosing(self._caller.run(calls, self._numbers(turn))) as given:
            async for some in given:
                for gave in some:
                    if gave.is_done:
                        running.discard(gave.call.id)
                        self._tools.put_result(gave.call.id, gave.output)
                    else:
                        self._tools.put_progress(gave.call.id, gave.output)
                if not running:
                    return
                if any(gave.is_done for gave in some):
                    yield [*self._tools.rest(), *self._tools.kept()]
                    failpoint("tool_output_stored")
                elif told := self._tools.rest():
                    yield told
                    failpoint("tool_progress_told")

    def _numbers(self, turn: Turn) -> dict[str, int]:
        """How many calls the run made before each of this turn, by its id."""
        before = sum(len(earlier.calls) for earlier in self.turns if earlier is not turn)
        return {call.id: before + at for at, call in enumerate(turn.calls)}

    def _scope_of(self, offer: Offer, number: int = 0) -> ToolScope:
        return ToolScope(
            project=self._project,
            run=self.run,
            by=self._by,
            definition=offer.definition,
            number=number,
            resources=self._resources,
        )

    def _asks_client(self, waiting: Sequence[ToolCall]) -> AssistantStreamEvent:
        calls = [
            RequiredActionFunctionToolCall(
                id=call.id, function=FunctionCall(name=call.name, arguments=call.arguments)
            )
            for call in waiting
        ]
        self.run = replace(
            self.run,
            status="requires_action",
            required_action=RequiredAction(
                submit_tool_outputs=RequiredActionSubmitToolOutputs(tool_calls=calls)
            ),
            usage=self._spent,
        )
        return ThreadRunRequiresAction(data=self.run)

    def open_item(self) -> Message | Kept | None:
        """The message being written, or calls that are running, as far as they are."""
        if self._message is not None:
            return self._message.written()
        if self._tools is not None and self._is_calling and self._tools.is_being_told:
            return self._tools.kept_now()
        return None

    # --- ends ---------------------------------------------------------------------------------

    def end(self, status: EndStatus, *, error: RunError | None = None) -> Batch:
        """The events that end the run now, with everything that was open."""
        now = self._now()
        usage = self._reckon_broken_off(status)
        events: list[AssistantStreamEvent | Kept] = []
        if self._message is not None:
            events += self._message.broken_off(status, now, error, usage=usage)
            self._message = None
        if self._tools is not None:
            if usage is not None:
                self._tools.note_usage(usage)
            events += self._tools.broken_off(status, now, error)
            self._tools = None
        if status == "failed":
            self.run = self._ended("failed", failed_at=now, last_error=error)
            return [*events, ThreadRunFailed(data=self.run)]
        if status == "cancelled":
            # The run may have been about to end otherwise: nothing of that is left.
            self.run = replace(
                self.run,
                completed_at=None,
                failed_at=None,
                last_error=None,
                incomplete_details=None,
                required_action=None,
                usage=None,
            )
            cancelling = replace(self.run, status="cancelling")
            self.run = self._ended("cancelled", cancelled_at=now)
            return [
                ThreadRunCancelling(data=cancelling),
                *events,
                ThreadRunCancelled(data=self.run),
            ]
        self.run = self._ended("expired", last_error=error)
        return [*events, ThreadRunExpired(data=self.run)]

    def _incomplete(self, reason: RunIncompleteReason | None) -> Batch:
        details = RunIncompleteDetails(reason=reason) if reason else None
        self.run = self._ended("incomplete", incomplete_details=details)
        return [ThreadRunIncomplete(data=self.run)]

    def _ended(self, status: str, **changes: object) -> Run:
        return replace(
            self.run,
            status=status,
            usage=self._spent,
            required_action=None,
            expires_at=None,
            **changes,
        )


def _wants_data(run: Run) -> bool:
    """Whether the answer is to be JSON."""
    is_free = run.response_format in (None, "auto")
    return not is_free and not isinstance(run.response_format, ResponseFormatText)


def _unserved(types: Sequence[str]) -> str:
    names = ", ".join(types)
    return (
        f"No plugin of this server runs the tool {names}. Take it off the assistant or the run, "
        f"or have it ignored: {_IGNORE}"
    )


_RATE_LIMITED: tuple[RunErrorCode, str] = (
    "rate_limit_exceeded",
    "The model server '{backend}' is over its limit: {message}. Create the run again later.",
)
_REFUSED: tuple[RunErrorCode, str] = (
    "invalid_prompt",
    (
        "The model server '{backend}' refused the prompt: {message}. Change what it objects to, "
        "in the thread, the run or the assistant, and create the run again."
    ),
)
_WRONG_KEY: tuple[RunErrorCode, str] = (
    "server_error",
    (
        "The model server '{backend}' refused this server's own key: {message}. Its operator "
        "must set another one."
    ),
)
_NOT_SERVED: tuple[RunErrorCode, str] = (
    "server_error",
    (
        "The model server '{backend}' does not serve this: {message}. The operator must correct "
        "its URL, connect another server or name another model."
    ),
)
_TOO_BUSY: tuple[RunErrorCode, str] = (
    "server_error",
    "The model server '{backend}' is too busy: {message}. Create the run again later.",
)
_TOO_SLOW: tuple[RunErrorCode, str] = (
    "server_error",
    (
        "The model server '{backend}' did not answer in time: {message}. Create the run again; "
        "if it happens often, the operator can raise the server's timeouts."
    ),
)
_OTHER_FAULT: tuple[RunErrorCode, str] = (
    "server_error",
    "The model server '{backend}' failed: {message}. Create the run again once it answers.",
)
_OF_PROMPT = (None, 400, 413, 422)
"""Statuses with which a server refuses what it was asked, and not who or how it was asked."""


def cannot_see(model: str, backend: str, said: str = "") -> str:
    """What the user of a model that cannot see is told."""
    words = f" ({said.rstrip('.')})" if said else ""
    return (
        f"The model '{model}' of the model server '{backend}' cannot be shown pictures{words}, and "
        "messages of the thread hold some. Name a model that sees, or delete these messages, and "
        "create the run again."
    )


def _run_error(fault: BackendFault, model: str) -> RunError:
    if fault.code == CANNOT_SEE:
        message = cannot_see(model, fault.backend, fault.message)
        return RunError(code="invalid_prompt", message=message)
    code, text = _wording(fault)
    if not fault.backend:
        # It came to no server, and says all that there is to say.
        return RunError(code=code, message=fault.message)
    message = fault.message.rstrip(".")
    return RunError(code=code, message=text.format(backend=fault.backend, message=message))


def _wording(fault: BackendFault) -> tuple[RunErrorCode, str]:
    match fault.kind:
        case "refused" if fault.status in (401, 403):
            return _WRONG_KEY
        case "refused" if fault.status in _OF_PROMPT:
            return _REFUSED
        case "overloaded":
            return _RATE_LIMITED if fault.status in (None, 429) else _TOO_BUSY
        case "unsupported" | "not_found":
            return _NOT_SERVED
        case "timeout":
            return _TOO_SLOW
    return _OTHER_FAULT
