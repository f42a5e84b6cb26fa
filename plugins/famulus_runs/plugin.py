"""The plugin class: what runs need, and how one is put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from famulus import Operation, Plugin, hookimpl, need, operations
from famulus_runs.engine import Engine
from famulus_runs.journal import Journal
from famulus_runs.kinds import RUN, STEP
from famulus_runs.operations import RunOperations
from famulus_runs.prompt import ThreadPrompter, TokenCounts
from famulus_runs.recovery import fail_left_behind
from famulus_runs.runner import Runner
from famulus_runs.settings import RunSettings
from famulus_runs.step_operations import StepOperations
from famulus_runs.toolbox import Toolbox
from famulus_schemas.identity import Principal
from famulus_schemas.inference import ChatRequest, TokenUsage
from famulus_schemas.ports import ASSISTANTS, EVENTS, INFERENCE, RECORDS, THREADS
from famulus_schemas.records import Clear, Delete, Unit, Write
from famulus_schemas.runs import Run
from famulus_schemas.tooling import ToolKind


class Runs(Plugin[RunSettings]):
    """Runs assistants on threads, polled and streamed, and keeps every step."""

    records = need(RECORDS)
    every_project = need(RECORDS.system)
    threads = need(THREADS)
    assistants = need(ASSISTANTS)
    inference = need(INFERENCE)
    events = need(EVENTS)
    gathers = ("register_tools",)

    runner: Runner

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Take up what a former process left, then run until stopped."""
        await self.records.declare(RUN, STEP)
        self._kinds: list[ToolKind] = list(self.gather("register_tools"))
        self._counts = TokenCounts(self.inference)
        await fail_left_behind(
            self.every_project,
            self.threads,
            now=self.now(),
            journal_of=self._journal,
            log=self.log,
        )
        self.runner = Runner(
            make=self._make,
            settings=self.settings,
            clock=self.host.clock,
            tell=self.tell,
            log=self.log,
        )
        try:
            yield
        finally:
            await self.runner.stop()

    @hookimpl
    def register_operations(self) -> list[Operation]:
        """Runs and their steps."""
        return [*operations(RunOperations(self)), *operations(StepOperations(self))]

    @hookimpl
    async def join_unit(self, principal: Principal, action: str, unit: Unit) -> list[Write]:
        """A deleted thread takes its runs and their steps along, in the same commit."""
        if action != "threads.delete":
            return []
        gone = [write.id for write in unit if isinstance(write, Delete) and write.kind == "thread"]
        return [Clear(kind=kind, parent=id) for id in gone for kind in ("run", "step")]

    def _make(self, project: str, run: Run) -> tuple[Engine, Journal]:
        prompter = ThreadPrompter(
            project=project,
            threads=self.threads,
            inference=self.inference,
            counts=self._counts,
            settings=self.settings,
            prepare=self.host.hooks.prepare_messages,
        )
        engine = Engine(
            run,
            model=self.inference,
            prompter=prompter,
            toolbox=Toolbox(self._kinds, run),
            project=project,
            limits=self.settings,
            now=self.now,
            new_id=self.new_id,
            count_usage=self._count_usage,
        )
        return engine, self._journal(project, run)

    def _journal(self, project: str, run: Run) -> Journal:
        principal = Principal(id=f"run:{run.id}", project=project)

        async def join(action: str, unit: Unit) -> Unit:
            return await self.joined(principal, action, unit)

        return Journal(
            run,
            records=self.records.of(project),
            threads=self.threads,
            events=self.events,
            join=join,
        )

    async def _count_usage(self, request: ChatRequest, answer: str) -> TokenUsage:
        """An estimate, for a backend that reports no usage."""
        texts = [message.content for message in request.messages]
        prompt = [text for text in texts if isinstance(text, str)]
        counted = await self.inference.count_tokens(request.model, [*prompt, answer])
        asked, answered = sum(counted.counts[:-1]), counted.counts[-1]
        return TokenUsage(
            prompt_tokens=asked, completion_tokens=answered, total_tokens=asked + answered
        )
