"""Operations of runs: create, with a thread or on one, list, retrieve and modify."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from famulus import Call, EventStream, Wire, list_page, operation, tracing
from famulus.failpoints import failpoint
from famulus.resources import found, modify, require_files, while_stores_change
from famulus_runs.additions import RunAdditions, usage_note, with_additions
from famulus_runs.admission import Admission, NewRun
from famulus_runs.event_operations import LAST_EVENT_ID, new_frames, replay_frames
from famulus_runs.kinds import JOB, RunExtra, decode_extra, decode_run, encode, tells_contents
from famulus_runs.log import Teller, last_position, log_writes
from famulus_runs.positions import START, Position, parse
from famulus_runs.priority import priority_of
from famulus_runs.resolve import new_run
from famulus_runs.resume import steps_of
from famulus_runs.tool_outputs import check_outputs, events_of, resumed, with_outputs, writes_of
from famulus_schemas.errors import (
    INVALID,
    MISSING_PARAMETER,
    NOT_ACCEPTING_OUTPUTS,
    TOO_BUSY,
    Problem,
)
from famulus_schemas.events import (
    AssistantStreamEvent,
    ThreadCreated,
    ThreadRunCreated,
    ThreadRunQueued,
)
from famulus_schemas.jobs import Ticket, given_back_unless_done
from famulus_schemas.lists import ListPage
from famulus_schemas.messages import files_of_messages
from famulus_schemas.ports import Emission, Occupancy
from famulus_schemas.records import Conflict, Record, Replace, Unit
from famulus_schemas.runs import (
    CreateRun,
    CreateThreadAndRun,
    ModifyRun,
    Run,
    RunQuery,
    SubmitToolOutputs,
)
from famulus_schemas.threads import CreateThread, Thread
from famulus_schemas.tools import (
    CreateToolResources,
    FunctionTool,
    FunctionToolChoice,
    check_truncation,
)
from famulus_schemas.wire import ListQuery

if TYPE_CHECKING:
    from famulus_runs.plugin import Runs

SUBMIT_ATTEMPTS_MAX = 16


class RunOperations:
    """What clients may do with runs."""

    def __init__(self, plugin: Runs) -> None:
        self._plugin = plugin

    @operation("POST", "/v1/threads/{thread_id}/runs", action="runs.write")
    async def create_run(
        self, call: Call, thread_id: str, body: CreateRun, query: RunQuery
    ) -> Run | EventStream[AssistantStreamEvent]:
        """Run an assistant on a thread; refused while another run is active on it.

        With the header `X-Famulus-On-Busy: queue` it waits for its turn, and with `cancel` the
        runs before it are cancelled. Of runs that wait for room, those with a lower
        `X-Famulus-Priority` go first.
        """
        _check(body)
        if body.stream and (again := await self._picked_up(call)):
            return again
        return await while_stores_change(partial(self._on_thread, call, thread_id, body, query))

    async def _on_thread(
        self, call: Call, thread_id: str, body: CreateRun, query: RunQuery
    ) -> Run | EventStream[AssistantStreamEvent]:
        """Create a run, with the messages that come before it."""
        plugin = self._plugin
        plugin.hold_place()
        await plugin.hold_budget(call.principal)
        assistant = await plugin.assistants.get(call.project, body.assistant_id)
        run = new_run(
            body,
            assistant,
            id=plugin.new_id("run_"),
            thread_id=thread_id,
            now=plugin.now(),
            run_s=plugin.settings.run_s,
        )
        _check_choice(run)
        more = body.additional_messages or ()
        await require_files(plugin.files, call.project, files_of_messages(more))
        attached = await plugin.threads.attach(call.project, thread_id, more, by=call.principal)

        def added(behind: Occupancy | None) -> Unit:
            _, unit = plugin.threads.append(thread_id, more, behind=behind, run=run.id)
            return [*unit, *attached]

        extra = RunExtra(
            reasoning_effort=body.reasoning_effort or assistant.reasoning_effort,
            include=tuple(query.include),
            priority=priority_of(call.headers),
            principal=call.principal.id,
            reserved=call.reserved,
            trace=_trace(),
            key=call.principal.key_id or "",
        )
        return await self._created(call, run, extra, added, (), body.stream)

    @operation("POST", "/v1/threads/runs", action="runs.write")
    async def create_thread_and_run(
        self, call: Call, body: CreateThreadAndRun
    ) -> Run | EventStream[AssistantStreamEvent]:
        """Create a thread and run an assistant on it."""
        _check(body)
        if body.stream and (again := await self._picked_up(call)):
            return again
        return await while_stores_change(partial(self._with_thread, call, body))

    async def _with_thread(
        self, call: Call, body: CreateThreadAndRun
    ) -> Run | EventStream[AssistantStreamEvent]:
        """Create a thread and a run on it."""
        plugin = self._plugin
        plugin.hold_place()
        await plugin.hold_budget(call.principal)
        assistant = await plugin.assistants.get(call.project, body.assistant_id)
        request = body.thread if body.thread is not UNSET else CreateThread()
        with_resources = _with_resources(request, body)
        run_id = plugin.new_id("run_")
        thread, made = await plugin.threads.create(
            call.project,
            with_resources,
            run=run_id,
            within="thread.",
            # Those of the run itself are named as the client gave them.
            resources_within="thread." if with_resources is request else "",
            by=call.principal,
        )
        run = new_run(
            body,
            assistant,
            id=run_id,
            thread_id=thread.id,
            now=plugin.now(),
            run_s=plugin.settings.run_s,
        )
        _check_choice(run)
        extra = RunExtra(
            reasoning_effort=assistant.reasoning_effort,
            priority=priority_of(call.headers),
            principal=call.principal.id,
            reserved=call.reserved,
            trace=_trace(),
            key=call.principal.key_id or "",
        )
        return await self._created(call, run, extra, lambda _: made, (thread,), body.stream)

    async def _picked_up(self, call: Call) -> EventStream[AssistantStreamEvent] | None:
        """The rest of the stream that a repeated create names by its `Last-Event-ID`."""
        place = parse(call.headers.get(LAST_EVENT_ID, ""))
        if place is None:
            return None
        run_id, after = place
        record = await self._plugin.records.of(call.project).get("run", run_id)
        if record is None:
            return None
        frames = await replay_frames(self._plugin, call.project, record.parent, run_id, after)
        # Nothing is begun, so that what was taken for it is free again.
        call.reserved = None
        return EventStream(frames)

    async def _created(
        self,
        call: Call,
        run: Run,
        extra: RunExtra,
        before: Callable[[Occupancy | None], Unit],
        threads: Sequence[Thread],
        stream: bool | None,
    ) -> Run | EventStream[AssistantStreamEvent]:
        """Commit the run, put it to work, and answer with it or with its stream."""
        plugin = self._plugin
        on_busy = plugin.threads.on_busy(call.headers)
        _tell_resume_path(call, run, stream, after=START)
        events: list[AssistantStreamEvent] = [ThreadCreated(data=thread) for thread in threads]
        events += [ThreadRunCreated(data=run), ThreadRunQueued(data=run)]
        teller = Teller(run.id, attempt=1, at=START, is_resumed=False)
        emissions = [teller.tell(event) for event in events]
        new = NewRun(run=run, extra=extra, before=before, emissions=emissions, at=teller.at)
        call.response_headers["openai-poll-after-ms"] = str(plugin.settings.poll_after_ms)
        failpoint("run_create_before_commit")
        ticket = await Admission(plugin, call.principal, on_busy).admit(new)
        failpoint("run_created")
        if ticket is not None:
            plugin.remember(call.project, run, extra, teller.at)
        answer = await self._begun(call, run, ticket, emissions, stream)
        failpoint("run_create_started")
        return answer

    async def _begun(
        self,
        call: Call,
        run: Run,
        ticket: Ticket | None,
        emissions: Sequence[Emission],
        stream: bool | None,
    ) -> Run | EventStream[AssistantStreamEvent]:
        """Put the run to work, where it need not wait for its turn, and answer with it."""
        plugin = self._plugin
        if not stream:
            plugin.events.publish(call.project, run.id, emissions)
            if ticket is not None:
                plugin.jobs.started(ticket)
            return run
        here = ticket is not None and ticket.job is not None
        # One that waits for its turn may have had it by now: what was told is then read.
        first = emissions if ticket is not None else ()
        try:
            frames = await new_frames(plugin, call.project, run, first, here=here)
        finally:
            # Whether or not there is room to listen: the run is there.
            if ticket is not None:
                plugin.jobs.started(ticket)
        return EventStream(frames)

    @operation(
        "POST", "/v1/threads/{thread_id}/runs/{run_id}/submit_tool_outputs", action="runs.write"
    )
    async def submit_tool_outputs_to_run(
        self, call: Call, thread_id: str, run_id: str, body: SubmitToolOutputs
    ) -> Run | EventStream[AssistantStreamEvent]:
        """Give a run the outputs of all the calls that it waits for."""
        plugin = self._plugin
        plugin.hold_place()
        records = plugin.records.of(call.project)
        await plugin.expire(call.project, run_id)
        call.response_headers["openai-poll-after-ms"] = str(plugin.settings.poll_after_ms)
        for _ in range(SUBMIT_ATTEMPTS_MAX):
            record = await self._found(call, thread_id, run_id)
            outputs = check_outputs(decode_run(record.body), body.tool_outputs)
            run = resumed(decode_run(record.body))
            at = await last_position(records, thread_id, run_id)
            _tell_resume_path(call, run, body.stream, after=at)
            step_record = await self._open_step(call, run)
            step, kept = with_outputs(
                step_record, outputs, plugin.now(), with_contents=tells_contents(record)
            )
            teller = Teller(run_id, attempt=1, at=at, is_resumed=False)
            emissions = [teller.tell(event) for event in events_of(step, run)]
            try:
                ticket = await plugin.jobs.requeue(call.project, JOB, run_id)
                with given_back_unless_done(plugin.jobs, ticket):
                    plugin.hold_place_for(ticket)
                    unit = [
                        *writes_of(record, run, step_record, step, kept),
                        *log_writes(run_id, thread_id, emissions, at=teller.at),
                        *ticket.unit,
                    ]
                    joined = await plugin.joined(call.principal, "runs.submit", unit)
                    failpoint("submit_before_commit")
                    await records.commit(joined)
            except (Conflict, LookupError):
                # Somebody else submitted, cancelled, or changed metadata: look again.
                continue
            failpoint("submit_committed")
            answer = await self._begun(call, run, ticket, emissions, body.stream)
            failpoint("submit_started")
            return answer
        raise Problem(TOO_BUSY, reason=f"run {run_id} is being changed by many. Try again.")

    async def _open_step(self, call: Call, run: Run) -> Record:
        records = self._plugin.records.of(call.project)
        for stored in await steps_of(records, run):
            step = stored.step
            if step.status == "in_progress" and step.type == "tool_calls":
                return await found(records, "step", step.id, thing="run step", parent=run.thread_id)
        raise Problem(NOT_ACCEPTING_OUTPUTS, status=run.status)

    @operation("POST", "/v1/threads/{thread_id}/runs/{run_id}/cancel", action="runs.write")
    async def cancel_run(self, call: Call, thread_id: str, run_id: str) -> Wire[Run]:
        """Cancel a run that is not over."""
        await self._found(call, thread_id, run_id)
        await self._plugin.cancel(call.project, run_id, asked=call)
        return Wire((await self._found(call, thread_id, run_id)).body)

    @operation("GET", "/v1/threads/{thread_id}/runs", action="runs.read")
    async def list_runs(self, call: Call, thread_id: str, query: ListQuery) -> Wire[ListPage[Run]]:
        """List the runs of a thread."""
        await self._plugin.threads.get(call.project, thread_id)
        records = self._plugin.records.of(call.project)
        return await list_page(records, "run", thread_id, query=query)

    @operation("GET", "/v1/threads/{thread_id}/runs/{run_id}", action="runs.read")
    async def retrieve_run(
        self, call: Call, thread_id: str, run_id: str, query: RunAdditions
    ) -> Wire[Run]:
        """Retrieve a run."""
        call.response_headers["openai-poll-after-ms"] = str(self._plugin.settings.poll_after_ms)
        record = await self._found(call, thread_id, run_id)
        if not query.include:
            return Wire(record.body)
        is_estimate = decode_extra(record.extra).usage_is_estimate
        usage = usage_note(decode_run(record.body).usage, is_estimate=is_estimate)
        return Wire(with_additions(record.body, query.include, prompt=b"", usage=usage))

    @operation("POST", "/v1/threads/{thread_id}/runs/{run_id}", action="runs.write")
    async def modify_run(
        self, call: Call, thread_id: str, run_id: str, body: ModifyRun
    ) -> Wire[Run]:
        """Change a run's metadata."""
        if body.metadata is not UNSET:
            metadata = body.metadata or {}

            def change(record: Record) -> Replace:
                run = replace(decode_run(record.body), metadata=metadata)
                return Replace(kind="run", id=run_id, version=record.version, body=encode(run))

            records = self._plugin.records.of(call.project)
            await modify(
                records,
                "run",
                run_id,
                thing="run",
                parent=thread_id,
                change=change,
                join=partial(self._plugin.joined, call.principal, "runs.modify"),
            )
        return Wire((await self._found(call, thread_id, run_id)).body)

    async def _found(self, call: Call, thread_id: str, run_id: str) -> Record:
        records = self._plugin.records.of(call.project)
        return await found(records, "run", run_id, thing="run", parent=thread_id)


