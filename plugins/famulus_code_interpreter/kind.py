"""The tool kind: one function that runs Python in the thread's box."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from famulus_code_interpreter.inputs import Inputs, inputs_of
from famulus_code_interpreter.outputs import OutputKeeper, marks_of
from famulus_code_interpreter.sessions import Session, Sessions
from famulus_code_interpreter.transcript import Transcript
from famulus_schemas.inference import OfferedFunction
from famulus_schemas.sandbox import (
    BoxGone,
    CellLimits,
    ImageOutput,
    Probe,
    Sandbox,
    SandboxBusy,
    SandboxUnavailable,
)
from famulus_schemas.steps import CodeInterpreterToolCall
from famulus_schemas.tooling import (
    CallForm,
    Equipment,
    ToolCall,
    ToolOutput,
    ToolScope,
    ToolUnusable,
)

if TYPE_CHECKING:
    from famulus_code_interpreter.plugin import CodeInterpreterPlugin

FUNCTION = "python"
ARGUMENT = "code"

NO_SANDBOX = (
    "The code interpreter is off: no plugin of this server provides a sandbox. Its operator can "
    "install or enable one; see the sandbox plugins in the README."
)
OFF = "The code interpreter is off: {reasons}."
BUSY = (
    "Error: the code was not run, because {reason}. Try once more, or answer without running code."
)
NO_CODE = f'Error: nothing was run. The arguments must be {{"{ARGUMENT}": "..."}} with Python code.'

_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {ARGUMENT: {"type": "string", "description": "Python code."}},
    "required": [ARGUMENT],
    "additionalProperties": False,
}
_DESCRIPTION = (
    "Run Python{version} code, and see what it prints, its last expression's value, and errors. "
    "Variables, imports and files are kept from call to call. The folder is /mnt/data: files from "
    "the user are there, and what you write there can be given to the user. Figures of matplotlib "
    "are shown to the user. There is no network, and nothing can be installed: there are the "
    "standard library{packages}. One call may take {cell_s:g} seconds."
)


class CodeInterpreter:
    """Runs code for models."""

    type = "code_interpreter"
    place: Literal["server", "client"] = "server"
    form = CallForm(call=CodeInterpreterToolCall, input_argument=ARGUMENT)
    may_repeat = False
    """Code may have done half of its work."""

    def __init__(self, plugin: CodeInterpreterPlugin) -> None:
        self._plugin = plugin

    def offers(self, definition: Mapping[str, Any]) -> Sequence[OfferedFunction]:
        """The one function."""
        return [self._function(None)]

    def _function(self, probe: Probe | None) -> OfferedFunction:
        packages = f" and {', '.join(probe.packages)}" if probe and probe.packages else ""
        description = _DESCRIPTION.format(
            version=f" {probe.python}" if probe and probe.python else "",
            packages=packages,
            cell_s=self._plugin.settings.cell_s,
        )
        return OfferedFunction(name=FUNCTION, description=description, parameters=_PARAMETERS)

    async def equip(self, scope: ToolScope) -> Equipment:
        """The function as it is here, and the names of the files that the code may read.

        Without a sandbox it is offered too: an answer that needs no code is an answer.
        """
        sandbox = self._plugin.sandbox
        probe = None if sandbox is None else await sandbox.probe()
        inputs = await self._inputs(scope)
        return Equipment(functions=[self._function(probe)], instructions=inputs.told())

    async def _inputs(self, scope: ToolScope) -> Inputs:
        sessions, thread_id = self._plugin.sessions, scope.run.thread_id
        return await inputs_of(
            scope.project,
            await scope.resources(),
            await sessions.remembered(scope.project, thread_id),
            written=sessions.written(scope.project, thread_id),
            files=self._plugin.files,
            settings=self._plugin.settings,
        )

    async def run(self, call: ToolCall, scope: ToolScope) -> AsyncIterator[ToolOutput]:
        """Run a call's code; calls of one thread wait for each other."""
        sandbox = self._plugin.sandbox
        if sandbox is None:
            raise ToolUnusable(NO_SANDBOX)
        code = code_of(call.arguments)
        if code is None:
            yield ToolOutput(text=NO_CODE, is_error=True)
            return
        async with self._plugin.sessions.of(scope.project, scope.run.thread_id) as session:
            cell = Cell(self._plugin, sandbox, session, scope)
            async for output in cell.run(code, await self._inputs(scope)):
                yield output


class Cell:
    """One call's code in its thread's box."""

    def __init__(
        self, plugin: CodeInterpreterPlugin, sandbox: Sandbox, session: Session, scope: ToolScope
    ) -> None:
        self._plugin = plugin
        self._sessions: Sessions = plugin.sessions
        self._sandbox = sandbox
        self._session = session
        self._number = scope.number + 1

    async def run(self, code: str, inputs: Inputs) -> AsyncIterator[ToolOutput]:
        """What it gives; raises ToolUnusable where there are no boxes."""
        settings = self._plugin.settings
        try:
            packages = (await self._sandbox.probe()).packages
            transcript = Transcript(cell_s=settings.cell_s, packages=packages)
            keeper = OutputKeeper(
                self._plugin, self._sessions, self._session, transcript, number=self._number
            )
            for told in await self._sessions.enter(self._session, self._sandbox, inputs):
                transcript.note(told)
            async for progress in self._lines(code, transcript, keeper):
                yield progress
            await keeper.keep_files()
        except SandboxUnavailable as error:
            raise ToolUnusable(OFF.format(reasons="; ".join(error.reasons))) from error
        except SandboxBusy as error:
            yield ToolOutput(text=BUSY.format(reason=error), is_error=True)
            return
        except BoxGone as gone:
            await self._session.leave()
            transcript.lost(gone)
        known = await self._sessions.remembered(self._session.project, self._session.thread_id)
        yield ToolOutput(
            text=transcript.told(chars_max=settings.told_chars_max),
            is_error=transcript.is_error,
            shown=transcript.shown(),
            marks=marks_of(known),
            content=tuple(transcript.content),
        )

    async def _lines(
        self, code: str, transcript: Transcript, keeper: OutputKeeper
    ) -> AsyncIterator[ToolOutput]:
        """What is to be shown while the code runs."""
        settings, box = self._plugin.settings, self._session.box
        assert box is not None
        limits = CellLimits(
            wall_s=settings.cell_s,
            stream_bytes=settings.stream_bytes_max,
            images_max=settings.images_max,
            image_bytes=settings.image_bytes_max,
        )
        # Closed at once where the call is given up: that is what interrupts the code.
        async with aclosing(box.run(code, limits=limits)) as outputs:  # type: ignore[type-var]
            async for output in outputs:
                if isinstance(output, ImageOutput):
                    await keeper.keep_image(output)
                transcript.add(output)
                yield ToolOutput(shown=transcript.shown(), content=tuple(transcript.content))


def code_of(arguments: str) -> str | None:
    """The code in a call's arguments; None where there is none."""
    try:
        found = msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return None
    code = found.get(ARGUMENT) if isinstance(found, dict) else None
    return code if isinstance(code, str) else None
