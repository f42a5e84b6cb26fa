"""Two kinds whose calls have forms of their own: a search, and code that is run line by line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from famulus import NoSettings, Plugin, hookimpl
from famulus_schemas.inference import OfferedFunction
from famulus_schemas.messages import ImageFile, ImageFileContentBlock
from famulus_schemas.steps import (
    CodeInterpreterImage,
    CodeInterpreterImageFile,
    CodeInterpreterLogs,
    CodeInterpreterOutput,
    CodeInterpreterToolCall,
    FileSearchCall,
    FileSearchCallRankingOptions,
    FileSearchResult,
    FileSearchResultContent,
    FileSearchToolCall,
)
from famulus_schemas.tooling import (
    CallForm,
    Equipment,
    Mark,
    RunResources,
    ToolCall,
    ToolKind,
    ToolOutput,
    ToolScope,
    ToolUnusable,
)
from famulus_schemas.tools import FileSearchResources, ToolResources

STORE = RunResources(
    thread=ToolResources(file_search=FileSearchResources(vector_store_ids=["vs_1"]))
)


async def with_store() -> RunResources:
    """A run that has something to search."""
    return STORE


class Search:
    """Finds one file, and says by which mark to cite it. Offered only where there are stores."""

    type = "file_search"
    place: Literal["server", "client"] = "server"
    form = CallForm(call=FileSearchToolCall)
    may_repeat = True

    def __init__(self) -> None:
        self.scopes: list[ToolScope] = []

    def offers(self, definition: Mapping[str, Any]) -> Sequence[OfferedFunction]:
        return [OfferedFunction(name="file_search")]

    async def equip(self, scope: ToolScope) -> Equipment:
        resources = await scope.resources()
        stores = [
            id
            for kept in (resources.assistant, resources.thread)
            for id in (kept.file_search.vector_store_ids if kept.file_search else ())
        ]
        if not stores:
            return Equipment()
        told = f"You can search {', '.join(stores)}."
        return Equipment(functions=self.offers(scope.definition), instructions=told)

    async def run(self, call: ToolCall, scope: ToolScope) -> AsyncIterator[ToolOutput]:
        self.scopes.append(scope)
        text = f"【{scope.number}:0†notes.md】"
        passage = FileSearchResultContent(text="Ada wrote it.")
        found = FileSearchResult(
            file_id="file_notes", file_name="notes.md", score=0.5, content=[passage]
        )
        options = FileSearchCallRankingOptions(ranker="default_2024_08_21", score_threshold=0.0)
        yield ToolOutput(
            text=f"{text} Ada wrote it.",
            shown=FileSearchCall(ranking_options=options, results=[found]),
            marks=(Mark(text=text, file_id="file_notes"),),
        )


class Code:
    """Runs lines: `print WORD`, `plot`, `wait`, `crash`, `vanish`; anything else does nothing."""

    type = "code_interpreter"
    place: Literal["server", "client"] = "server"
    form = CallForm(call=CodeInterpreterToolCall, input_argument="code")
    may_repeat = False

    def __init__(self, go_on: asyncio.Event | None = None, *, may_repeat: bool = False) -> None:
        self._go_on = go_on
        self.may_repeat = may_repeat
        self.begun: list[str] = []
        """Ids of calls."""

    def offers(self, definition: Mapping[str, Any]) -> Sequence[OfferedFunction]:
        parameters = {"type": "object", "properties": {"code": {"type": "string"}}}
        return [OfferedFunction(name="python", parameters=parameters)]

    async def run(self, call: ToolCall, scope: ToolScope) -> AsyncIterator[ToolOutput]:
        self.begun.append(call.id)
        code = msgspec.json.decode(call.arguments)["code"]
        outputs: list[CodeInterpreterOutput] = []
        marks: list[Mark] = []
        content: list[ImageFileContentBlock] = []
        for line in code.splitlines():
            word, _, rest = line.partition(" ")
            if word == "print":
                logs = outputs.pop().logs if _is_logs(outputs) else ""  # type: ignore[union-attr]
                outputs.append(CodeInterpreterLogs(logs=f"{logs}{rest}\n"))
            elif word == "plot":
                image = CodeInterpreterImageFile(file_id="file_plot")
                outputs.append(CodeInterpreterImage(image=image))
                path = "sandbox:/mnt/data/plot.png"
                marks.append(Mark(text=path, file_id="file_plot", type="file_path"))
                content.append(ImageFileContentBlock(image_file=ImageFile(file_id="file_plot")))
            elif word == "wait" and self._go_on is not None:
                await self._go_on.wait()
            elif word == "crash":
                raise RuntimeError("the kernel died")
            elif word == "vanish":
                raise ToolUnusable("There is no sandbox to run code in.")
            yield ToolOutput(text="so far", shown=tuple(outputs))
            # Each output is told before the next one comes.
            for _ in range(5):
                await asyncio.sleep(0)
        yield ToolOutput(
            text="ran",
            shown=tuple(outputs),
            marks=tuple(marks),
            content=tuple(content),
        )


def _is_logs(outputs: list[CodeInterpreterOutput]) -> bool:
    return bool(outputs) and isinstance(outputs[-1], CodeInterpreterLogs)


def plugin_of(*kinds: ToolKind) -> type[Plugin[NoSettings]]:
    """A plugin that brings these kinds."""

    class FormedTools(Plugin[NoSettings]):
        """Brings kinds with forms of their own."""

        name = "formed_tools"

        @hookimpl
        def register_tools(self) -> list[ToolKind]:
            return list(kinds)

    return FormedTools