def _trace() -> str:
    """What a run is part of, wherever it will be worked on."""
    span = tracing.span.get()
    return "" if span is None else span.traceparent


def _tell_resume_path(call: Call, run: Run, stream: bool | None, *, after: Position) -> None:
    """Where a stream that is answered can be read again, from its own first event on."""
    if not stream:
        return
    path = f"/v1/threads/{run.thread_id}/runs/{run.id}/events"
    call.resume_path = path if after == START else f"{path}?after={after.text(run.id, 1)}"


def _check(body: CreateRun | CreateThreadAndRun) -> None:
    if param := check_truncation(body.truncation_strategy):
        raise Problem(MISSING_PARAMETER, param=param, name=param)
    if body.tool_choice == "required" and body.tools == []:
        reason = "'required' needs at least one tool, but 'tools' is empty."
        raise Problem(INVALID, param="tool_choice", name="tool_choice", reason=reason)


def _check_choice(run: Run) -> None:
    """Raise Problem where the run must call a function that it has not got."""
    choice = run.tool_choice
    if not isinstance(choice, FunctionToolChoice):
        return
    names = [tool.function.name for tool in run.tools if isinstance(tool, FunctionTool)]
    if choice.function.name not in names:
        param = "tool_choice.function.name"
        reason = f"there is no function {choice.function.name!r} among the run's tools."
        raise Problem(INVALID, param=param, name=param, reason=reason)


def _with_resources(request: CreateThread, body: CreateThreadAndRun) -> CreateThread:
    """The thread's own resources win over those that the run brings."""
    if request.tool_resources is not None or body.tool_resources is None:
        return request
    # Both forms hold ids; only the one that creates could also hold stores to make.
    resources = msgspec.convert(msgspec.to_builtins(body.tool_resources), CreateToolResources)
    return replace(request, tool_resources=resources)
