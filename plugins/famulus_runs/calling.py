"""Runs the calls that the server runs, at once, and tells how far they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec.structs import replace

from famulus import tracing
from famulus.failpoints import failpoint
from famulus_runs.settings import RunSettings
from famulus_runs.toolbox import Offer, Toolbox
from famulus_schemas.notices import ToolCalled
from famulus_schemas.tooling import FormedKind, ToolCall, ToolOutput, ToolScope, ToolUnusable

if TYPE_CHECKING:
    from famulus.log import Log
    from famulus_schemas.notices import Notice

LOST = (
    "Error: the server was interrupted while {name} ran, so that it is not known what became of "
    "this call. Its effects may be there or not: find out before you call it again."
)
"""What the model is told of a call that may not be repeated."""


LeaseHeld = Callable[[], Awaitable[None]]
"""As Jobs.lease_held."""

Result = Literal["ok", "error", "timeout", "unusable"]


class Gave(msgspec.Struct, frozen=True, kw_only=True):
    """What a call gave, so far or in the end."""

    call: ToolCall
    output: ToolOutput
    is_done: bool


class Caller:
    """Runs calls of one run."""

    def __init__(
        self,
        toolbox: Toolbox,
        *,
        run_id: str,
        limits: RunSettings,
        log: Log,
        scope_of: Callable[[Offer, int], ToolScope],
        tell: Callable[[Notice], None],
        lease_held: LeaseHeld,
    ) -> None:
        self._toolbox = toolbox
        self._run_id = run_id
        self._limits = limits
        self._log = log
        self._scope_of = scope_of
        self._tell = tell
        self._lease_held = lease_held
        self._progress: dict[str, ToolOutput] = {}
        """The newest of each call, as long as it was not passed on."""
        self._has_news = asyncio.Event()

    def is_clients(self, call: ToolCall) -> bool:
        """Whether the client must run it."""
        offer = self._toolbox.offers.get(call.name)
        return offer is not None and offer.kind.place == "client"

    def may_repeat(self, call: ToolCall) -> bool:
        """Whether it is run again where it is not known what became of it."""
        offer = self._toolbox.offers.get(call.name)
        if offer is None or not isinstance(offer.kind, FormedKind):
            return True
        return offer.kind.may_repeat

    async def run(
        self, calls: Sequence[ToolCall], numbers: Mapping[str, int]
    ) -> AsyncGenerator[Sequence[Gave], None]:
        """What they give, as it comes. Raises ToolUnusable."""
        tasks = {asyncio.ensure_future(self._call(call, numbers[call.id])): call for call in calls}
        news = asyncio.ensure_future(self._has_news.wait())
        try:
            while tasks:
                done, _ = await asyncio.wait({*tasks, news}, return_when=asyncio.FIRST_COMPLETED)
                if news in done:
                    self._has_news.clear()
                    news = asyncio.ensure_future(self._has_news.wait())
                ended = [task for task in tasks if task in done]
                gave = [
                    Gave(call=tasks[task], output=task.result(), is_done=True) for task in ended
                ]
                for task in ended:
                    self._progress.pop(tasks.pop(task).id, None)
                progress = self._taken_progress(list(tasks.values()))
                yield [*progress, *gave]
        finally:
            news.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(news, *tasks, return_exceptions=True)

    def _taken_progress(self, calls: Sequence[ToolCall]) -> list[Gave]:
        taken, self._progress = self._progress, {}
        return [
            Gave(call=call, output=taken[call.id], is_done=False)
            for call in calls
            if call.id in taken
        ]

    async def _call(self, call: ToolCall, number: int) -> ToolOutput:
        """What a call that the server runs gave."""
        offer = self._toolbox.offers.get(call.name)
        if offer is None:
            known = ", ".join(self._toolbox.offers) or "none"
            text = f"Error: there is no tool {call.name!r}. The tools are: {known}."
            return ToolOutput(text=text, is_error=True)
        failpoint("tool_before_run")
        # A process that stood still may have lost the run: nothing is awaited between this and it.
        await self._lease_held()
        output = ToolOutput()
        limit = asyncio.timeout(self._limits.tool_s)
        result: Result = "ok"
        clock = asyncio.get_running_loop().time
        began = clock()
        span = tracing.child()
        # This task is the call's alone.
        tracing.span.set(span)
        try:
            async with limit:
                async for progress in offer.kind.run(call, self._scope_of(offer, number)):
                    output = self._next(call, output, progress)
        except ToolUnusable:
            result = "unusable"
            raise
        except Exception as error:  # A tool's failure is told to the model; the run goes on.
            kind = type(error).__name__
            self._log.warning("tool_failed", run=self._run_id, tool=call.name, error=kind)
            text = f"Error: {call.name} failed: {kind}: {error}"
            result = "error"
            if limit.expired():
                result = "timeout"
                text = f"Error: {call.name} did not end within {self._limits.tool_s:g} seconds."
            return replace(output, text=text, is_error=True)
        else:
            result = "error" if output.is_error else "ok"
        finally:
            self._tell(
                ToolCalled(
                    kind=offer.kind.type,
                    result=result,
                    seconds=clock() - began,
                    name=call.name,
                    call=call.id,
                    span=span,
                )
            )
        failpoint("tool_ran")
        return replace(output, text=self._held(output.text))

    def _next(self, call: ToolCall, before: ToolOutput, output: ToolOutput) -> ToolOutput:
        """The newest output, with what it leaves as it was."""
        if output.shown is None:
            return replace(output, shown=before.shown)
        self._progress[call.id] = output
        self._has_news.set()
        return output

    def _held(self, text: str) -> str:
        limit = self._limits.tool_output_bytes_max
        data = text.encode()
        if len(data) <= limit:
            return text
        kept = data[:limit].decode(errors="ignore")
        return f"{kept}\n[cut off: the output was {len(data)} bytes, the limit is {limit}]"
