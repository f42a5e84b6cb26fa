"""The plugin class: what runs need, and how one is put together."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

from msgspec.structs import replace

from famulus import Call, Operation, Plugin, hookimpl, need, operations, want
from famulus.failpoints import failpoint
from famulus_runs.additions import pack
from famulus_runs.call_drafts import Forms
from famulus_runs.contents import CONTENTS
from famulus_runs.end_report import EndReport
from famulus_runs.engine import Engine
from famulus_runs.erasing import RunData
from famulus_runs.event_operations import EventOperations
from famulus_runs.fetched_images import FetchedImages
from famulus_runs.forgetting import FORGET, Forgetting
from famulus_runs.journal import Join, Journal
from famulus_runs.kinds import (
    AWAITS_CLIENT,
    AWAITS_TURN,
    ENDS,
    JOB,
    LOG,
    RUN,
    STEP,
    RunExtra,
    decode_extra,
    decode_run,
    encode,
)
from famulus_runs.log import last_position
from famulus_runs.operations import RunOperations
from famulus_runs.positions import Position
from famulus_runs.priority import Prioritized
from famulus_runs.prompt import ThreadPrompter
from famulus_runs.rest import Resting
from famulus_runs.resume import Past, read_past
from famulus_runs.run_resources import ResourceReader
from famulus_runs.runner import Runner, Work
from famulus_runs.settings import RunSettings
from famulus_runs.showing import contents_of
from famulus_runs.step_operations import StepOperations
from famulus_runs.tab import Tab
from famulus_runs.token_counts import TokenCounts
from famulus_runs.toolbox import Toolbox
from famulus_schemas.errors import NOT_CANCELLABLE, NOT_CANCELLED, TOO_BUSY, Problem
from famulus_schemas.identity import Principal
from famulus_schemas.inference import ChatRequest, TokenUsage
from famulus_schemas.jobs import Job, Ticket, job_id
from famulus_schemas.ports import (
    ASSISTANTS,
    EVENTS,
    FETCH,
    FILES,
    INFERENCE,
    JOBS,
    METER,
    RECORDS,
    THREADS,
)
from famulus_schemas.records import (
    Clear,
    Conflict,
    Delete,
    Guard,
    Record,
    Replace,
    StoreUnavailable,
    Unit,
    Write,
)
from famulus_schemas.retention import Data
from famulus_schemas.runs import Run
from famulus_schemas.tooling import ToolKind

CANCEL_ATTEMPTS_MAX = 16
NOBODY_ELSES_FENCE = 2
"""Up to which a job has been with nobody but the worker that now has it."""
KINDS = ("run", "step", "run_event")
REMEMBERED_MAX = 10_000
GONE_LOOK_S = 0.02
GONE_LOOKS_MAX = 100
"""For so long a run is looked after whose thread is being deleted."""


class Runs(Plugin[RunSettings]):
    """Runs assistants on threads, polled and streamed, and keeps every step."""

    records = need(RECORDS)
    every_project = need(RECORDS.system)
    threads = need(THREADS)
    assistants = need(ASSISTANTS)
    inference = need(INFERENCE)
    events = need(EVENTS)
    jobs = need(JOBS)
    files = want(FILES)
    fetch = want(FETCH)
    meter = want(METER)
    gathers = ("register_tools", "register_run_gates")

    runner: Runner
    resting: Resting
    readers: Counter[tuple[str, str]]
    """How many read the stream of a run in this process, by project and run."""

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Do jobs of runs until stopped; what is not done then is handed back."""
        await self.records.declare(RUN, STEP, LOG)
        self._kinds: list[ToolKind] = list(self.gather("register_tools"))
        self._counts = TokenCounts(self.inference, self.settings)
        self._fetched = None if self.fetch is None else FetchedImages(self.fetch, self.settings)
        self._leaving: set[asyncio.Task[None]] = set()
        self.readers = Counter()
        self._fresh: OrderedDict[tuple[str, str], tuple[Run, RunExtra, Position]] = OrderedDict()
        ends = EndReport(clock=self.host.clock, tell=self.tell, log=self.log)
        self.resting = Resting(
            threads=self.threads, jobs=self.jobs, events=self.events, ends=ends, now=self.now
        )
        self.runner = Runner(
            load=self._load,
            drop=self._drop,
            events=self.events,
            settings=self.settings,
            clock=self.host.clock,
            ends=ends,
            log=self.log,
        )
        self._forgetting = Forgetting(self)
        forgetting_max = self.settings.forgetting_at_once_max
        self.jobs.handle(FORGET, self._forgetting.do, at_once_max=forgetting_max)
        gates = self.gather("register_run_gates")
        at_once_max = self.settings.runs_at_once_max
        if self.host.serves:
            self.jobs.handle(JOB, self.runner.do, at_once_max=at_once_max, gates=gates)
        loops = [
            asyncio.create_task(self.runner.hear_others()),
            asyncio.create_task(self._expire_all()),
        ]
        try:
            with self.threads.let_to(self):
                yield
        finally:
            await self.jobs.withdraw(FORGET, grace_s=0.0)
            await self.jobs.withdraw(JOB, grace_s=self.settings.finish_s)
            loops += self._leaving
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)

    @hookimpl
    def register_operations(self) -> list[Operation]:
        """Runs, their steps and their events."""
        return [
            *operations(RunOperations(self)),
            *operations(StepOperations(self)),
            *operations(EventOperations(self)),
        ]

    @hookimpl
    def register_data_kinds(self) -> list[Data]:
        """Runs, for whoever erases a person's."""
        return RunData(self).kinds()

    @hookimpl
    async def on_drain(self) -> None:
        """Take no more runs, and leave those that nobody reads here to others at once."""
        await self.jobs.let_go(JOB, keep=lambda *run: run in self.readers)

    @hookimpl
    async def join_unit(self, principal: Principal, action: str, unit: Unit) -> list[Write]:
        """A deleted thread takes its runs, steps and events along, in the same commit.

        What runs keep of a deleted message is forgotten soon after it.
        """
        writes: list[Write] = []
        if action == "messages.delete":
            for write in unit:
                if isinstance(write, Delete) and write.kind == "message":
                    writes += await self._forgetting.joined_by(principal.project, write)
        if action != "threads.delete":
            return writes
        for write in unit:
            if isinstance(write, Delete) and write.kind == "thread":
                writes += [Clear(kind=kind, parent=write.id) for kind in KINDS]
                occupancy = await self.threads.occupancy(principal.project, write.id)
                for run_id in occupancy.runs if occupancy is not None else ():
                    writes += await self._end_job_of(principal.project, run_id)
        return writes

    async def _end_job_of(self, project: str, run_id: str) -> Unit:
        """The writes that leave no job behind whose run is deleted with its thread.

        They are refused where the run has moved on meanwhile.
        """
        job = await self.records.of(project).get("job", job_id(JOB, run_id))
        of_job = await self.jobs.discard(project, JOB, run_id)
        if of_job is not None:
            return of_job
        # The worker that has it finds the run gone, and drops it.
        self._leave_soon(project, run_id)
        return [] if job is None else [Guard(kind="job", id=job.id, version=job.version)]

    def _leave_soon(self, project: str, run_id: str) -> None:
        leaving = asyncio.create_task(self._leave_once_gone(project, run_id))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def _leave_once_gone(self, project: str, run_id: str) -> None:
        """Have its worker leave a run as soon as it is deleted.

        The worker's next commit would tell it, but a model can be silent for minutes until then.
        """
        with suppress(StoreUnavailable):
            for _ in range(GONE_LOOKS_MAX):
                await asyncio.sleep(GONE_LOOK_S)
                if await self.records.of(project).get("run", run_id) is None:
                    self.runner.ask_others(project, run_id)
                    return

    async def hold_budget(self, principal: Principal) -> None:
        """Raise Problem (429) where whoever asks, or the project, may use no more."""
        if self.meter is not None:
            await self.meter.refuse(principal.project, principal.key_id or "")

    def hold_place(self) -> None:
        """Raise Problem (503) where no further run could be queued: nothing is done for it then."""
        if self.jobs.room_for(JOB) <= 0 and self.jobs.waiting(JOB) >= self._waiting_max:
            raise self._full()

    def hold_place_for(self, ticket: Ticket) -> None:
        """Raise Problem (503) where the run would be one too many in the queue."""
        if ticket.job is None and self.jobs.waiting(JOB) > self._waiting_max:
            raise self._full()

    @property
    def _waiting_max(self) -> int:
        return self.settings.runs_waiting_max

    def _full(self) -> Problem:
        reason = f"{self._waiting_max} runs are queued."
        return Problem(TOO_BUSY, headers={"retry-after": "5"}, reason=reason)

    # --- work ---------------------------------------------------------------------------------

    def remember(self, project: str, run: Run, extra: RunExtra, at: Position) -> None:
        """Spare the run that was just made here from being read again when it starts."""
        self._fresh[project, run.id] = (run, extra, at)
        if len(self._fresh) > REMEMBERED_MAX:
            self._fresh.popitem(last=False)

    async def _load(self, job: Job) -> Work | None:
        """The job's run, ready to go on; None where there is nothing left to do."""
        fresh = self._fresh.pop((job.project, job.key), None)
        if fresh is not None and job.fence <= NOBODY_ELSES_FENCE:
            run, extra, at = fresh
            toolbox = Toolbox(self._kinds, run)
            forms = self._forms(toolbox, extra)
            return self._work(job, run, extra, Past(), at, toolbox, forms, is_resumed=False)
        records = self.records.of(job.project)
        record = await records.get("run", job.key)
        if record is None or (run := decode_run(record.body)).status in ENDS:
            return None
        extra = decode_extra(record.extra)
        toolbox = Toolbox(self._kinds, run)
        forms = self._forms(toolbox, extra)
        past = await read_past(records, self.threads, run, self.new_id, forms)
        at = await last_position(records, run.thread_id, run.id)
        # One that is queued was not begun since it was made, or since its outputs came.
        is_resumed = run.status != "queued"
        return self._work(job, run, extra, past, at, toolbox, forms, is_resumed=is_resumed)

    def _forms(self, toolbox: Toolbox, extra: RunExtra) -> Forms:
        return Forms(
            of=toolbox.form_of,
            outputs_chars_max=self.settings.shown_outputs_chars_max,
            with_contents=CONTENTS in extra.include,
        )

    async def _drop(self, job: Job) -> None:
        try:
            await self.records.of(job.project).commit(self.jobs.finish(job))
        except Conflict:
            self.log.info("job_gone", key=job.key)

    def _work(
        self,
        job: Job,
        run: Run,
        extra: RunExtra,
        past: Past,
        at: Position,
        toolbox: Toolbox,
        forms: Forms,
        *,
        is_resumed: bool,
    ) -> Work:
        prompter = ThreadPrompter(
            records=self.records.of(job.project),
            threads=self.threads,
            inference=self.inference,
            counts=self._counts,
            settings=self.settings,
            prepare=self.host.hooks.prepare_messages,
            log=self.log,
            files=self.files,
            fetched=self._fetched,
            reasoning_effort=extra.reasoning_effort,
        )
        tab = Tab(self.meter, job.project, run, extra, self.now)
        engine = Engine(
            run,
            model=Prioritized(self.inference, extra.priority) if extra.priority else self.inference,
            prompter=prompter,
            toolbox=toolbox,
            forms=forms,
            resources=self._resources(job.project, run),
            project=job.project,
            principal=extra.principal,
            key=extra.key,
            reserved=extra.reserved,
            trace=extra.trace,
            limits=self.settings,
            now=self.now,
            new_id=self.new_id,
            count_usage=self._count_usage,
            tell=self.tell,
            log=self.log,
            past=past,
            tab=tab,
            lease_held=self.jobs.lease_held,
        )
        journal = Journal(
            run,
            records=self.records.of(job.project),
            threads=self.threads,
            events=self.events,
            join=self._joiner(job.project, run.id),
            jobs=self.jobs,
            job=job,
            at=at,
            is_resumed=is_resumed,
            stored=[past.message.written().id] if past.message else [],
            prompt=partial(self._packed_prompt, engine),
            tab=tab,
        )
        return engine, journal

    def _resources(self, project: str, run: Run) -> ResourceReader:
        return ResourceReader(
            project,
            run,
            assistants=self.assistants,
            threads=self.threads,
            messages_max=self.settings.prompt_messages_max,
        )

    def _packed_prompt(self, engine: Engine) -> bytes:
        return pack(engine.asked) if self.settings.prompts_kept else b""

    def _joiner(self, project: str, run_id: str, asked: Call | None = None) -> Join:
        """Joins what belongs to a run's own units; and to the call that `asked` for them."""
        principal = Principal(id=f"run:{run_id}", project=project)

        async def join(action: str, unit: Unit) -> Unit:
            joined = await self.joined(principal, action, unit)
            if asked is None:
                return joined
            return await self.joined(asked.principal, "runs.cancel", joined)

        return join

    async def _count_usage(self, request: ChatRequest, answer: str) -> TokenUsage:
        """An estimate, for a backend that reports no usage."""
        prompt = [text for message in request.messages for text in contents_of(message)]
        counted = await self.inference.count_tokens(request.model, [*prompt, answer])
        asked, answered = sum(counted.counts[:-1]), counted.counts[-1]
        asked += self._counts.of_images(request.messages)
        return TokenUsage(
            prompt_tokens=asked,
            completion_tokens=answered,
            total_tokens=asked + answered,
            is_estimate=True,
        )

    # --- ends without work --------------------------------------------------------------------

    async def evict(self, project: str, thread_id: str) -> None:
        """Cancel the run that has the thread, and those that wait for it; see Tenant.evict."""
        # In a task of its own: what it commits is no part of what the request is to commit.
        await asyncio.create_task(self._evict(project, thread_id))

    async def _evict(self, project: str, thread_id: str) -> None:
        occupancy = await self.threads.occupancy(project, thread_id)
        if occupancy is None:
            return
        # The last one first: else each would begin as the one before it ends.
        for run_id in reversed(occupancy.runs):
            await self._cancel_if_live(project, run_id)
        left = await self.threads.occupancy(project, thread_id)
        if left is not None and left.run == occupancy.run:
            seconds = self.settings.cancel_s
            raise Problem(NOT_CANCELLED, run=left.run, thread=thread_id, seconds=seconds)

    async def _cancel_if_live(self, project: str, run_id: str) -> None:
        try:
            await self.cancel(project, run_id)
        except Problem as problem:
            if problem.fault is not NOT_CANCELLABLE:
                raise

    def orphaned(self, project: str, runs: Sequence[str]) -> None:
        """End the work and the streams of runs that are deleted with their thread; see
        Tenant.orphaned."""
        for run_id in runs:
            # Whoever has it finds it gone as it writes its end; the model is left at once.
            self.runner.cancel_soon(project, run_id)
            self.events.close(project, run_id)

    def picture_refusal(self, url: str) -> str | None:
        """Why no run could show a picture at this address; see Tenant.picture_refusal."""
        if self.settings.image_urls != "fetch" or self._fetched is None:
            return None
        return self._fetched.refusal(url)

    async def cancel(self, project: str, run_id: str, *, asked: Call | None = None) -> None:
        """Cancel a run wherever it is. Raises Problem where it is over already."""
        records = self.records.of(project)
        is_marked = False
        for _ in range(CANCEL_ATTEMPTS_MAX):
            record = await records.get("run", run_id)
            if record is None:
                return
            run = decode_run(record.body)
            if run.status in ENDS:
                if is_marked:
                    return
                raise Problem(NOT_CANCELLABLE, status=run.status)
            failpoint("cancel_read")
            join = self._joiner(project, run_id, asked)
            if await self.resting.end(records, record, "cancelled", join):
                return
            is_marked = await self._marked(record, join, asked)
            if is_marked and await self._cancel_at_work(project, run_id):
                return
        raise Problem(TOO_BUSY, reason=f"run {run_id} is being changed by many. Try again.")

    async def _marked(self, record: Record, join: Join, asked: Call | None) -> bool:
        """Mark a run that some process has, so that none can but cancel it; whether it still had.

        What was promised to whoever asked is on disk with that, whatever becomes of this process.
        """
        run = replace(decode_run(record.body), status="cancelling")
        body = encode(run)
        if asked is not None:
            asked.answer = body
        mark = Replace(kind="run", id=record.id, version=record.version, body=body)
        try:
            await self.records.of(record.project).commit(await join("runs.cancel", [mark]))
        except Conflict:
            return False
        failpoint("cancel_marked")
        return True

    async def _cancel_at_work(self, project: str, run_id: str) -> bool:
        """Have whoever has a marked run cancel it; False where that let go of it instead."""
        if await self.runner.cancel(project, run_id):
            failpoint("cancel_done")
            return await self._is_over(project, run_id)
        self.runner.ask_others(project, run_id)
        deadline = asyncio.get_running_loop().time() + self.settings.cancel_s
        while asyncio.get_running_loop().time() < deadline:
            if await self._is_over(project, run_id):
                break
            await asyncio.sleep(0.05)
        return True

    async def _is_over(self, project: str, run_id: str) -> bool:
        record = await self.records.of(project).get("run", run_id)
        return record is None or decode_run(record.body).status in ENDS

    async def expire(self, project: str, run_id: str) -> bool:
        """End a run that waited too long, for its client, its turn or room; whether it did, or was
        over.

        One that a worker has expires by itself.
        """
        records = self.records.of(project)
        record = await records.get("run", run_id)
        if record is None:
            return True
        run = decode_run(record.body)
        if run.status in ENDS:
            return True
        if not self._is_due(run):
            return False
        failpoint("expire_resting")
        return await self.resting.end(records, record, "expired", self._joiner(project, run_id))

    def _is_due(self, run: Run) -> bool:
        # One in progress waits where its worker was lost, and there is room for it nowhere.
        waits = run.status in ("requires_action", "queued", "in_progress")
        return waits and (run.expires_at or 0) <= self.host.clock()

    async def _expire_all(self) -> None:
        """Look after runs that wait for what never comes, a client, a turn or room, for ever."""
        while True:
            await asyncio.sleep(self.settings.expiry_poll_s)
            try:
                await self._expire_due()
            except Exception as error:  # Isolation: one run's trouble must not keep all others.
                self.log.error("runs_not_expired", exc_info=error)

    async def _expire_due(self) -> None:
        for awaits in AWAITS_CLIENT, AWAITS_TURN:
            after = 0
            while waiting := await self.every_project.scan("run", where=awaits, after_seq=after):
                after = waiting[-1].seq
                for record in waiting:
                    if self._is_due(decode_run(record.body)):
                        await self.expire(record.project, record.id)
        made_until = self.now() - self.settings.run_s
        async for project, run_id in self.jobs.overdue(JOB, made_until=made_until):
            await self.expire(project, run_id)
